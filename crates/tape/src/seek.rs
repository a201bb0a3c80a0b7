//! Finding a place on a tape by time.
//!
//! Time runs backwards now and then, so the first event at or after a time, in the tape's
//! order, is not found by halving on the events' own times. Each block's header has the
//! latest time on the tape up to its end; that only grows, and the first block in which it
//! reaches the time sought holds the event. So: halve on it, reading a header per step, then
//! read that one block.

use changetape_core::{ClusterTime, Position, Seq, WallTime};

use crate::block::{Header, times};
use crate::{Error, TapeReader, opening};

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
            Position::Seq(seq) => Ok(seq.min(self.end())),
            Position::Time(time) => self.seek_time(Sought::Wall(time)),
            Position::Cluster(time) => self.seek_time(Sought::Cluster(time)),
        }
    }

    fn seek_time(&self, sought: Sought) -> Result<Seq, Error> {
        // The block sought holds a place in `low..high`, if there is one.
        let (mut low, mut high) = (Seq::ZERO, self.end());
        let mut found = None;
        while low < high {
            let middle = Seq::new(low.get() + high.since(low) / 2);
            let header = self.header_at(middle)?;
            if sought.is_reached_by(&header) {
                found = Some(header.first);
                high = header.first;
            } else {
                low = header.end();
            }
        }
        let Some(first) = found else { return Ok(self.end()) };
        for block in self.blocks(first) {
            for event in block?.events() {
                if sought.is_at_or_before(event.event.as_raw()) {
                    return Ok(event.seq);
                }
            }
        }
        Ok(self.end())
    }

    /// The header of the block that holds a place before the end.
    fn header_at(&self, seq: Seq) -> Result<Header, Error> {
        let path = &self.tape.path;
        let Some((key, bytes)) = self.tape.log.block_at(seq)? else {
            return Err(opening::damaged(path, format!("the log does not hold {seq}")));
        };
        match Header::decode(&bytes) {
            Ok(header) if header.first == key && header.end() > seq => Ok(header),
            Ok(_) => Err(opening::damaged(path, format!("the log does not hold {seq}"))),
            Err(error) => Err(opening::block_error(path, key, &error)),
        }
    }
}

/// A time on one of the clocks.
#[derive(Debug, Clone, Copy)]
enum Sought {
    Wall(WallTime),
    Cluster(ClusterTime),
}

impl Sought {
    /// Whether an event up to the block's end is at or after the time.
    fn is_reached_by(self, header: &Header) -> bool {
        match self {
            Self::Wall(time) => header.high.wall.is_some_and(|high| high >= time),
            Self::Cluster(time) => header.high.cluster.is_some_and(|high| high >= time),
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
