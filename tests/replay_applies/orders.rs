//! Orders: whichever events keep theirs, the target comes out the same, in few commands.

use bson::doc;
use changetape_replayer::sink::mongod::Order;
use changetape_testkit::workload::RandomDocuments;
use fastrand::Rng;
use futures_util::TryStreamExt as _;

use super::*;

const ORDERS: [Order; 3] = [Order::Document, Order::Namespace, Order::Global];

/// Applies what happened to an empty target in each order, and compares; tells how many commands
/// for documents each took, and how many events found their work done.
async fn apply_in_each_order(pair: &mut Pair) -> Vec<(i64, u64)> {
    let events = pair.events().await;
    let mut applied = Vec::new();
    for order in ORDERS {
        pair.target = ReplicaSet::single().start().await.unwrap();
        pair.to = pair.target.client().unwrap();
        let before = commands_of(&pair.to).await;
        let sink = pair.sink().await.with_order(order);
        let tally = apply(sink, events.clone(), None).await.unwrap();
        applied.push((commands_of(&pair.to).await - before, tally.adapted));
        assert_plain(&Tally { adapted: 0, ..tally });
        pair.compare().await;
    }
    applied
}

/// The same, and nothing was done before it came.
async fn apply_plainly_in_each_order(pair: &mut Pair) -> Vec<i64> {
    let (commands, adapted): (Vec<_>, Vec<_>) = apply_in_each_order(pair).await.into_iter().unzip();
    assert_eq!(adapted, [0; 3]);
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
    apply_plainly_in_each_order(&mut pair).await;
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
    let commands = apply_plainly_in_each_order(&mut pair).await;
    // Inserts, updates, deletes, by two at a time, some of them perhaps tried again; in the order of the
    // tape, each by itself.
    assert!(commands[0] < 50, "{commands:?}");
    assert!(commands[1] > 500 && commands[2] > 500, "{commands:?}");
}

/// Each update by itself would be a command that waits for a majority.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_changes_all_the_time_takes_few_commands() {
    let mut pair = Pair::start().await;
    let coll = pair.from.database("shop").collection::<Document>("counters");
    coll.insert_one(doc! {"_id": 1, "n": 0}).await.unwrap();
    // What comes before it is not in the same window.
    let index = doc! {"createIndexes": "counters", "indexes": [{"key": {"m": 1}, "name": "m"}]};
    run(&pair.from, "shop", index).await;
    for _ in 0..500 {
        coll.update_one(doc! {"_id": 1}, doc! {"$inc": {"n": 1}}).await.unwrap();
    }
    let commands = apply_plainly_in_each_order(&mut pair).await;
    assert!(commands.iter().all(|commands| *commands < 50), "{commands:?}");
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
    apply_plainly_in_each_order(&mut pair).await;
}

/// A collation takes two `_id`s for one: to everybody else they are two documents.
#[tokio::test(flavor = "multi_thread")]
async fn ids_that_a_collation_takes_for_one_may_follow_each_other() {
    let mut pair = Pair::start().await;
    let collation = doc! {"locale": "en", "strength": 2};
    run(&pair.from, "shop", doc! {"create": "names", "collation": collation}).await;
    let names = pair.from.database("shop").collection("names");
    let ids = ["anna", "ANNA", "Anna", "aNNa"];
    for (n, id) in (0..).zip(ids.iter().cycle().take(200)) {
        names.delete_one(doc! {"_id": "anna"}).await.unwrap();
        names.insert_one(doc! {"_id": id, "n": n}).await.unwrap();
    }
    apply_plainly_in_each_order(&mut pair).await;
}

/// The order of its documents shows, and says which go when it is full.
#[tokio::test(flavor = "multi_thread")]
async fn a_capped_collection_holds_the_same_documents_in_the_same_order() {
    let mut pair = Pair::start().await;
    run(&pair.from, "shop", doc! {"create": "log", "capped": true, "size": 4096}).await;
    let log = pair.from.database("shop").collection("log");
    let orders = pair.from.database("shop").collection("orders");
    for n in 0..300 {
        log.insert_one(doc! {"_id": n}).await.unwrap();
        orders.insert_one(doc! {"_id": n}).await.unwrap();
    }
    // Which documents went is on the tape, too: most of them the target has let go by itself.
    apply_in_each_order(&mut pair).await;
    let ids = async |client: &Client| {
        let log = client.database("shop").collection::<Document>("log");
        log.find(doc! {}).await.unwrap().try_collect::<Vec<_>>().await.unwrap()
    };
    assert_eq!(ids(&pair.to).await, ids(&pair.from).await);
}
