//! `Summary`: what is on a tape, counted.

use std::collections::{BTreeMap, HashMap};

use changetape_core::raw::find;
use changetape_core::{Arrival, ClusterTime, Namespace, OperationType, Seq, WallTime};

use crate::{Checkpoint, Error, RecordedEvent, TapeReader};

/// What is on a tape, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many events.
    pub events: u64,
    /// How many blocks they are in.
    pub blocks: u64,
    /// The events' BSON in bytes, uncompressed.
    pub raw_bytes: u64,
    /// What the tape takes on disk, in bytes.
    pub disk_bytes: u64,
    /// The earliest and latest `wallTime`; `None` if no event has one.
    pub wall_times: Option<(WallTime, WallTime)>,
    /// The earliest and latest `clusterTime`; `None` if no event has one.
    pub cluster_times: Option<(ClusterTime, ClusterTime)>,
    /// The first and last batch's arrival; `None` if there is no event.
    pub arrivals: Option<(Arrival, Arrival)>,
    /// Events by namespace: the first [`MAX_NAMESPACES`](Self::MAX_NAMESPACES) met.
    pub namespaces: BTreeMap<Namespace, u64>,
    /// Events of namespaces beyond those.
    pub other_namespaces: u64,
    /// Events without a namespace (`invalidate`).
    pub without_namespace: u64,
    /// Events by operation type: the first [`MAX_OPERATIONS`](Self::MAX_OPERATIONS) met.
    pub operations: BTreeMap<OperationType, u64>,
    /// Events of operation types beyond those.
    pub other_operations: u64,
    /// Where the recording would continue.
    pub checkpoint: Option<Checkpoint>,
}

impl Summary {
    /// How many namespaces are counted one by one: memory stays bounded whatever is on the
    /// tape, and nobody reads a longer list.
    pub const MAX_NAMESPACES: usize = 10_000;

    /// How many operation types are counted one by one: servers know some twenty.
    pub const MAX_OPERATIONS: usize = 100;
}

impl TapeReader {
    /// What is on the tape, by reading all of it; `progress` is told after each block how far
    /// that is.
    ///
    /// # Errors
    /// [`Error::Event`] if an event cannot be read as one; see [`Error`].
    pub fn summary(&self, progress: &mut dyn FnMut(Seq)) -> Result<Summary, Error> {
        let mut count = Count::default();
        for block in self.blocks(Seq::ZERO) {
            let block = block?;
            for event in block.events() {
                count.add(&event).map_err(|source| Error::Event { seq: event.seq, source })?;
            }
            count.summary.blocks += 1;
            count.summary.raw_bytes += block.raw_bytes() as u64;
            progress(block.end());
        }
        let mut summary = count.finish();
        summary.disk_bytes = self.disk_bytes()?;
        summary.checkpoint = self.checkpoint().cloned();
        Ok(summary)
    }
}

/// A count as far as it is.
#[derive(Default)]
struct Count {
    summary: Summary,
    /// By the bytes of `ns`, so that a namespace is decoded once and not for each event.
    namespaces: HashMap<Vec<u8>, (Namespace, u64)>,
    /// By the bytes of `operationType`.
    operations: HashMap<Vec<u8>, (OperationType, u64)>,
}

impl Count {
    fn add(&mut self, recorded: &RecordedEvent<'_>) -> Result<(), changetape_core::Error> {
        let RecordedEvent { event, arrival, .. } = recorded;
        let summary = &mut self.summary;
        summary.events += 1;
        extend(&mut summary.wall_times, event.wall_time()?);
        extend(&mut summary.cluster_times, event.cluster_time()?);
        let (first, _) = summary.arrivals.unwrap_or((*arrival, *arrival));
        summary.arrivals = Some((first, *arrival));

        let value = |name| Ok(find("event", event.as_bytes(), name)?.map(|element| element.value));
        match value("ns")? {
            None => summary.without_namespace += 1,
            Some(ns) => {
                let decode = || event.namespace();
                match tally(&mut self.namespaces, ns, Summary::MAX_NAMESPACES, decode)? {
                    Tally::Counted => {}
                    Tally::Full => summary.other_namespaces += 1,
                    Tally::Nothing => summary.without_namespace += 1,
                }
            }
        }
        let operation = value("operationType")?.unwrap_or_default();
        // A pipeline of the user's own may have removed it.
        let decode = || Ok(event.operation_type().ok());
        match tally(&mut self.operations, operation, Summary::MAX_OPERATIONS, decode)? {
            Tally::Counted => {}
            Tally::Full | Tally::Nothing => summary.other_operations += 1,
        }
        Ok(())
    }

    fn finish(mut self) -> Summary {
        // Servers may order the fields of `ns` one way or the other.
        for (namespace, events) in self.namespaces.into_values() {
            *self.summary.namespaces.entry(namespace).or_default() += events;
        }
        for (operation, events) in self.operations.into_values() {
            *self.summary.operations.entry(operation).or_default() += events;
        }
        self.summary
    }
}

enum Tally {
    Counted,
    Full,
    Nothing,
}

fn tally<T>(
    counts: &mut HashMap<Vec<u8>, (T, u64)>,
    key: &[u8],
    limit: usize,
    decode: impl FnOnce() -> Result<Option<T>, changetape_core::Error>,
) -> Result<Tally, changetape_core::Error> {
    if let Some((_, events)) = counts.get_mut(key) {
        *events += 1;
        return Ok(Tally::Counted);
    }
    let Some(value) = decode()? else { return Ok(Tally::Nothing) };
    if counts.len() >= limit {
        return Ok(Tally::Full);
    }
    counts.insert(key.to_vec(), (value, 1));
    Ok(Tally::Counted)
}

fn extend<T: Ord + Copy>(extent: &mut Option<(T, T)>, time: Option<T>) {
    if let Some(time) = time {
        let (min, max) = extent.unwrap_or((time, time));
        *extent = Some((min.min(time), max.max(time)));
    }
}
