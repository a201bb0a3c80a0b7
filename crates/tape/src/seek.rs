//! Finding a place on a tape by time.
//!
//! Time runs backwards now and then, so the first event at or after a time, in the tape's
//! order, is not found by halving on the events' own times. Catalog and indexes have the latest
//! time on the tape up to each segment's and each block's end; that only grows, and the first
//! in which it reaches the time sought holds the event. So: halve on it in the catalog, then in
//! one index, then read one block. The live end is read through, it is short.

use changetape_core::{ClusterTime, Position, Seq, WallTime};

use crate::block::{High, times};
use crate::{Error, TapeReader};

impl TapeReader {
    /// The first event, in the tape's order, at or after a position; [`end`](Self::end) if
    /// there is none.
    ///
    /// An event without `wallTime` has the wall time of its `clusterTime`'s second.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn seek(&self, position: Position) -> Result<Seq, Error> {
        match position {
            Position::Seq(seq) => Ok(seq.max(self.start()).min(self.end())),
            Position::Time(time) => self.seek_time(Sought::Wall(time)),
            Position::Cluster(time) => self.seek_time(Sought::Cluster(time)),
        }
    }

    fn seek_time(&self, sought: Sought) -> Result<Seq, Error> {
        let catalog = self.catalog();
        let before = |high: &High| !sought.is_reached_by(high);
        let at = catalog.segments.partition_point(|listed| before(&listed.times.high));
        let from = match catalog.segments.get(at) {
            None => catalog.next,
            Some(listed) => match self.segment_at(listed.first)? {
                None => listed.first,
                Some(segment) => {
                    let index = segment.index()?;
                    let at = index.0.partition_point(|entry| before(&entry.times.high));
                    index.0.get(at).map_or(listed.first, |entry| entry.first)
                }
            },
        };
        for block in self.blocks(from) {
            for event in block?.events() {
                if sought.is_at_or_before(event.event.as_raw()) {
                    return Ok(event.seq);
                }
            }
        }
        Ok(self.end())
    }
}

/// A time on one of the clocks.
#[derive(Debug, Clone, Copy)]
enum Sought {
    Wall(WallTime),
    Cluster(ClusterTime),
}

impl Sought {
    /// Whether an event up to some place is at or after the time.
    fn is_reached_by(self, high: &High) -> bool {
        match self {
            Self::Wall(time) => high.wall.is_some_and(|high| high >= time),
            Self::Cluster(time) => high.cluster.is_some_and(|high| high >= time),
        }
    }

    /// Whether the time is at or before an event.
    fn is_at_or_before(self, event: &bson::raw::RawDocument) -> bool {
        let (wall, cluster) = times(event);
        match self {
            Self::Wall(time) => wall.is_some_and(|wall| wall >= time),
            Self::Cluster(time) => cluster.is_some_and(|cluster| cluster >= time),
        }
    }
}
