//! Orders: whichever events keep theirs, the target comes out the same, in few commands.

use bson::doc;
use changetape_replayer::sink::mongod::Order;
use changetape_testkit::workload::RandomDocuments;
use fastrand::Rng;

use super::*;

const ORDERS: [Order; 3] = [Order::Document, Order::Namespace, Order::Global];

/// Applies what happened to an empty target in each order, and compares; tells how many commands
/// for documents each took.
async fn apply_in_each_order(pair: &mut Pair) -> Vec<i64> {
    let events = pair.events().await;
    let mut commands = Vec::new();
    for order in ORDERS {
        pair.target = ReplicaSet::single().start().await.unwrap();
        pair.to = pair.target.client().unwrap();
        let before = commands_of(&pair.to).await;
        let sink = pair.sink().await.with_order(order);
        assert_plain(&apply(sink, events.clone(), None).await.unwrap());
        commands.push(commands_of(&pair.to).await - before);
        pair.compare().await;
    }
    commands
}

/// How many commands that write documents a server has executed.
async fn commands_of(client: &Client) -> i64 {
    let status = client.database("admin").run_command(doc! {"serverStatus": 1}).await.unwrap();
    let commands = status.get_document("metrics").unwrap().get_document("commands").unwrap();
    let total = |name| commands.get_document(name).unwrap().get_i64("total").unwrap();
    total("insert") + total("update") + total("delete")
}

#[tokio::test(flavor = "multi_thread")]
async fn random_documents_come_out_the_same_in_every_order() {
    let mut pair = Pair::start().await;
    let seed = changetape_testkit::seed();
    RandomDocuments::new(seed).operations(2_000).run(&pair.from).await.unwrap();
    apply_in_each_order(&mut pair).await;
}

/// The kinds change with nearly every event, as on a real tape.
#[tokio::test(flavor = "multi_thread")]
async fn what_need_not_keep_its_order_takes_few_commands() {
    let mut pair = Pair::start().await;
    let coll = pair.from.database("shop").collection("orders");
    for n in 0..500 {
        coll.insert_one(doc! {"_id": n, "v": 0}).await.unwrap();
        coll.update_one(doc! {"_id": n / 2}, doc! {"$inc": {"v": 1}}).await.unwrap();
        if n % 3 == 0 {
            coll.delete_one(doc! {"_id": n}).await.unwrap();
        }
    }
    let commands = apply_in_each_order(&mut pair).await;
    // Inserts, updates, deletes; in the order of the tape, each by itself.
    assert!(commands[0] <= 10, "{commands:?}");
    assert!(commands[1] > 500 && commands[2] > 500, "{commands:?}");
}

/// Documents hand values on to each other that only one may have: out of order, some would meet
/// the one that still has it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_unique_may_change_hands() {
    const DOCUMENTS: i32 = 8;
    let mut pair = Pair::start().await;
    let mut rng = Rng::with_seed(changetape_testkit::seed());
    let shop = pair.from.database("shop");
    let coll = shop.collection::<Document>("seats");
    let index = doc! {"key": {"seat": 1}, "name": "seat", "unique": true};
    run(&pair.from, "shop", doc! {"createIndexes": "seats", "indexes": [index]}).await;
    for n in 0..DOCUMENTS {
        coll.insert_one(doc! {"_id": n, "seat": n}).await.unwrap();
    }
    let seat = |id: i32| {
        let coll = coll.clone();
        async move { coll.find_one(doc! {"_id": id}).await.unwrap().unwrap().get("seat").cloned() }
    };
    let sit = |id: i32, seat: bson::Bson| {
        let coll = coll.clone();
        async move {
            coll.update_one(doc! {"_id": id}, doc! {"$set": {"seat": seat}}).await.unwrap();
        }
    };
    for _ in 0..200 {
        let (one, other) = (rng.i32(0..DOCUMENTS), rng.i32(0..DOCUMENTS));
        if one == other {
            let taken = seat(one).await;
            coll.delete_one(doc! {"_id": one}).await.unwrap();
            coll.insert_one(doc! {"_id": one, "seat": taken}).await.unwrap();
            continue;
        }
        let (its, theirs) = (seat(one).await.unwrap(), seat(other).await.unwrap());
        sit(one, "standing".into()).await;
        sit(other, its).await;
        sit(one, theirs).await;
    }
    apply_in_each_order(&mut pair).await;
}

/// A collation decides what is the same document, and a capped collection keeps its order.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_collection_does_not_let_be_regrouped_is_not() {
    let mut pair = Pair::start().await;
    let collation = doc! {"locale": "en", "strength": 2};
    run(&pair.from, "shop", doc! {"create": "names", "collation": collation}).await;
    run(&pair.from, "shop", doc! {"create": "log", "capped": true, "size": 4096}).await;
    let names = pair.from.database("shop").collection("names");
    let log = pair.from.database("shop").collection("log");
    for n in 0..200 {
        // Equal to the server, and two to everybody else.
        let (old, new) = if n % 2 == 0 { ("anna", "ANNA") } else { ("ANNA", "anna") };
        names.delete_one(doc! {"_id": old}).await.unwrap();
        names.replace_one(doc! {"_id": new}, doc! {"n": n}).upsert(true).await.unwrap();
        log.insert_one(doc! {"_id": n}).await.unwrap();
    }
    apply_in_each_order(&mut pair).await;
}
