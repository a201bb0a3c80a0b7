//! A recorder held in the middle of its base, for as long as a test needs.

use bson::doc;
use changetape_testkit::{ReplicaSet, ReplicaSetBuilder};
use mongodb::{Client, Database};

/// Where the server waits, while it is told to: before a cursor reads on, and before it counts.
const READING: &str = "waitAfterPinningCursorBeforeGetMoreBatch";
const COUNTING: &str = "hangBeforeCollectionCount";

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

/// Whoever reads on in `bulk.documents`, or counts it, is held.
pub(super) struct Hold {
    admin: Database,
    point: &'static str,
    entered: i32,
}

impl Hold {
    /// Holds who reads on.
    pub(super) async fn begin(client: &Client) -> Self {
        Self::at(client, READING).await
    }

    /// Holds who counts.
    pub(super) async fn before_counting(client: &Client) -> Self {
        Self::at(client, COUNTING).await
    }

    async fn at(client: &Client, point: &'static str) -> Self {
        let admin = client.database("admin");
        let data = doc! {"nss": "bulk.documents"};
        let on = doc! {"configureFailPoint": point, "mode": "alwaysOn", "data": data};
        let entered = admin.run_command(on).await.unwrap().get_i32("count").unwrap();
        Self { admin, point, entered }
    }

    /// Waits until somebody is held.
    pub(super) async fn reached(&self) {
        let entered = self.entered + 1;
        let wait =
            doc! {"waitForFailPoint": self.point, "timesEntered": entered, "maxTimeMS": 60_000};
        self.admin.run_command(wait).await.unwrap();
    }

    pub(super) async fn end(self) {
        let off = doc! {"configureFailPoint": self.point, "mode": "off"};
        self.admin.run_command(off).await.unwrap();
    }
}
