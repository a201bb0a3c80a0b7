//! The documents of one collection, read at one time, in the server's own batches.

use std::time::Instant;

use bson::{Document, Timestamp, doc};
use changetape_core::ClusterTime;
use changetape_deployment::Deployment;
use changetape_tape::Definition;
use futures_util::TryStreamExt as _;

use super::failure::Failed;
use super::write::Writer;

/// The time to read at.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadAt {
    pub(super) time: ClusterTime,
    /// Since when the server has had to know it.
    pub(super) chosen: Instant,
}

/// About how many documents a collection has. Whoever may not read it learns it here.
pub(super) async fn estimate(
    deployment: &Deployment,
    definition: &Definition,
) -> Result<u64, Failed> {
    let database = deployment.client().database(&definition.db);
    let collection = database.collection::<Document>(&definition.coll);
    deployment.answer(collection.estimated_document_count()).await.map_err(|error| {
        let doing = format!("count the documents of {}", definition.namespace());
        Failed::of(deployment, error, &doing)
    })
}

/// Reads of a collection as much as shows that it can be read as it was then.
pub(super) async fn try_one(
    deployment: &Deployment,
    definition: &Definition,
    at: ReadAt,
) -> Result<(), Failed> {
    let mut find = find(definition, at);
    find.extend(doc! {"projection": {"_id": 1}, "limit": 1, "batchSize": 1, "singleBatch": true});
    let database = deployment.client().database(&definition.db);
    let mut find = database.run_command(find);
    // Another node may not have what this one has.
    if let Some(criteria) = deployment.client().selection_criteria().cloned() {
        find = find.selection_criteria(criteria);
    }
    let found = deployment.answer(find).await;
    found.map(drop).map_err(|error| Failed::of_read(deployment, error, definition, at))
}

/// Hands every document of a collection, as it was then, to the writer; returns early if that has
/// failed.
pub(super) async fn read(
    deployment: &Deployment,
    definition: &Definition,
    at: ReadAt,
    writer: &Writer,
) -> Result<(), Failed> {
    let failed = |error| Failed::of_read(deployment, error, definition, at);
    let database = deployment.client().database(&definition.db);
    let mut find = database.run_cursor_command(find(definition, at));
    // Documents come from wherever the user wants the load.
    if let Some(criteria) = deployment.client().selection_criteria().cloned() {
        find = find.selection_criteria(criteria);
    }
    // The server's first batch has 101 documents, those that follow up to 16 MB.
    let mut batches = deployment.answer(find.batch()).await.map_err(failed)?;
    while let Some(batch) = deployment.answer(batches.try_next()).await.map_err(failed)? {
        if !writer.send(batch).await {
            return Ok(());
        }
    }
    Ok(())
}

fn find(definition: &Definition, at: ReadAt) -> Document {
    doc! {
        "find": &definition.coll,
        "readConcern": {"level": "snapshot", "atClusterTime": Timestamp::from(at.time)},
    }
}
