//! What a replay was kept waiting by: how late events left, and how soon they were acknowledged.
//!
//! ```text
//! due ───────► sent ───────► acknowledged
//!     lateness
//!     ───────────── lag ────►
//! ```
//! Where nobody waits (`--speed max`) nothing is due, so there is no lateness, and the lag is counted
//! from when an event was handed to the sink.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Lateness beyond which an event is counted as late: recorded times are no finer.
const LATE: Duration = Duration::from_millis(1);

/// A day in nanoseconds. What is longer still counts as a day in the percentiles.
const MOST: u64 = 24 * 60 * 60 * 1_000_000_000;

/// How late events left, where they had a time to leave at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lateness {
    /// Half of the events were no later.
    pub p50: Duration,
    /// 99 of 100 events were no later.
    pub p99: Duration,
    /// The latest event.
    pub max: Duration,
    /// Events that were more than a millisecond late; all were delivered.
    pub late: u64,
}

/// How long after it was due (at full speed: was handed to the sink) the target had acknowledged an
/// event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// Half of the events took no longer.
    pub p50: Duration,
    /// 99 of 100 events took no longer.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

/// Collects how late events left.
#[derive(Debug)]
pub(crate) struct LatenessRecorder {
    delays: Delays,
    late: u64,
}

/// Collects lags.
#[derive(Debug)]
pub(crate) struct LagRecorder(Delays);

/// Durations, in percentiles.
#[derive(Debug)]
struct Delays {
    /// Nanoseconds, to three digits; of fixed size, so that counting never allocates.
    histogram: Histogram<u64>,
    max: Duration,
}

impl LatenessRecorder {
    pub(crate) fn new() -> Option<Self> {
        Some(Self { delays: Delays::new()?, late: 0 })
    }

    /// So many events were late by so much.
    pub(crate) fn record(&mut self, lateness: Duration, events: u64) {
        self.delays.record(lateness, events);
        self.late += if lateness > LATE { events } else { 0 };
    }

    /// `None` if there was no event.
    pub(crate) fn summary(&self) -> Option<Lateness> {
        let (p50, p99, max) = self.delays.percentiles()?;
        Some(Lateness { p50, p99, max, late: self.late })
    }
}

impl LagRecorder {
    pub(crate) fn new() -> Option<Self> {
        Delays::new().map(Self)
    }

    /// So many events were acknowledged after so long.
    pub(crate) fn record(&mut self, lag: Duration, events: u64) {
        self.0.record(lag, events);
    }

    /// `None` if there was no event.
    pub(crate) fn summary(&self) -> Option<Lag> {
        self.0.percentiles().map(|(p50, p99, max)| Lag { p50, p99, max })
    }
}

impl Delays {
    fn new() -> Option<Self> {
        // These bounds are always accepted.
        let histogram = Histogram::new_with_bounds(1, MOST, 3).ok()?;
        Some(Self { histogram, max: Duration::ZERO })
    }

    fn record(&mut self, delay: Duration, events: u64) {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        self.histogram.saturating_record_n(nanos, events);
        self.max = self.max.max(delay);
    }

    /// Half, 99 of 100, all.
    fn percentiles(&self) -> Option<(Duration, Duration, Duration)> {
        let at = |quantile| {
            // A percentile is the upper end of its step, which may lie beyond the maximum.
            Duration::from_nanos(self.histogram.value_at_quantile(quantile)).min(self.max)
        };
        (!self.histogram.is_empty()).then(|| (at(0.5), at(0.99), self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_told_in_percentiles() {
        let mut recorder = LatenessRecorder::new().unwrap();
        assert_eq!(recorder.summary(), None);
        for _ in 0..98 {
            recorder.record(Duration::from_micros(10), 1);
        }
        recorder.record(Duration::from_millis(3), 2);
        let lateness = recorder.summary().unwrap();
        assert!((9..=11).contains(&lateness.p50.as_micros()), "{lateness:?}");
        assert!((2_990..=3_010).contains(&lateness.p99.as_micros()), "{lateness:?}");
        assert_eq!((lateness.late, lateness.max), (2, Duration::from_millis(3)));
    }
}
