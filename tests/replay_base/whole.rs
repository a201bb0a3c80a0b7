//! Bases that are restored whole.

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, Timestamp};
use changetape_core::Namespace;
use changetape_testkit::workload::{OrderShop, RandomDocuments};
use mongodb::Database;

use super::*;
use crate::replay_applies::definitions::define_everything;

/// No base can be taken of what is capped.
const CAPPED: [&str; 2] = ["shop.log", "traded.visits"];

/// Names that look like operators, under ids that look like queries.
async fn fill_names(odd: &Database) {
    let zero = Timestamp { time: 0, increment: 0 };
    let ids: [Bson; 7] = [
        Bson::Null,
        f64::NAN.into(),
        doc! {"b": 1, "a": 2}.into(),
        doc! {"a.b": {"": 1}}.into(),
        doc! {"$ref": "shop", "$id": 4}.into(),
        zero.into(),
        Binary { subtype: BinarySubtype::BinaryOld, bytes: vec![1, 2] }.into(),
    ];
    let document = |id: Bson| doc! {"_id": id, "$set": 1, "a.b": 2, "": {"$c": [zero]}, "0": 5};
    odd.collection("names").insert_many(ids.map(document)).await.unwrap();
}

/// Documents that an insert would change, between others.
async fn fill_times(odd: &Database) {
    let zero = Timestamp { time: 0, increment: 0 };
    let put = |id: i32| {
        let document = doc! {"_id": id, "$a": 1, "b": zero, "c": {"d": zero}};
        let literally = doc! {"$replaceWith": {"$literal": document}};
        doc! {"q": {"_id": id}, "u": [literally], "upsert": true}
    };
    let times = odd.collection::<Document>("times");
    for first in [0, 2_500] {
        times.insert_many((first..first + 2_450).map(|n| doc! {"_id": n})).await.unwrap();
        let updates: Vec<Document> = (first + 2_450..first + 2_500).map(put).collect();
        odd.run_command(doc! {"update": "times", "updates": updates}).await.unwrap();
    }
}

/// More than a command holds, and one as long as a document can be.
async fn fill_long(odd: &Database) {
    let long = odd.collection("long");
    let some = (0..30).map(|n| doc! {"_id": n, "text": "x".repeat(1 << 20)});
    long.insert_many(some).await.unwrap();
    let frame = doc! {"_id": "longest", "text": ""}.to_vec().unwrap().len();
    let longest = doc! {"_id": "longest", "text": "x".repeat(16 * 1024 * 1024 - frame)};
    long.insert_one(longest).await.unwrap();
}

/// Views on views, which come first by their names.
async fn define_views(client: &Client) {
    let collation = doc! {"locale": "fr", "strength": 2};
    for view in [
        doc! {"create": "a view on a view", "viewOn": "view", "pipeline": []},
        doc! {"create": "b", "viewOn": "french", "pipeline": [], "collation": &collation},
        doc! {"create": "a", "viewOn": "b", "pipeline": [], "collation": &collation},
    ] {
        command(client, "shop", view).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_and_the_events_after_it_are_the_source_and_again_with_drop() {
    let seed = changetape_testkit::seed();
    let (source, target) = tokio::join!(ReplicaSet::single().start(), ReplicaSet::single().start());
    let (source, target) = (source.unwrap(), target.unwrap());
    let (from, to) = (source.client().unwrap(), target.client().unwrap());
    define_everything(&from).await;
    define_views(&from).await;
    let odd = from.database("odd");
    fill_names(&odd).await;
    fill_times(&odd).await;
    fill_long(&odd).await;
    command(&from, "odd", doc! {"create": "empty"}).await;
    OrderShop::new(seed).steps(200).database("traded").run(&from).await.unwrap();
    let random = |database, seed| RandomDocuments::new(seed).operations(400).database(database);
    random("random", seed).run(&from).await.unwrap();

    let taped = Taped::of(&source, &["--exclude", CAPPED[0], "--exclude", CAPPED[1]]);
    let based = dump(&from).await;
    let fits = |ns: &Namespace| !CAPPED.contains(&ns.to_string().as_str());
    random("later", seed + 1).run(&from).await.unwrap();
    let times = odd.collection::<Document>("times");
    times.update_many(doc! {"_id": {"$lt": 500}}, doc! {"$inc": {"n": 1}}).await.unwrap();
    times.delete_many(doc! {"_id": {"$gte": 4_500}}).await.unwrap();
    taped.record();

    let uri = target.uri();
    let ran = taped.restore(&uri, &["--format", "json"]).expect_code(0);
    let (json, expected) = (ran.json(), based.filtered(fits));
    let base = &json["base"];
    assert_eq!(base["restored"], "whole", "{json}");
    assert_eq!(base["documents"], expected.documents(), "{json}");
    assert_eq!(base["bytes"], expected.bytes(), "{json}");
    assert_eq!(base["collections"], expected.collections().count(), "{json}");
    assert_eq!(base["dropped"], 0, "{json}");
    assert!(json["delivered"].as_u64() > Some(400), "{json}");
    // An event that the base holds already would have to be adapted, or pass unnoticed.
    assert_eq!((&json["adapted"], &json["divergent"]), (&0.into(), &0.into()), "{json}");
    let source = dump(&from).await.filtered(fits);
    assert_same(&source, &dump(&to).await);

    let refused = taped.restore(&uri, &[]).expect_code(2);
    let sentence = refused.sentence();
    assert!(sentence.contains("odd.empty, odd.long, odd.names, odd.times"), "{sentence}");
    assert!(sentence.contains(" more already") && sentence.contains("--drop"), "{sentence}");
    assert_same(&source, &dump(&to).await);

    // What is dropped may hold more than the base, or be of another kind.
    let times = to.database("odd").collection::<Document>("times");
    times.insert_one(doc! {"_id": "not of the source"}).await.unwrap();
    command(&to, "odd", doc! {"drop": "empty"}).await;
    command(&to, "odd", doc! {"create": "empty", "viewOn": "times", "pipeline": []}).await;
    let again = taped.restore(&uri, &["--drop", "--verify"]).expect_code(0);
    let collections = expected.collections().count();
    let dropping = format!("dropping {collections} collections and views first");
    assert!(again.stdout.contains(&dropping), "{}", again.stdout);
    assert!(again.stderr.contains("dropping odd.empty, odd.long"), "{}", again.stderr);
    assert!(again.stdout.contains("the database is what"), "{}", again.stdout);
    assert_same(&source, &dump(&to).await);
    // From later on the base says nothing, so not what a document was that an event changes.
    let later =
        ["verify", text(&taped.tape), "--against", &uri, "--start", "#1", "--format", "json"];
    let later = run(&later).expect_code(0).json();
    assert!(later["unknown"].as_u64() >= Some(500), "{later}");
}

/// Into the source itself, beside the original.
#[tokio::test(flavor = "multi_thread")]
async fn a_base_is_selected_and_mapped_as_events_are() {
    let source = ReplicaSet::single().start().await.unwrap();
    let client = source.client().unwrap();
    for db in ["shop", "audit"] {
        let documents = (0..5).map(|n: i32| doc! {"_id": n, "db": db});
        client.database(db).collection("orders").insert_many(documents).await.unwrap();
    }
    client.database("shop").collection("stock").insert_one(doc! {"_id": 1}).await.unwrap();
    let index = doc! {"key": {"db": 1}, "name": "db"};
    command(&client, "shop", doc! {"createIndexes": "orders", "indexes": [index]}).await;
    let view = doc! {"create": "all", "viewOn": "orders", "pipeline": [{"$match": {"db": "shop"}}]};
    command(&client, "shop", view).await;
    let taped = Taped::of(&source, &[]);
    let orders = client.database("shop").collection::<Document>("orders");
    orders.insert_one(doc! {"_id": 9}).await.unwrap();
    taped.record();
    let before = dump(&client).await;

    let uri = source.uri();
    let map = ["--include", "shop", "--exclude", "*.stock", "--map-ns"];
    let maps = "shop.orders=copy.placed,shop.all=copy.shown";
    let json = taped.restore(&uri, &[&map[..], &[maps, "--format", "json"]].concat());
    let json = json.expect_code(0).json();
    assert_eq!(json["base"]["collections"], 2, "{json}");
    assert_eq!(json["base"]["documents"], 5, "{json}");
    let after = dump(&client).await;
    assert_same(&before, &after.clone().filtered(|ns| ns.db != "copy"));
    let copy = after.filtered(|ns| ns.db == "copy" && ns.coll.as_deref() != Some("shown"));
    let copy = copy.renamed(|_| Namespace::collection("shop", "orders"));
    assert_same(&before.filtered(|ns| ns.to_string() == "shop.orders"), &copy);
    let shown = client.database("copy").collection::<Document>("shown");
    assert_eq!(shown.count_documents(doc! {}).await.unwrap(), 5, "the last one lacks the field");

    // What could not be right is refused before anything is written.
    let whole = dump(&client).await;
    for (maps, says) in [
        ("shop.orders=copy.moved", "the view shop.all cannot be played into another database"),
        ("shop.orders=shop.stock", "shop.stock (in the base) and what"),
    ] {
        let refused = taped.restore(&uri, &["--map-ns", maps]);
        assert!(refused.sentence().contains(says), "{maps}: {}", refused.stderr);
        assert_ne!(refused.code, Some(0));
        assert_same(&whole, &dump(&client).await);
    }
}

/// Commands are executed, and not acknowledged: what is sent again finds its own work.
#[tokio::test(flavor = "multi_thread")]
async fn a_base_outlives_a_target_that_cannot_say_what_it_has() {
    let testable = || ReplicaSet::single().set_parameter("enableTestCommands", "1");
    let (source, target) = tokio::join!(testable().start(), testable().start());
    let (source, target) = (source.unwrap(), target.unwrap());
    let (from, to) = (source.client().unwrap(), target.client().unwrap());
    let seed = changetape_testkit::seed();
    OrderShop::new(seed).steps(150).run(&from).await.unwrap();
    RandomDocuments::new(seed).operations(2_000).run(&from).await.unwrap();
    let taped = Taped::of(&source, &["--exclude", "shop.visits"]);
    let data = doc! {
        "failCommands": ["insert", "update", "create", "createIndexes"],
        "writeConcernError": {"code": 91, "errmsg": "so the test has it"},
    };
    let mode = doc! {"activationProbability": 0.3};
    let point = doc! {"configureFailPoint": "failCommand", "mode": mode, "data": data};
    command(&to, "admin", point).await;
    taped.restore(&target.uri(), &["--max-outage", "10m"]).expect_code(0);
    assert_same(
        &dump(&from).await.filtered(|ns| ns.to_string() != "shop.visits"),
        &dump(&to).await,
    );
}

/// Whether a replay would find out where it ended.
async fn progress(target: &Client) -> Option<i64> {
    let progress = target.database("changetape").collection::<Document>("progress");
    let found = progress.find_one(doc! {}).await.unwrap();
    found.map(|found| found.get_i64("next").unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_with_a_base_goes_on_behind_it() {
    let source = ReplicaSet::single().start().await.unwrap();
    let target = ReplicaSet::single().start().await.unwrap();
    let (client, there) = (source.client().unwrap(), target.client().unwrap());
    let orders = client.database("shop").collection::<Document>("orders");
    orders.insert_many((0..10).map(|n| doc! {"_id": n})).await.unwrap();
    let taped = Taped::of(&source, &[]);
    orders.insert_many((10..20).map(|n| doc! {"_id": n})).await.unwrap();
    taped.record();
    let uri = target.uri();
    // Nothing but the base, then some events, then the rest.
    let resume = |end| ["--resume", "--format", "json", "--end", end];
    for (end, restored, delivered) in [("#0", true, 0), ("#5", false, 5), ("#10", false, 5)] {
        let told = taped.restore(&uri, &resume(end)).expect_code(0).json();
        assert_eq!(told["base"].is_object(), restored, "{end}: {told}");
        assert_eq!(told["delivered"], delivered, "{end}: {told}");
    }
    assert_eq!(progress(&there).await, Some(10));
    assert_eq!(orders.count_documents(doc! {}).await.unwrap(), 20);
    // Begun again, it is no longer where it was.
    taped.restore(&uri, &["--drop", "--end", "#0"]).expect_code(0);
    assert_eq!(progress(&there).await, None);
}
