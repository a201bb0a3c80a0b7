//! Collections, views, indexes and their options.

use bson::doc;
use changetape_replayer::sink::mongod::Order;

use super::*;

/// Every definition that a stream reports, over collections that are not empty.
pub(crate) async fn define_everything(client: &Client) {
    let shop = client.database("shop");
    let coll = |name| shop.collection::<Document>(name);
    let create = async |name: &str, options: Document| {
        let mut command = doc! {"create": name};
        command.extend(options);
        run(client, "shop", command).await;
    };
    create("plain", doc! {}).await;
    create("log", doc! {"capped": true, "size": 65_536, "max": 50}).await;
    create("french", doc! {"collation": {"locale": "fr", "strength": 2}}).await;
    let validator = doc! {"validator": {"a": {"$gt": 1}}, "validationLevel": "moderate"};
    create("valid", validator).await;
    let clustered = doc! {"key": {"_id": 1}, "unique": true, "name": "by_id"};
    create("clustered", doc! {"clusteredIndex": clustered, "expireAfterSeconds": 360_000}).await;
    create("imaged", doc! {"changeStreamPreAndPostImages": {"enabled": true}}).await;
    let storage = doc! {"storageEngine": {"wiredTiger": {"configString": "block_compressor=zlib"}}};
    create("stored", storage).await;
    create("view", doc! {"viewOn": "plain", "pipeline": [{"$match": {"a": 1}}]}).await;

    coll("plain")
        .insert_many((0..20).map(|n| doc! {"_id": n, "a": n, "w": {"x": n}}))
        .await
        .unwrap();
    coll("log").insert_many((0..80).map(|n| doc! {"_id": n})).await.unwrap();
    coll("french").insert_one(doc! {"_id": "A", "b": "é"}).await.unwrap();
    coll("valid").insert_one(doc! {"a": 5}).await.unwrap();
    let invalid =
        doc! {"insert": "valid", "documents": [{"a": 0}], "bypassDocumentValidation": true};
    run(client, "shop", invalid).await;

    let indexes = vec![
        doc! {"key": {"a": 1}, "name": "unique", "unique": true, "partialFilterExpression": {"a": {"$gt": 5}}},
        doc! {"key": {"at": 1}, "name": "ttl", "expireAfterSeconds": 360_000},
        doc! {"key": {"t": "text", "u": "text"}, "name": "text", "weights": {"t": 3}},
        doc! {"key": {"w.$**": 1}, "name": "wildcard", "hidden": true},
        doc! {"key": {"p": "2dsphere"}, "name": "sphere", "sparse": true},
        doc! {"key": {"h": "hashed"}, "name": "hashed"},
        doc! {"key": {"b": -1, "c": 1}, "name": "collated", "collation": {"locale": "de"}},
        doc! {"key": {"gone": 1}, "name": "gone"},
    ];
    run(client, "shop", doc! {"createIndexes": "plain", "indexes": indexes}).await;

    for change in [
        doc! {"collMod": "plain", "index": {"name": "ttl", "expireAfterSeconds": 720_000}},
        doc! {"collMod": "plain", "index": {"name": "hashed", "hidden": true}},
        doc! {"collMod": "plain", "validator": {"a": {"$exists": true}}, "validationAction": "warn"},
        doc! {"collMod": "plain", "changeStreamPreAndPostImages": {"enabled": true}},
        doc! {"collMod": "view", "viewOn": "french", "pipeline": []},
        doc! {"collMod": "clustered", "expireAfterSeconds": "off"},
        doc! {"collMod": "imaged", "changeStreamPreAndPostImages": {"enabled": false}},
        doc! {"dropIndexes": "plain", "index": "gone"},
    ] {
        run(client, "shop", change).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_come_out_the_same() {
    let pair = Pair::start().await;
    define_everything(&pair.from).await;
    let tally = pair.apply_and_compare().await;
    // A capped collection that overflows deletes by itself, on both sides: the recorded
    // deletions find nothing.
    assert_eq!(tally.adapted, 30, "{tally:?}");
    assert_plain(&Tally { adapted: 0, ..tally });
}

#[tokio::test(flavor = "multi_thread")]
async fn renames_and_drops_come_out_the_same() {
    let pair = Pair::start().await;
    let shop = pair.from.database("shop");
    for name in ["a", "b", "c", "d", "e"] {
        let coll = shop.collection::<Document>(name);
        coll.insert_many((0..5).map(|n| doc! {"_id": n, "in": name})).await.unwrap();
    }
    let rename = |from: &str, to: &str, drop: bool| {
        doc! {"renameCollection": from, "to": to, "dropTarget": drop}
    };
    run(&pair.from, "admin", rename("shop.a", "shop.b", true)).await;
    run(&pair.from, "admin", rename("shop.b", "shop.a.b", false)).await;
    run(&pair.from, "admin", rename("shop.c", "store.c", false)).await;
    run(&pair.from, "shop", doc! {"drop": "d"}).await;
    run(&pair.from, "shop", doc! {"create": "view", "viewOn": "e", "pipeline": []}).await;
    run(&pair.from, "shop", doc! {"drop": "view"}).await;
    shop.collection::<Document>("d").insert_one(doc! {"_id": "again"}).await.unwrap();
    run(&pair.from, "shop", doc! {"convertToCapped": "e", "size": 8192}).await;
    let out = vec![doc! {"$match": {}}, doc! {"$out": {"db": "store", "coll": "out"}}];
    drop(shop.collection::<Document>("d").aggregate(out).await.unwrap());
    for db in ["gone", "back"] {
        let coll = pair.from.database(db).collection::<Document>("x");
        coll.insert_one(doc! {"_id": 1}).await.unwrap();
        run(&pair.from, db, doc! {"dropDatabase": 1}).await;
    }
    let coll = pair.from.database("back").collection::<Document>("x");
    coll.insert_one(doc! {"_id": 2}).await.unwrap();
    // A conversion copies documents in the order in which the target has them.
    let sink = pair.sink().await.with_order(Order::Namespace);
    assert_plain(&apply(sink, pair.events().await, None).await.unwrap());
    pair.compare().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_creates_comes_out_the_same() {
    let pair = Pair::start().await;
    let mut session = pair.from.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    for name in ["new", "newer"] {
        let coll = pair.from.database("shop").collection::<Document>(name);
        coll.insert_one(doc! {"_id": 1}).session(&mut session).await.unwrap();
    }
    session.commit_transaction().await.unwrap();
    assert_plain(&pair.apply_and_compare().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_series_is_skipped_and_said_to_be() {
    let pair = Pair::start().await;
    let series = doc! {"create": "series", "timeseries": {"timeField": "t", "metaField": "m"}};
    run(&pair.from, "shop", series).await;
    let coll = pair.from.database("shop").collection::<Document>("series");
    coll.insert_one(doc! {"t": bson::DateTime::now(), "m": 1}).await.unwrap();
    run(&pair.from, "shop", doc! {"drop": "series"}).await;
    let tally = apply(pair.sink().await, pair.events().await, None).await.unwrap();
    assert_eq!(tally.skipped.len(), 1, "{tally:?}");
    assert!(tally.skipped[0].reason.contains("time-series"));
    pair.compare().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_knows_is_skipped_and_what_means_nothing_is_ignored() {
    let pair = Pair::start().await;
    let events = [
        doc! {"operationType": "migrateLastChunkFromShard", "ns": {"db": "shop", "coll": "a"}},
        doc! {"operationType": "endOfTransaction"},
        doc! {"operationType": "invalidate"},
        doc! {"operationType": "shardCollection", "ns": {"db": "shop", "coll": "a"}},
        doc! {"splitEvent": {"fragment": 1, "of": 2}, "operationType": "insert"},
        doc! {"splitEvent": {"fragment": 2, "of": 2}},
        doc! {
            "operationType": "insert", "ns": {"db": "shop", "coll": "a"},
            "documentKey": {"_id": 1}, "fullDocument": {"_id": 1},
        },
    ];
    let events = events.iter().map(|event| RawDocumentBuf::try_from(event).unwrap()).collect();
    let tally = apply(pair.sink().await, events, None).await.unwrap();
    let skipped: Vec<_> = tally.skipped.iter().map(|s| (s.first.get(), s.events)).collect();
    assert_eq!(skipped, [(0, 1), (1, 1), (3, 1), (4, 2)], "{tally:?}");
    assert_eq!(raw(&pair.to, "a").count_documents(doc! {}).await.unwrap(), 1);
}

/// The roles that the documentation names: both are needed, and together they suffice.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_the_documented_roles_may_apply_everything() {
    let mut pair = Pair::start().await;
    pair.target = ReplicaSet::single().auth(true).start().await.unwrap();
    pair.to = pair.target.client().unwrap();
    let seed = changetape_testkit::seed();
    changetape_testkit::workload::OrderShop::new(seed).steps(300).run(&pair.from).await.unwrap();
    pair.from.database("shop").drop().await.unwrap();
    define_everything(&pair.from).await;
    let roles = ["readWriteAnyDatabase", "dbAdminAnyDatabase"];
    for (name, roles) in [("few", &roles[..1]), ("enough", &roles[..])] {
        let user = doc! {"createUser": name, "pwd": "p", "roles": roles};
        run(&pair.to, "admin", user).await;
    }
    let events = pair.events().await;
    let few = sink(&pair.target.uri_as("few", "p")).await;
    let error = apply(few, events.clone(), None).await.unwrap_err().to_string();
    assert!(error.contains("not authorized"), "{error}");
    let enough = sink(&pair.target.uri_as("enough", "p")).await;
    apply(enough, events, None).await.unwrap();
    pair.compare().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_and_options_that_change_come_out_the_same() {
    let pair = Pair::start().await;
    let from = &pair.from;
    let shop = async |command| run(from, "shop", command).await;
    let coll = from.database("shop").collection::<Document>("a");
    let index = |name: &str| doc! {"key": {name: 1}, "name": name};
    let indexes = ["unique", "hidden", "shown", "gone", "by key", "all"].map(index);
    shop(doc! {"createIndexes": "a", "indexes": indexes.to_vec()}).await;
    let change = |name: &str, option: &str, to: bool| {
        doc! {"collMod": "a", "index": {"name": name, option: to}}
    };
    shop(change("unique", "prepareUnique", true)).await;
    coll.insert_many((0..20).map(|n| doc! {"_id": n, "unique": n})).await.unwrap();
    shop(change("unique", "unique", true)).await;
    // What one document has had goes to another: only one after the other.
    for n in (0..20).rev() {
        let set = doc! {"$set": {"unique": n + 1}};
        coll.update_one(doc! {"_id": n}, set).await.unwrap();
    }
    for (name, hidden) in [("hidden", true), ("shown", true), ("shown", false)] {
        shop(change(name, "hidden", hidden)).await;
    }
    shop(doc! {"dropIndexes": "a", "index": ["gone", "all"]}).await;
    shop(doc! {"dropIndexes": "a", "index": {"by key": 1}}).await;
    shop(doc! {"createIndexes": "b", "indexes": [index("x"), index("y")]}).await;
    shop(doc! {"dropIndexes": "b", "index": "*"}).await;

    shop(doc! {"create": "log", "capped": true, "size": 65_536, "max": 50}).await;
    shop(doc! {"collMod": "log", "cappedSize": 131_072, "cappedMax": 70}).await;
    for enabled in [true, false, true] {
        let images = doc! {"collMod": "b", "changeStreamPreAndPostImages": {"enabled": enabled}};
        shop(images).await;
        raw(from, "b").insert_one(bson::rawdoc! {"enabled": enabled}).await.unwrap();
        let set = doc! {"$set": {"seen": true}};
        raw(from, "b").update_many(doc! {}, set).await.unwrap();
        raw(from, "b").delete_one(doc! {}).await.unwrap();
    }
    let validator = doc! {"validator": {"n": 1}, "validationLevel": "strict"};
    let mut valid = doc! {"collMod": "b"};
    valid.extend(validator);
    shop(valid).await;
    shop(doc! {"collMod": "b", "validator": {}, "validationLevel": "off"}).await;
    assert_plain(&pair.apply_and_compare().await);
}

/// What a collection lets be done with its events is no other's of the same name.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_leads_to_what_had_it_last() {
    let pair = Pair::start().await;
    let from = &pair.from;
    let shop = async |command| run(from, "shop", command).await;
    let coll = from.database("shop").collection::<Document>("a");
    let caseless = doc! {"create": "a", "collation": {"locale": "en", "strength": 2}};
    let capped = doc! {"create": "a", "capped": true, "size": 65_536};
    let unique = doc! {"key": {"n": 1}, "name": "n", "unique": true};
    for round in 0..3 {
        // Nothing ties one document to another.
        coll.insert_many((0..10).map(|n| doc! {"_id": n, "round": round})).await.unwrap();
        shop(doc! {"drop": "a"}).await;
        // Two names are one, as long as they are in order.
        shop(caseless.clone()).await;
        for id in ["anna", "ANNA", "Anna", "aNNa"].repeat(3) {
            coll.delete_one(doc! {"_id": "anna"}).await.unwrap();
            coll.insert_one(doc! {"_id": id, "round": round}).await.unwrap();
        }
        shop(doc! {"create": "b"}).await;
        shop(doc! {"createIndexes": "b", "indexes": [&unique]}).await;
        let rename = doc! {"renameCollection": "shop.b", "to": "shop.a", "dropTarget": true};
        run(from, "admin", rename).await;
        // One number goes from one to the next.
        for n in 0..20 {
            coll.insert_one(doc! {"_id": n, "n": 1}).await.unwrap();
            coll.update_one(doc! {"_id": n}, doc! {"$set": {"n": -1 - n}}).await.unwrap();
        }
        run(from, "shop", doc! {"dropDatabase": 1}).await;
        // Their order shows.
        shop(capped.clone()).await;
        coll.insert_many((0..50).map(|n| doc! {"_id": n, "round": round})).await.unwrap();
        if round < 2 {
            shop(doc! {"drop": "a"}).await;
        }
    }
    assert_plain(&pair.apply_and_compare().await);
}
