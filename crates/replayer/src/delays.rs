//! Delays in percentiles, and the lag: how soon after they were due events were acknowledged.
//!
//! ```text
//! due ───────► sent ───────► acknowledged
//!     lateness
//!     ───────────── lag ────►
//! ```
//! Where nobody waits (`--speed max`) nothing is due, so there is no lateness, and the lag is counted
//! from when an event was handed to the sink. How late events left is a matter of
//! [`fidelity`](crate::fidelity).

use std::time::Duration;

use hdrhistogram::Histogram;

/// A day in nanoseconds. What is longer still counts as a day in the percentiles.
const MOST: u64 = 24 * 60 * 60 * 1_000_000_000;

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

/// Collects lags.
#[derive(Debug)]
pub(crate) struct LagRecorder(Delays);

/// Durations, in percentiles.
#[derive(Debug)]
pub(crate) struct Delays {
    /// Nanoseconds, to three digits; of fixed size, so that counting never allocates.
    histogram: Histogram<u64>,
    max: Duration,
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
        let Self(delays) = self;
        (!delays.is_empty()).then(|| Lag {
            p50: delays.at(0.5),
            p99: delays.at(0.99),
            max: delays.max(),
        })
    }
}

impl Delays {
    pub(crate) fn new() -> Option<Self> {
        // These bounds are always accepted.
        let histogram = Histogram::new_with_bounds(1, MOST, 3).ok()?;
        Some(Self { histogram, max: Duration::ZERO })
    }

    /// So many events were delayed by so much.
    pub(crate) fn record(&mut self, delay: Duration, events: u64) {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        self.histogram.saturating_record_n(nanos, events);
        self.max = self.max.max(delay);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.histogram.is_empty()
    }

    /// So large a part of the events was delayed by no more than this.
    pub(crate) fn at(&self, quantile: f64) -> Duration {
        // A percentile is the upper end of its step, which may lie beyond the maximum.
        Duration::from_nanos(self.histogram.value_at_quantile(quantile)).min(self.max)
    }

    pub(crate) fn max(&self) -> Duration {
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_told_in_percentiles() {
        let mut recorder = LagRecorder::new().unwrap();
        assert_eq!(recorder.summary(), None);
        for _ in 0..98 {
            recorder.record(Duration::from_micros(10), 1);
        }
        recorder.record(Duration::from_millis(3), 2);
        let lag = recorder.summary().unwrap();
        assert!((9..=11).contains(&lag.p50.as_micros()), "{lag:?}");
        assert!((2_990..=3_010).contains(&lag.p99.as_micros()), "{lag:?}");
        assert_eq!(lag.max, Duration::from_millis(3));
    }
}
