//! What a tape does not say is not passed off as right, and not as wrong; what it does say of a
//! document of which it knows no more, that it is there, is.

use bson::{DateTime, doc};

use super::*;
use crate::by_hand::{Taped, define, delete, event, update};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_before_the_tape_is_judged_only_where_it_says_something() {
    let before = async |client: &Client| {
        let stock = client.database("shop").collection("stock");
        stock.insert_many((0..10).map(|n| doc! {"_id": n, "n": n})).await.unwrap();
        let indexes = [doc! {"key": {"n": 1}, "name": "n"}, doc! {"key": {"m": 1}, "name": "m"}];
        let create = doc! {"createIndexes": "stock", "indexes": indexes.to_vec()};
        command(client, "shop", create).await;
    };
    let change = async |client: &Client| {
        let stock = client.database("shop").collection::<Document>("stock");
        let set = |n: i32| doc! {"$set": {"n": n}};
        stock.update_many(doc! {"_id": {"$in": [1, 2, 3]}}, set(100)).await.unwrap();
        // Known by what comes after.
        stock.replace_one(doc! {"_id": 2}, doc! {"n": "new"}).await.unwrap();
        stock.update_one(doc! {"_id": 2}, set(7)).await.unwrap();
        stock.delete_one(doc! {"_id": 3}).await.unwrap();
        stock.delete_one(doc! {"_id": 4}).await.unwrap();
        command(client, "shop", doc! {"dropIndexes": "stock", "index": "n"}).await;
    };
    let replayed = Replayed::start(before, change).await;
    // The target is the source: it holds what was there before.
    let source = replayed.source.uri();
    let found = verify(&replayed.tape(), &source, 0, &[]);
    assert_eq!((&found["documents"], &found["unknown"]), (&3.into(), &1.into()), "{found}");
    assert_eq!(found["unknownDocuments"][0]["id"], "1", "{found}");
    assert_eq!(found["unknownDocuments"][0]["namespace"], "shop.stock", "{found}");
    let told = run(&["verify", text(&replayed.tape()), "--against", &source]).expect_code(0).stdout;
    assert!(told.starts_with("nothing differs from what "), "{told}");
    assert!(told.contains("but 1 document cannot be judged; compared 3 documents"), "{told}");
    assert!(told.contains("shop.stock: document 1"), "{told}");

    let client = replayed.source.client().unwrap();
    let stock = client.database("shop").collection::<Document>("stock");
    stock.insert_one(doc! {"_id": 3}).await.unwrap();
    stock.insert_one(doc! {"_id": "never told of"}).await.unwrap();
    stock.delete_one(doc! {"_id": 2}).await.unwrap();
    stock.delete_one(doc! {"_id": 1}).await.unwrap();
    let index = doc! {"key": {"n": 1}, "name": "n"};
    command(&client, "shop", doc! {"createIndexes": "stock", "indexes": [index]}).await;
    let found = verify(&replayed.tape(), &source, 3, &[]);
    let expected = [
        "shop.stock document 1 missing",
        "shop.stock document 2 missing",
        "shop.stock document 3 extra",
        "shop.stock index n extra",
    ];
    assert_eq!(lines(&found), expected, "{found}");
    assert_eq!(found["unknown"], 0, "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_update_has_changed_has_to_be_there() {
    let mut events: Vec<_> = (0..30).map(|n| update("orders", n, doc! {"paid": true})).collect();
    let description = doc! {"updatedFields": {"paid": true}, "removedFields": []};
    let public = doc! {"documentKey": {"_id": "public"}, "updateDescription": description};
    events.push(event("update", "orders", public));
    let taped = Taped::of(&events);
    let target = ReplicaSet::single().start().await.unwrap();
    let uri = target.uri();
    let nothing = verify(&taped.tape, &uri, 3, &[]);
    let counted = ["missing", "documents", "collections", "unknown"].map(|name| &nothing[name]);
    assert_eq!(counted, [32, 31, 0, 0], "{nothing}");
    let first = ["shop.orders collection missing", "shop.orders document \"public\" missing"];
    assert_eq!(lines(&nothing)[..2], first, "{nothing}");

    let client = target.client().unwrap();
    let orders = client.database("shop").collection::<Document>("orders");
    orders.insert_many((0..30).map(|n| doc! {"_id": n})).await.unwrap();
    orders.insert_one(doc! {"_id": "public"}).await.unwrap();
    let there = verify(&taped.tape, &uri, 0, &[]);
    let counted = ["documents", "collections", "unknown"].map(|name| &there[name]);
    assert_eq!(counted, [0, 1, 31], "{there}");
    let told = run(&["verify", text(&taped.tape), "--against", &uri]).expect_code(0).stdout;
    assert!(told.contains("31 documents cannot be judged; compared 0 documents"), "{told}");
    assert!(!told.contains("the database is what"), "{told}");

    orders.delete_one(doc! {"_id": 7}).await.unwrap();
    let found = verify(&taped.tape, &uri, 3, &[]);
    assert_eq!(lines(&found), ["shop.orders document 7 missing"], "{found}");
    // The index may have been there before the tape, and nobody knows what it makes of that one.
    let index = doc! {"key": {"at": 1}, "name": "at", "expireAfterSeconds": 0};
    command(&client, "shop", doc! {"createIndexes": "orders", "indexes": [index]}).await;
    assert_eq!(verify(&taped.tape, &uri, 0, &[])["unknown"], 31);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_an_event_is_about_has_to_be_there() {
    let kept = define("modify", "kept", doc! {"validationLevel": "off"});
    let taped = Taped::of(&[delete("emptied", 1), kept]);
    let target = ReplicaSet::single().start().await.unwrap();
    let found = verify(&taped.tape, &target.uri(), 3, &[]);
    let missing = ["shop.emptied collection missing", "shop.kept collection missing"];
    assert_eq!(lines(&found), missing, "{found}");
    let client = target.client().unwrap();
    for name in ["emptied", "kept"] {
        command(&client, "shop", doc! {"create": name}).await;
    }
    assert_eq!(verify(&taped.tape, &target.uri(), 0, &[])["collections"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_a_server_may_remove_by_itself_may_be_gone() {
    // None removes anything meanwhile.
    let still = async |client: &Client| {
        command(client, "admin", doc! {"setParameter": 1, "ttlMonitorEnabled": false}).await;
    };
    let change = async |client: &Client| {
        let index = doc! {"key": {"at": 1}, "name": "at", "expireAfterSeconds": 3_600};
        command(client, "shop", doc! {"createIndexes": "carts", "indexes": [index]}).await;
        let carts = client.database("shop").collection("carts");
        let hours = |hours: i64| {
            DateTime::from_millis(DateTime::now().timestamp_millis() + hours * 3_600_000)
        };
        for (id, at) in [("old", hours(-9)), ("gone", hours(-9)), ("missing", hours(9))] {
            carts.insert_one(doc! {"_id": id, "at": at}).await.unwrap();
        }
    };
    let replayed = Replayed::start(still, change).await;
    let client = replayed.client();
    still(&client).await;
    replayed.replay(0, &[]);
    let carts = client.database("shop").collection::<Document>("carts");
    for id in ["gone", "missing"] {
        carts.delete_one(doc! {"_id": id}).await.unwrap();
    }
    let found = replayed.verify(3, &[]);
    assert_eq!(lines(&found), ["shop.carts document \"missing\" missing"], "{found}");
    assert_eq!((&found["documents"], &found["unknown"]), (&2.into(), &1.into()), "{found}");
    assert_eq!(found["unknownDocuments"][0]["id"], "\"gone\"", "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn public_updates_are_unknown_unless_there_is_a_post_image() {
    let source = ReplicaSet::single().start().await.unwrap();
    let client = source.client().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let uri = source.uri();
    for (name, full_document) in [("plain", "default"), ("imaged", "whenAvailable")] {
        let tape = directory.path().join(name);
        let record = ["record", &uri, text(&tape), "--stop-when-idle", "1s", "--updates", "public"];
        let record = [&record[..], &["--full-document", full_document]].concat();
        run(&record).expect_code(0);
        let images = doc! {"enabled": true};
        command(&client, name, doc! {"create": "c", "changeStreamPreAndPostImages": images}).await;
        let documents = client.database(name).collection::<Document>("c");
        documents.insert_many((0..5).map(|n| doc! {"_id": n})).await.unwrap();
        documents.update_one(doc! {"_id": 1}, doc! {"$set": {"a": 1}}).await.unwrap();
        run(&record).expect_code(0);
        let found = verify(&tape, &uri, 0, &["--include", name]);
        let unknown = u64::from(name == "plain");
        assert_eq!(found["unknown"], unknown, "{found}");
        assert_eq!(found["documents"], 5 - unknown, "{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_refused_and_told() {
    let source = ReplicaSet::single().start().await.unwrap();
    let client = source.client().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let tape = directory.path().join("gap.tape");
    let uri = source.uri();
    let record = ["record", &uri, text(&tape), "--stop-when-idle", "1s"];
    run(&record).expect_code(0);
    let documents = client.database("shop").collection::<Document>("c");
    documents.insert_one(doc! {"_id": 1}).await.unwrap();
    run(&record).expect_code(0);
    documents.insert_one(doc! {"_id": 2}).await.unwrap();
    run(&[&record[..], &["--reset"]].concat()).expect_code(3);
    documents.insert_one(doc! {"_id": 3}).await.unwrap();
    run(&record).expect_code(0);
    let against = ["verify", text(&tape), "--against", &uri];
    let refused = run(&against).expect_code(1);
    assert!(refused.sentence().contains("--cross-gaps"), "{}", refused.stderr);
    let found = verify(&tape, &uri, 3, &["--cross-gaps"]);
    assert_eq!(found["gaps"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(lines(&found), ["shop.c document 2 extra"], "{found}");
    // Without a difference either: what is missing from the tape is not proven.
    documents.delete_one(doc! {"_id": 2}).await.unwrap();
    let found = verify(&tape, &uri, 3, &["--cross-gaps"]);
    assert_eq!((lines(&found).len(), &found["same"]), (0, &false.into()), "{found}");
}
