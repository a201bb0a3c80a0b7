//! `Summary`: what is on a tape, counted: what the catalog says of its segments, and the live end
//! where a recording in this process has one.

use std::collections::BTreeMap;

use changetape_core::{Arrival, ClusterTime, Namespace, OperationType, Seq, WallTime};

use crate::block::Times;
use crate::catalog::Catalog;
use crate::segment::{Kind, KindCounts, Kinds};
use crate::{Base, BaseSummary, Checkpoint, Dropped, Error, Gap, TapeReader};

/// What is on a tape, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many events.
    pub events: u64,
    /// The first event's place; that of the next where there is none.
    pub start: Seq,
    /// One past the last event's.
    pub end: Seq,
    /// How many blocks they are in.
    pub blocks: u64,
    /// How many segments those are in.
    pub segments: u64,
    /// The events' BSON in bytes, uncompressed.
    pub raw_bytes: u64,
    /// What the tape takes on disk, in bytes, its base included.
    pub disk_bytes: u64,
    /// The earliest and latest wall time, which is an event's `wallTime` or the second of its
    /// `clusterTime`; `None` if no event has either.
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
    /// Where events are known to be missing.
    pub gaps: Vec<Gap>,
    /// What retention has dropped.
    pub dropped: Option<Dropped>,
    /// What there was before the first event; `None` if that was not recorded.
    pub base: Option<BaseSummary>,
    /// Where the recording would continue.
    pub checkpoint: Option<Checkpoint>,
}

impl Summary {
    /// How many namespaces are counted one by one: memory stays bounded whatever is on the
    /// tape, and nobody reads a longer list.
    pub const MAX_NAMESPACES: usize = 10_000;

    /// How many operation types are counted one by one: servers know some twenty.
    pub const MAX_OPERATIONS: usize = 100;

    fn add_kinds(&mut self, KindCounts { list, others }: KindCounts) {
        self.other_namespaces += others;
        self.other_operations += others;
        for (Kind { namespace, operation }, events) in list.into_iter().filter(|(_, n)| *n > 0) {
            match namespace {
                Some(namespace) => tally(
                    &mut self.namespaces,
                    namespace,
                    events,
                    Self::MAX_NAMESPACES,
                    &mut self.other_namespaces,
                ),
                None => self.without_namespace += events,
            }
            match operation {
                Some(operation) => tally(
                    &mut self.operations,
                    operation,
                    events,
                    Self::MAX_OPERATIONS,
                    &mut self.other_operations,
                ),
                None => self.other_operations += events,
            }
        }
    }

    fn add_arrivals(&mut self, (first, last): (Arrival, Arrival)) {
        let (begin, _) = self.arrivals.unwrap_or((first, last));
        self.arrivals = Some((begin, last));
    }
}

impl TapeReader {
    /// What is on the tape.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn summary(&self) -> Result<Summary, Error> {
        self.count(&*self.whole_catalog()?)
    }

    /// Counts what a catalog says, and what follows it by now.
    fn count(&self, catalog: &Catalog) -> Result<Summary, Error> {
        let mut summary = Summary {
            start: catalog.start(),
            end: self.end(),
            gaps: self.gaps(),
            dropped: catalog.dropped,
            base: self.base()?.as_ref().map(Base::summary),
            checkpoint: self.checkpoint(),
            disk_bytes: self.disk_bytes()?,
            ..Summary::default()
        };
        let mut times = Times::default();
        for listed in &catalog.segments {
            summary.segments += 1;
            summary.events += listed.end.since(listed.first);
            summary.blocks += listed.blocks;
            summary.raw_bytes += listed.raw_bytes;
            times.add(&listed.times);
            summary.add_arrivals(listed.arrivals);
        }
        summary.add_kinds(catalog.kinds.clone());
        let mut kinds = Kinds::default();
        for block in self.blocks(catalog.next) {
            // What has been sealed meanwhile may have been merged with what is counted.
            let block = block?.starting_at(catalog.next);
            kinds.add(&block);
            summary.events += block.len() as u64;
            summary.blocks += 1;
            summary.raw_bytes += block.raw_bytes() as u64;
            times.add(&block.header().times);
            summary.add_arrivals(block.header().arrivals());
        }
        summary.add_kinds(kinds.finish());
        (summary.wall_times, summary.cluster_times) = (times.wall, times.cluster);
        Ok(summary)
    }
}

/// Counts events of a kind, or, beyond the limit, among the others.
fn tally<T: Ord>(
    counts: &mut BTreeMap<T, u64>,
    kind: T,
    events: u64,
    limit: usize,
    others: &mut u64,
) {
    if let Some(count) = counts.get_mut(&kind) {
        *count += events;
    } else if counts.len() < limit {
        counts.insert(kind, events);
    } else {
        *others += events;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{TapeOptions, samples};

    #[test]
    fn what_is_merged_with_what_was_counted_is_not_counted_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders.tape");
        let options = TapeOptions { seal_after: Duration::ZERO, ..TapeOptions::default() };
        let mut writer = options.create(&path, samples::metadata()).unwrap();
        let reader = writer.reader();
        let mut next = 0;
        let mut append_until = |is_enough: &dyn Fn(&Catalog) -> bool| {
            while !is_enough(&reader.catalog()) {
                samples::append(&mut writer, next..next + 1);
                next += 1;
            }
        };
        append_until(&|catalog| catalog.next > Seq::ZERO);
        let known = reader.catalog();
        append_until(&|catalog| catalog.segments.len() > 20);
        // With its end everything is merged.
        writer.close().unwrap();
        let now = reader.catalog();
        let holding = now.segments.iter().find(|listed| listed.events().contains(&known.next));
        assert!(holding.unwrap().first < known.next, "merged with what was counted");
        let summary = reader.count(&known).unwrap();
        assert_eq!((summary.events, summary.namespaces.values().sum()), (next, next));
    }
}
