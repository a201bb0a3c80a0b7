//! The clocks that an event can be placed by.
//!
//! - [`ClusterTime`]: the server's logical clock, one second plus a counter.
//! - [`WallTime`]: the server's `wallTime`, milliseconds; from MongoDB 6.0.
//! - [`Arrival`]: when the recorder received the batch, on two clocks of its own.

use std::fmt;
use std::str::FromStr;

use bson::{DateTime, Timestamp};

use crate::Error;

/// A point on the server's logical clock (BSON `Timestamp`): Unix seconds, then a
/// counter within the second. Written `seconds:increment`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterTime {
    /// Seconds since the Unix epoch.
    pub seconds: u32,
    /// Counts the operations within the second, from 1.
    pub increment: u32,
}

impl ClusterTime {
    /// The first instant of a second, before any operation in it.
    #[must_use]
    pub const fn at_second(seconds: u32) -> Self {
        Self { seconds, increment: 0 }
    }

    /// The earliest time after this one.
    #[must_use]
    pub const fn successor(self) -> Self {
        match self.increment.checked_add(1) {
            Some(increment) => Self { seconds: self.seconds, increment },
            None => Self::at_second(self.seconds.saturating_add(1)),
        }
    }

    /// As 64 bits that sort as times do: seconds in the upper half, the counter in the lower.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        u64::from(self.seconds) << 32 | u64::from(self.increment)
    }

    /// Reads what [`to_bits`](Self::to_bits) made.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        Self { seconds: (bits >> 32) as u32, increment: bits as u32 }
    }

    /// The start of the second as a wall time.
    #[must_use]
    pub fn wall_time(self) -> WallTime {
        WallTime::from_millis(i64::from(self.seconds) * 1000)
    }
}

impl From<Timestamp> for ClusterTime {
    fn from(t: Timestamp) -> Self {
        Self { seconds: t.time, increment: t.increment }
    }
}

impl From<ClusterTime> for Timestamp {
    fn from(t: ClusterTime) -> Self {
        Self { time: t.seconds, increment: t.increment }
    }
}

impl fmt::Display for ClusterTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seconds, self.increment)
    }
}

impl FromStr for ClusterTime {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        let parsed = s.split_once(':').and_then(|(seconds, increment)| {
            Some(Self { seconds: seconds.parse().ok()?, increment: increment.parse().ok()? })
        });
        parsed.ok_or_else(|| Error::BadPosition { input: s.to_owned() })
    }
}

/// Milliseconds since the Unix epoch by the server's wall clock.
///
/// Not monotonic: clocks are adjusted, and shards differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(i64);

impl WallTime {
    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }
}

impl From<DateTime> for WallTime {
    fn from(t: DateTime) -> Self {
        Self(t.timestamp_millis())
    }
}

impl From<WallTime> for DateTime {
    fn from(t: WallTime) -> Self {
        Self::from_millis(t.0)
    }
}

impl fmt::Display for WallTime {
    /// RFC 3339, UTC; the bare number of milliseconds where the year has no such form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_millis(self.0).try_to_rfc3339_string() {
            Ok(text) => f.write_str(&text),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl FromStr for WallTime {
    type Err = Error;

    /// RFC 3339, as in `2026-03-01T12:00:00Z`.
    fn from_str(s: &str) -> Result<Self, Error> {
        DateTime::parse_rfc3339_str(s)
            .map(Self::from)
            .map_err(|_| Error::BadPosition { input: s.to_owned() })
    }
}

/// When a batch reached the recorder, in nanoseconds, on two clocks: the wall clock
/// says when, the monotonic clock says how long between.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arrival {
    /// Nanoseconds since the Unix epoch by the recorder's wall clock.
    pub wall_nanos: u64,
    /// Nanoseconds on the recorder's monotonic clock, whose zero is the host's boot.
    /// Comparable only between arrivals of one boot of one host.
    pub monotonic_nanos: u64,
}
