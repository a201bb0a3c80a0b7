//! The documents of one collection, read at one time, in the server's own batches.

use std::time::{Duration, Instant};

use bson::{Timestamp, doc};
use changetape_core::ClusterTime;
use changetape_deployment::Deployment;
use changetape_tape::Definition;
use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::failure::Failed;
use super::write::Writer;

/// How long to wait for a batch before the connection is taken for dead. A node that lags waits
/// itself until it has the time that is to be read at.
const PATIENCE: Duration = Duration::from_secs(60);

/// Hands every document of a collection, as it was at `time`, to the writer; returns early if
/// that has failed. `began` is when reading at that time did.
pub(super) async fn read(
    deployment: &Deployment,
    definition: &Definition,
    time: ClusterTime,
    began: Instant,
    writer: &Writer,
) -> Result<(), Failed> {
    let namespace = definition.namespace().to_string();
    let failed = |error: mongodb::error::Error| {
        Failed::of_read(deployment, error, &namespace, time, began.elapsed())
    };
    let late = |_| failed(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
    let find = doc! {
        "find": &definition.coll,
        "readConcern": {"level": "snapshot", "atClusterTime": Timestamp::from(time)},
    };
    let database = deployment.client().database(&definition.db);
    let mut find = database.run_cursor_command(find);
    // Documents come from wherever the user wants the load.
    if let Some(criteria) = deployment.client().selection_criteria().cloned() {
        find = find.selection_criteria(criteria);
    }
    // The server's first batch has 101 documents, those that follow up to 16 MB.
    let mut batches = timeout(PATIENCE, find.batch()).await.map_err(late)?.map_err(failed)?;
    while let Some(batch) = timeout(PATIENCE, batches.next()).await.map_err(late)? {
        if !writer.send(batch.map_err(failed)?).await {
            return Ok(());
        }
    }
    Ok(())
}
