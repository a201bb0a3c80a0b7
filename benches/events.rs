//! The events that benchmarks run on: recorded from a real server, made once and kept.
//!
//! A mongod is started, the seeded workload runs on it, and its change stream, in the raw form
//! that a tape holds, is kept under `target/bench-events/`: the documents' BSON, one after the
//! other. Delete the file to have it made again.

pub mod arguments;
pub mod mixed;
pub mod process;

use std::fs;
use std::path::{Path, PathBuf};

use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{Timestamp, doc};
use changetape_core::{ChangeEvent, ResumeToken};
use changetape_testkit::workload::OrderShop;
use changetape_testkit::{ReplicaSet, present, target_directory};
use futures_util::StreamExt as _;

/// The same shop every time.
const SEED: u64 = 1;

/// Steps of trade; makes somewhat more events.
const STEPS: u32 = 20_000;

/// Why there are no events to run on.
pub type Error = Box<dyn std::error::Error>;

/// The recorded events, in stream order.
///
/// # Errors
/// If there is no mongod to record from, or the file cannot be written or read.
pub fn recorded() -> Result<Vec<RawDocumentBuf>, Error> {
    let path = path();
    if !path.exists() {
        let events = tokio::runtime::Runtime::new()?.block_on(record())?;
        write(&path, &events)?;
    }
    read(&path)
}

/// The token to resume the stream after the last of some events.
///
/// # Errors
/// If there are none.
pub fn token_after(events: &[&RawDocument]) -> Result<ResumeToken, Error> {
    let last = events.last().ok_or("no events were recorded")?;
    Ok(ChangeEvent::from(*last).token()?)
}

/// The middle of some figures.
#[must_use]
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

fn path() -> PathBuf {
    target_directory().join("bench-events").join(format!("order-shop-{SEED}-{STEPS}.bson"))
}

async fn record() -> Result<Vec<RawDocumentBuf>, Error> {
    let source = ReplicaSet::single().start().await?;
    let client = source.client()?;
    let admin = client.database("admin");
    let begin = present(&client).await?;
    OrderShop::new(SEED).steps(STEPS).run(&client).await?;
    let end = present(&client).await?;

    let stage = doc! {"$changeStream": {
        "allChangesForCluster": true,
        "showExpandedEvents": true,
        "showRawUpdateDescription": true,
        "startAtOperationTime": Timestamp::from(begin),
    }};
    let mut batches = admin.aggregate([stage]).batch().await?;
    let mut events = Vec::new();
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        for event in batch.doc_slices()? {
            events.extend(event?.as_document().map(RawDocument::to_owned));
        }
        let cursor = batch.as_raw_document().get_document("cursor")?;
        let token = ResumeToken::from_raw(cursor.get_document("postBatchResumeToken")?);
        if token.cluster_time() >= Some(end) {
            break;
        }
    }
    Ok(events)
}

fn write(path: &Path, events: &[RawDocumentBuf]) -> Result<(), Error> {
    let bytes: Vec<u8> = events.iter().flat_map(|event| event.as_bytes()).copied().collect();
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    // Under its name only when it is whole: an interrupted run must not leave half a file.
    let unfinished = path.with_extension("unfinished");
    fs::write(&unfinished, bytes)?;
    Ok(fs::rename(unfinished, path)?)
}

fn read(path: &Path) -> Result<Vec<RawDocumentBuf>, Error> {
    let bytes = fs::read(path)?;
    let mut rest = bytes.as_slice();
    let mut events = Vec::new();
    while !rest.is_empty() {
        events.push(RawDocumentBuf::from_reader(&mut rest)?);
    }
    Ok(events)
}
