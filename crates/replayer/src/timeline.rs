//! `Timeline`: where each event lies in recorded time.
//!
//! Pure: recorded times in, offsets from the first event out. Offsets never go backwards,
//! whatever the recorded times do.
//!
//! # Which clock
//! An event's wall time (milliseconds) says where it lies. An event without one (a server
//! before 6.0, some events of newer ones) has its cluster time, whose seconds are whole. Such
//! an event lies anywhere in its second, so it goes no further back than the event before it
//! and, when the second is new, to its start.
//!
//! The two clocks need not agree: the cluster's runs ahead when a member's wall clock is
//! wrong. Going over from one to the other would jump by the difference, and back. So the
//! whole seconds by which they differ are taken from each event that has both, and the
//! cluster time is moved by as many.
//!
//! # Repairs
//! A recorded time that is earlier than the one before it, zero or negative is moved up to
//! the one before it and counted: the event leaves at once after its predecessor.

use changetape_core::{ClusterTime, WallTime};

const SECOND: i64 = 1_000;

/// Clocks that differ by less agree: a wall time is somewhere inside its cluster second, and
/// either clock may be read a little before the other.
const AGREE: std::ops::Range<i64> = -SECOND / 2..SECOND + SECOND / 2;

/// A place in recorded time: nanoseconds after the first event of the replay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offset(u64);

impl Offset {
    /// From nanoseconds after the first event.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds after the first event.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Nanoseconds from `earlier` to here; 0 if it is not earlier.
    #[must_use]
    pub const fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// An event's place, in both ways of saying it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// After the first event.
    pub offset: Offset,
    /// On the recorded clock, as repaired.
    pub time: WallTime,
}

/// Places events one after another.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    /// Milliseconds of the first event and of the latest one.
    span: Option<(i64, i64)>,
    /// Milliseconds (whole seconds) to add to a cluster time to get the wall time.
    wall_minus_cluster: i64,
    repaired: u64,
    untimed: u64,
}

impl Timeline {
    /// Places the event that follows those placed before.
    pub fn place(&mut self, wall: Option<WallTime>, cluster: Option<ClusterTime>) -> Placed {
        let time = self.millis(wall, cluster);
        let (first, last) = self.span.unwrap_or((time, time));
        if time < last {
            self.repaired += 1;
        }
        let time = time.max(last);
        self.span = Some((first, time));
        let nanos = i128::from(time).saturating_sub(i128::from(first)).saturating_mul(1_000_000);
        Placed {
            offset: Offset(u64::try_from(nanos).unwrap_or(u64::MAX)),
            time: WallTime::from_millis(time),
        }
    }

    /// How many recorded times were moved to keep the order.
    #[must_use]
    pub fn repaired(&self) -> u64 {
        self.repaired
    }

    /// How many events had neither wall nor cluster time and were placed with the one before.
    #[must_use]
    pub fn untimed(&self) -> u64 {
        self.untimed
    }

    fn millis(&mut self, wall: Option<WallTime>, cluster: Option<ClusterTime>) -> i64 {
        let last = self.span.map(|(_, last)| last);
        let cluster = cluster.map(|time| time.wall_time().as_millis());
        match (wall.map(WallTime::as_millis), cluster) {
            (Some(wall), cluster) if wall > 0 => {
                if let Some(cluster) = cluster {
                    let apart = wall.saturating_sub(cluster);
                    self.wall_minus_cluster =
                        if AGREE.contains(&apart) { 0 } else { apart.div_euclid(SECOND) * SECOND };
                }
                wall
            }
            (wall, Some(cluster)) => {
                // A wall time that is there but cannot be right.
                self.repaired += u64::from(wall.is_some());
                let second = cluster.saturating_add(self.wall_minus_cluster);
                match last {
                    Some(last) if (second..second.saturating_add(SECOND)).contains(&last) => last,
                    _ => second,
                }
            }
            (wall, None) => {
                self.repaired += u64::from(wall.is_some());
                self.untimed += u64::from(wall.is_none());
                last.unwrap_or(0)
            }
        }
    }
}

#[cfg(test)]
mod tests;
