//! Goal: workloads do what they say they did, and the same for the same seed.
//! Method: a change stream over the whole deployment counts what they claim, and a second
//! run with the same seed leaves the same documents.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use bson::{Document, doc};
use changetape_core::{Namespace, OperationType};
use changetape_testkit::compare::Dump;
use changetape_testkit::workload::{Bursts, OrderShop, RandomDocuments, Tally};
use changetape_testkit::{ReplicaSet, seed};
use futures_util::StreamExt;
use mongodb::{Client, Cursor};

async fn watch(client: &Client) -> Cursor<Document> {
    let stream = doc! {"$changeStream": {"allChangesForCluster": true, "showExpandedEvents": true}};
    client.database("admin").aggregate([stream]).await.unwrap()
}

/// What the stream delivers up to a marker that is written now.
async fn tally_of(mut stream: Cursor<Document>, client: &Client) -> Tally {
    client.database("marker").collection("end").insert_one(doc! {}).await.unwrap();
    let mut tally = Tally::new();
    loop {
        let event = stream.next().await.unwrap().unwrap();
        if event.get_document("ns").unwrap().get_str("db").unwrap() == "marker" {
            return tally;
        }
        tally.add(OperationType::from(event.get_str("operationType").unwrap()), 1);
    }
}

/// An order names a customer and articles that there are, so its transaction changes them too;
/// and none is so old that the server would remove it within the minute.
async fn assert_reaches_what_it_names(client: &Client) {
    let count = async |coll: &str, filter: Document| {
        client.database("shop").collection::<Document>(coll).count_documents(filter).await.unwrap()
    };
    assert!(count("customers", doc! {"recent_orders.0": {"$exists": true}}).await > 0);
    assert!(count("customers", doc! {"name": {"$exists": false}}).await > 0, "replaced");
    assert!(count("stock", doc! {"change": {"$exists": true}}).await > 0, "updated by many");
    let opening = bson::DateTime::from_millis(1_772_438_400_000);
    assert_eq!(count("orders", doc! {"placed": {"$lt": opening}}).await, 0);
}

#[tokio::test]
async fn the_order_shop_causes_the_events_that_it_counts() {
    let seed = seed();
    let set = ReplicaSet::single().start().await.unwrap();
    let client = set.client().unwrap();
    for round in 0..3 {
        let stream = watch(&client).await;
        let claimed = OrderShop::new(seed + round).run(&client).await.unwrap();
        assert_eq!(claimed, tally_of(stream, &client).await);
        // All kinds that an unsharded deployment has.
        for kind in OperationType::KNOWN.iter().take(11) {
            assert!(claimed.of(kind) > 0, "no {kind} among {claimed}");
        }
        assert_reaches_what_it_names(&client).await;
        client.database("shop").drop().await.unwrap();
        client.database("marker").drop().await.unwrap();
    }
}

#[tokio::test]
async fn random_documents_and_bursts_cause_the_events_that_they_count() {
    let seed = seed();
    let set = ReplicaSet::single().start().await.unwrap();
    let client = set.client().unwrap();
    let stream = watch(&client).await;
    let claimed = RandomDocuments::new(seed).run(&client).await.unwrap();
    let delivered = tally_of(stream, &client).await;
    let changes =
        |tally: &Tally| tally.of(&OperationType::Update) + tally.of(&OperationType::Replace);
    assert_eq!(claimed.total(), delivered.total(), "claimed {claimed}, delivered {delivered}");
    assert_eq!(changes(&claimed), changes(&delivered), "claimed {claimed}, delivered {delivered}");
    // No more than a few of the updates, or the workload misses its purpose.
    assert!(delivered.of(&OperationType::Update) > 100, "delivered {delivered}");

    let stream = watch(&client).await;
    let (bursts, claimed) = Bursts::new(seed).run(&client).await.unwrap();
    let inserted: u64 = bursts.iter().map(|burst| u64::from(burst.documents)).sum();
    assert_eq!(claimed.of(&OperationType::Insert), inserted);
    // The marker's collection is there already, so the marker is one insert now.
    assert_eq!(claimed, tally_of(stream, &client).await);
}

#[tokio::test]
async fn the_order_shop_trades_on_while_a_node_is_down() {
    let seed = seed();
    let mut set = ReplicaSet::three_with_auth().start().await.unwrap();
    let primary = set.primary().await.unwrap();
    set.kill((primary + 1) % 3);
    let client = set.client().unwrap();
    let shop = OrderShop::new(seed).steps(50);
    let trade = tokio::time::timeout(Duration::from_secs(60), shop.run(&client));
    trade.await.expect("still not closed").unwrap();
}

#[tokio::test]
async fn one_seed_leaves_one_state_and_another_seed_another() {
    let seed = seed();
    let set = ReplicaSet::single().start().await.unwrap();
    let client = set.client().unwrap();
    let mut dumps = Vec::new();
    for seed in [seed, seed, seed + 1] {
        RandomDocuments::new(seed).run(&client).await.unwrap();
        OrderShop::new(seed).steps(100).run(&client).await.unwrap();
        // The clock writes into orders, too.
        let orders = Namespace::collection("shop", "orders");
        let dump = Dump::take(&client).await.unwrap();
        dumps.push(dump.filtered(|namespace| *namespace != orders));
        for database in ["random", "shop"] {
            client.database(database).drop().await.unwrap();
        }
    }
    assert!(dumps[0].documents() > 100);
    let differences = dumps[0].differences(&dumps[1]);
    assert!(differences.is_empty(), "{differences}");
    assert!(!dumps[0].differences(&dumps[2]).is_empty());
}

#[tokio::test]
async fn a_dump_has_views_options_indexes_and_the_order_of_capped_collections() {
    let set = ReplicaSet::single().start().await.unwrap();
    let client = set.client().unwrap();
    let database = client.database("d");
    for command in [
        doc! {"create": "capped", "capped": true, "size": 4096},
        doc! {"create": "view", "viewOn": "capped", "pipeline": [{"$match": {}}]},
        doc! {"createIndexes": "capped", "indexes": [{"key": {"a": 1}, "name": "by a"}]},
    ] {
        database.run_command(command).await.unwrap();
    }
    let capped = database.collection::<Document>("capped");
    capped.insert_many([doc! {"_id": 2}, doc! {"_id": 1}]).await.unwrap();
    let dump = Dump::take(&client).await.unwrap();
    let found: Vec<_> = dump.collections().collect();
    assert_eq!(found.len(), 2, "{found:?}");
    let (name, capped) = found[0];
    assert_eq!(name.to_string(), "d.capped");
    assert!(capped.options.get_bool("capped").unwrap());
    assert_eq!(capped.indexes.keys().collect::<Vec<_>>(), ["_id_", "by a"]);
    assert_eq!(capped.documents.len(), 2);
    let by_key: Vec<_> = capped.documents.keys().cloned().collect();
    let in_order = capped.order.clone().unwrap();
    assert_eq!(in_order, by_key.into_iter().rev().collect::<Vec<_>>());
    assert_eq!(found[1].1.kind, "view");
    assert_eq!(found[1].1.options.get_str("viewOn").unwrap(), "capped");
}
