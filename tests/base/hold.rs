//! A recorder held in the middle of its base, for as long as a test needs.

use bson::doc;
use changetape_testkit::ReplicaSet;
use mongodb::Client;

use crate::hold::{Hold, can_hold};

/// Where the server waits, while it is told to: before a cursor reads on, and before it counts.
const READING: &str = "waitAfterPinningCursorBeforeGetMoreBatch";
const COUNTING: &str = "hangBeforeCollectionCount";

/// How many documents the server sends before that: its first batch.
pub(super) const FIRST: u32 = 101;

/// More than that, for there to be a middle.
pub(super) const DOCUMENTS: u32 = 2_000;

/// One node that can, with [`DOCUMENTS`] in it.
pub(super) async fn source() -> (ReplicaSet, Client) {
    let source = can_hold(ReplicaSet::single()).start().await.unwrap();
    let client = source.client().unwrap();
    super::fill(&client, DOCUMENTS).await;
    (source, client)
}

/// Holds who reads on in `bulk.documents`.
pub(super) async fn reading(client: &Client) -> Hold {
    at(client, READING).await
}

/// Holds who counts it.
pub(super) async fn counting(client: &Client) -> Hold {
    at(client, COUNTING).await
}

async fn at(client: &Client, point: &'static str) -> Hold {
    Hold::begin(client, point, "alwaysOn", doc! {"nss": "bulk.documents"}).await
}
