//! `Timeline`: where each event lies in recorded time.
//!
//! Pure: recorded times in, offsets from the first event out. Offsets never go backwards,
//! whatever the recorded times do.
//!
//! # Which clock
//! | [`TimeSource`] | is | resolution |
//! | --- | --- | --- |
//! | `Wall` | the event's wall time; without one (servers before 6.0, some events of newer ones) its cluster time | 1 ms |
//! | `Cluster` | its cluster time; without one its wall time | 1 s |
//! | `Arrival` | when the recorder got it, by the recorder's monotonic clock; those of a batch arrived together | exact |
//! | `Rate` | none: so many events pass in a second | exact |
//!
//! An event that has only the seconds of its cluster time lies anywhere in its second, so it goes no
//! further back than the event before it and, when the second is new, to its start.
//!
//! Wall and cluster clock need not agree: the cluster's runs ahead when a member's wall clock is
//! wrong. Going over from one to the other would jump by the difference, and back. So the
//! whole seconds by which they differ are taken from each event that has both, and the
//! cluster time is moved by as many.
//!
//! # Repairs
//! A recorded time that is earlier than the one before it, zero or negative is moved up to
//! the one before it and counted: the event leaves at once after its predecessor. Where the
//! recorder's host was started again, its monotonic clock before and behind that cannot be compared,
//! which shows in its wall clock: that says then how long it took.
//!
//! # Gaps
//! [`TimelineOptions::max_gap`] is the most recorded time that lies between two events; what is more is
//! left out. Recorded time, not that of the replay: at 2x half as much passes.

use std::time::Duration;

use changetape_core::{Arrival, ClusterTime, WallTime};

use crate::Rate;

const SECOND: i64 = 1_000;

/// Nanoseconds in a millisecond, and in a second.
const MILLI: u32 = 1_000_000;
const ONE: u32 = 1_000_000_000;

/// Clocks that differ by less agree: a wall time is somewhere inside its cluster second, and
/// either clock may be read a little before the other.
const AGREE: std::ops::Range<i64> = -SECOND / 2..SECOND + SECOND / 2;

/// Within one boot of the recorder's host its clocks say of any time the same, to so many nanoseconds:
/// a wall clock that is kept right is moved by less.
const SAME_BOOT: u64 = 60 * 1_000_000_000;

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

    /// The place `nanos` later; the last there is if there is none.
    #[must_use]
    pub const fn after_nanos(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }
}

/// Which clock says where events lie.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum TimeSource {
    /// The event's wall time.
    #[default]
    Wall,
    /// The event's cluster time.
    Cluster,
    /// When the recorder got it.
    Arrival,
    /// So many events a second, whenever they were recorded.
    Rate(Rate),
}

/// What becomes of events that lie at the same place because their clock is no finer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Spread {
    /// They are spread evenly over the time that the clock does not divide.
    #[default]
    Even,
    /// They stay together.
    Burst,
}

/// How events are placed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TimelineOptions {
    /// Which clock says where they lie.
    pub source: TimeSource,
    /// The most recorded time between an event and the next; `None` for any.
    pub max_gap: Option<Duration>,
    /// What becomes of those that lie at the same place.
    pub spread: Spread,
}

impl TimelineOptions {
    /// Whether so much recorded time passes between two events as lies between their times.
    #[must_use]
    pub fn is_as_recorded(&self) -> bool {
        self.max_gap.is_none() && matches!(self.source, TimeSource::Wall | TimeSource::Cluster)
    }
}

/// When an event was recorded, by all clocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// The server's wall clock.
    pub wall: Option<WallTime>,
    /// The cluster's clock.
    pub cluster: Option<ClusterTime>,
    /// The recorder's clocks.
    pub arrival: Arrival,
}

/// An event's place, in both ways of saying it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// After the first event.
    pub offset: Offset,
    /// On the recorded clock, as repaired; by [`TimeSource::Arrival`], too, when it happened.
    pub time: WallTime,
    /// It lies anywhere in so many nanoseconds from there on; 0 if exactly there.
    pub resolution: u32,
}

/// Places events one after another.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    options: TimelineOptions,
    /// The latest event.
    last: Option<Last>,
    /// Events that were placed, where only their number counts.
    counted: u64,
    /// Milliseconds (whole seconds) to add to a cluster time to get the wall time.
    wall_minus_cluster: i64,
    repaired: u64,
    untimed: u64,
}

/// Where the latest event lies.
#[derive(Debug, Clone, Copy)]
struct Last {
    offset: Offset,
    /// Milliseconds since the Unix epoch.
    millis: i64,
    arrival: Arrival,
    resolution: u32,
    /// Whether no event lies behind it on the tape that is to be placed.
    is_end: bool,
}

impl Timeline {
    /// With these options, before the first event.
    #[must_use]
    pub fn new(options: TimelineOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// Places the event that follows those placed before.
    pub fn place(&mut self, times: Times) -> Placed {
        let last = self.last;
        let before = last.filter(|last| !last.is_end);
        let (mut millis, resolution) = self.millis(&times, before.map(|last| last.millis));
        let nanos = match (self.options.source, before) {
            (_, None) => 0,
            (TimeSource::Arrival, Some(before)) => {
                millis = millis.max(before.millis);
                self.since(before.arrival, times.arrival)
            }
            (_, Some(before)) => {
                self.repaired += u64::from(millis < before.millis);
                millis = millis.max(before.millis);
                millis.abs_diff(before.millis).saturating_mul(MILLI.into())
            }
        };
        let most = self.options.max_gap.map_or(u64::MAX, crate::clock::nanos);
        let offset = match self.options.source {
            TimeSource::Rate(rate) => Offset(rate.takes_nanos(self.counted)),
            _ => last.map(|last| last.offset).unwrap_or_default().after_nanos(nanos.min(most)),
        };
        self.counted += 1;
        let arrival = times.arrival;
        self.last = Some(Last { offset, millis, arrival, resolution, is_end: false });
        Placed { offset, time: WallTime::from_millis(millis), resolution }
    }

    /// Another event lies where the last one does, of whose transaction it is.
    pub fn goes_along(&mut self) {
        self.counted += 1;
    }

    /// The next event is recorded elsewhere, before or behind: it follows as soon as the time is over
    /// in which the last one lies.
    pub fn begin_again(&mut self) {
        if let Some(last) = self.last.as_mut().filter(|last| !last.is_end) {
            last.offset = last.offset.after_nanos(last.resolution.into());
            last.is_end = true;
        }
        self.wall_minus_cluster = 0;
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

    /// The recorded time of an event, not repaired, and in how many nanoseconds from there on it lies.
    fn millis(&mut self, times: &Times, last: Option<i64>) -> (i64, u32) {
        let cluster = times.cluster.map(|time| time.wall_time().as_millis());
        let wall = times.wall.map(WallTime::as_millis);
        match (self.options.source, wall, cluster) {
            // Which orders nothing: places on a tape are told, and found, by when events happened.
            (TimeSource::Arrival, ..) => {
                (wall.filter(|&wall| wall > 0).or(cluster).or(last).unwrap_or(0), 0)
            }
            (TimeSource::Cluster, _, Some(cluster)) => (cluster, ONE),
            (source, wall, cluster) => {
                let (millis, resolution) = self.by_wall(wall, cluster, last);
                (millis, if matches!(source, TimeSource::Rate(_)) { 0 } else { resolution })
            }
        }
    }

    fn by_wall(
        &mut self,
        wall: Option<i64>,
        cluster: Option<i64>,
        last: Option<i64>,
    ) -> (i64, u32) {
        match (wall, cluster) {
            (Some(wall), cluster) if wall > 0 => {
                if let Some(cluster) = cluster {
                    let apart = wall.saturating_sub(cluster);
                    self.wall_minus_cluster =
                        if AGREE.contains(&apart) { 0 } else { apart.div_euclid(SECOND) * SECOND };
                }
                (wall, MILLI)
            }
            (wall, Some(cluster)) => {
                // A wall time that is there but cannot be right.
                self.repaired += u64::from(wall.is_some());
                let second = cluster.saturating_add(self.wall_minus_cluster);
                match last {
                    Some(last) if (second..second.saturating_add(SECOND)).contains(&last) => {
                        // What is left of the second.
                        let left = second.saturating_add(SECOND).saturating_sub(last);
                        (last, u32::try_from(left).map_or(ONE, |left| left.saturating_mul(MILLI)))
                    }
                    _ => (second, ONE),
                }
            }
            (wall, None) => {
                self.repaired += u64::from(wall.is_some());
                self.untimed += u64::from(wall.is_none());
                (last.unwrap_or(0), MILLI)
            }
        }
    }

    /// How many nanoseconds lie between two arrivals.
    fn since(&mut self, earlier: Arrival, later: Arrival) -> u64 {
        let by_wall = later.wall_nanos.checked_sub(earlier.wall_nanos);
        let by_monotonic = later.monotonic_nanos.checked_sub(earlier.monotonic_nanos);
        match (by_monotonic, by_wall) {
            (Some(monotonic), Some(wall)) if wall.abs_diff(monotonic) > SAME_BOOT => wall,
            (Some(monotonic), _) => monotonic,
            (None, Some(wall)) => wall,
            (None, None) => {
                self.repaired += 1;
                0
            }
        }
    }
}

#[cfg(test)]
mod tests;
