//! Commands that a server holds, for as long as a test needs.

use bson::{Bson, Document, doc};
use changetape_testkit::ReplicaSetBuilder;
use mongodb::{Client, Database};

/// A set that can hold commands.
pub(crate) fn can_hold(set: ReplicaSetBuilder) -> ReplicaSetBuilder {
    set.set_parameter("enableTestCommands", "1")
}

/// Whatever reaches a place in the server stays there until this ends.
pub(crate) struct Hold {
    admin: Database,
    point: &'static str,
    entered: i32,
}

impl Hold {
    /// Holds at a fail point, in a mode of it, what its `data` says.
    pub(crate) async fn begin(
        client: &Client,
        point: &'static str,
        mode: impl Into<Bson>,
        data: Document,
    ) -> Self {
        let admin = client.database("admin");
        let on = doc! {"configureFailPoint": point, "mode": mode.into(), "data": data};
        let entered = admin.run_command(on).await.unwrap().get_i32("count").unwrap();
        Self { admin, point, entered }
    }

    /// Waits until something is held.
    pub(crate) async fn reached(&self) {
        self.reached_times(1).await;
    }

    /// Waits until something has come there so often.
    pub(crate) async fn reached_times(&self, times: i32) {
        let entered = self.entered + times;
        let wait =
            doc! {"waitForFailPoint": self.point, "timesEntered": entered, "maxTimeMS": 60_000};
        self.admin.run_command(wait).await.unwrap();
    }

    /// Lets it go on.
    pub(crate) async fn end(self) {
        let off = doc! {"configureFailPoint": self.point, "mode": "off"};
        self.admin.run_command(off).await.unwrap();
    }
}
