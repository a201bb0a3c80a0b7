//! A recorder held in the middle of its base, for as long as a test needs.

use bson::doc;
use changetape_testkit::{ReplicaSet, ReplicaSetBuilder};
use mongodb::{Client, Database};

/// Where the server waits, while it is told to, before a cursor reads on.
const POINT: &str = "waitAfterPinningCursorBeforeGetMoreBatch";

/// How many documents the server sends before that: its first batch.
pub(super) const FIRST: u32 = 101;

/// More than that, for there to be a middle.
pub(super) const DOCUMENTS: u32 = 2_000;

/// A set that can hold a recorder.
pub(super) fn can_hold(set: ReplicaSetBuilder) -> ReplicaSetBuilder {
    set.set_parameter("enableTestCommands", "1")
}

/// One node that can, with [`DOCUMENTS`] in it.
pub(super) async fn source() -> (ReplicaSet, Client) {
    let source = can_hold(ReplicaSet::single()).start().await.unwrap();
    let client = source.client().unwrap();
    super::fill(&client, DOCUMENTS).await;
    (source, client)
}

/// Whoever reads on in `bulk.documents` is held.
pub(super) struct Hold {
    admin: Database,
    entered: i32,
}

impl Hold {
    pub(super) async fn begin(client: &Client) -> Self {
        let admin = client.database("admin");
        let data = doc! {"nss": "bulk.documents"};
        let on = doc! {"configureFailPoint": POINT, "mode": "alwaysOn", "data": data};
        let entered = admin.run_command(on).await.unwrap().get_i32("count").unwrap();
        Self { admin, entered }
    }

    /// Waits until somebody is held.
    pub(super) async fn reached(&self) {
        let entered = self.entered + 1;
        let wait = doc! {"waitForFailPoint": POINT, "timesEntered": entered, "maxTimeMS": 60_000};
        self.admin.run_command(wait).await.unwrap();
    }

    pub(super) async fn end(self) {
        let off = doc! {"configureFailPoint": POINT, "mode": "off"};
        self.admin.run_command(off).await.unwrap();
    }
}
