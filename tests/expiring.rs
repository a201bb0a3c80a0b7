//! Targets whose TTL monitor is quick, and sources that keep what has expired.

use bson::{DateTime, Document, doc};
use changetape_testkit::{ReplicaSet, ReplicaSetBuilder};
use mongodb::Client;

use crate::watched::until;

/// A time that is past whatever the expiry: what some programs write for none.
pub(crate) fn long_ago() -> DateTime {
    DateTime::from_millis(-62_135_596_800_000)
}

/// A time that the longest expiry is not past yet.
pub(crate) fn not_so_long_ago() -> DateTime {
    DateTime::from_millis(1_000_000_000_000)
}

/// A server that deletes nothing by itself.
pub(crate) fn keeping() -> ReplicaSetBuilder {
    ReplicaSet::single().set_parameter("ttlMonitorEnabled", "false")
}

/// A server that deletes what has expired within a second or two.
pub(crate) fn quick() -> ReplicaSetBuilder {
    ReplicaSet::single().set_parameter("ttlMonitorSleepSecs", "1")
}

/// Waits until a pass has begun and ended that deletes whatever may be deleted now.
pub(crate) async fn after_a_pass(client: &Client) {
    // One may be under way.
    let wanted = passes(client).await + 2;
    until("a pass of the TTL monitor", async || {
        let passes = passes(client).await;
        if passes >= wanted { Ok(()) } else { Err((passes, wanted)) }
    })
    .await;
}

async fn passes(client: &Client) -> i64 {
    let status = client.database("admin").run_command(doc! {"serverStatus": 1}).await.unwrap();
    let ttl = status.get_document("metrics").unwrap().get_document("ttl").unwrap();
    ttl.get_i64("passes").unwrap()
}

/// Lets the server delete what has expired, or not, from now on.
pub(crate) async fn set_monitor(client: &Client, enabled: bool) {
    let admin = client.database("admin");
    let set = doc! {"setParameter": 1, "ttlMonitorEnabled": enabled};
    admin.run_command(set).await.unwrap();
    if enabled {
        return;
    }
    until("idle", async || {
        let active = doc! {"desc": "TTLMonitor", "active": true, "op": {"$ne": "none"}};
        let under_way = vec![doc! {"$currentOp": {"allUsers": true}}, doc! {"$match": active}];
        let mut found = admin.aggregate(under_way).await.unwrap();
        if found.advance().await.unwrap() { Err(found.deserialize_current()) } else { Ok(()) }
    })
    .await;
}

/// Waits until a collection has no documents any more.
pub(crate) async fn until_empty(client: &Client, db: &str, coll: &str) {
    let coll = client.database(db).collection::<Document>(coll);
    until("everything expired", async || match coll.count_documents(doc! {}).await.unwrap() {
        0 => Ok(()),
        left => Err(left),
    })
    .await;
}
