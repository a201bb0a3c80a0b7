//! What adds up over a run: the trend of lateness over due time, and the rate.
//!
//! The trend is the slope of the line that fits best (least squares). It is computed as events
//! come, from sums about the mean so far (Welford's method), so nothing is kept of an event, and
//! large numbers cancel nothing out. A pause, a step, a seek or another speed begins a new *stretch*,
//! with due times of another beginning: the line may start anew there, but has one slope in all of them.

use crate::clock::Instant;

/// The trend of all stretches.
#[derive(Debug, Default)]
pub(super) struct Trend {
    stretch: Option<Stretch>,
    /// Of the stretches before.
    past: Sums,
}

/// What stretches add to the whole.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    /// Of (due time - its mean)², in seconds squared.
    square: f64,
    /// Of (due time - its mean) × (lateness - its mean), in seconds squared.
    product: f64,
    /// Nanoseconds from the first due time to the last.
    due_nanos: u64,
    /// Nanoseconds from when the first left to when the last did.
    sent_nanos: u64,
}

/// Events whose due times have one beginning.
#[derive(Debug)]
struct Stretch {
    first_due: Instant,
    first_sent: Instant,
    events: f64,
    /// Means of due time, from the first on, and of lateness, in seconds.
    mean_due: f64,
    mean_late: f64,
    sums: Sums,
}

impl Trend {
    pub(super) fn record(&mut self, due: Instant, sent: Instant, events: u64) {
        self.stretch.get_or_insert_with(|| Stretch::new(due, sent)).record(due, sent, events);
    }

    pub(super) fn begin_stretch(&mut self) {
        self.past = self.sums();
        self.stretch = None;
    }

    /// The rate at which events left ÷ the one at which they were due.
    #[allow(clippy::cast_precision_loss)] // A float holds the nanoseconds of 104 days.
    pub(super) fn rate(&self) -> Option<f64> {
        let Sums { due_nanos, sent_nanos, .. } = self.sums();
        // The same events, so their number cancels out.
        (due_nanos > 0 && sent_nanos > 0).then(|| due_nanos as f64 / sent_nanos as f64)
    }

    /// By how much lateness grows over time, in millionths.
    pub(super) fn drift_ppm(&self) -> Option<f64> {
        let Sums { square, product, .. } = self.sums();
        (square > 0.0).then(|| product / square * 1e6)
    }

    fn sums(&self) -> Sums {
        let now = self.stretch.as_ref().map(|stretch| stretch.sums).unwrap_or_default();
        Sums {
            square: self.past.square + now.square,
            product: self.past.product + now.product,
            due_nanos: self.past.due_nanos + now.due_nanos,
            sent_nanos: self.past.sent_nanos + now.sent_nanos,
        }
    }
}

impl Stretch {
    fn new(first_due: Instant, first_sent: Instant) -> Self {
        let sums = Sums::default();
        Self { first_due, first_sent, events: 0.0, mean_due: 0.0, mean_late: 0.0, sums }
    }

    #[allow(clippy::cast_precision_loss)] // A float holds the nanoseconds of 104 days.
    fn record(&mut self, due: Instant, sent: Instant, events: u64) {
        let seconds = |nanos: i64| nanos as f64 / 1e9;
        let weight = events as f64;
        self.events += weight;
        let part = weight / self.events.max(1.0);
        let from_mean = seconds(due.nanos_after(self.first_due)) - self.mean_due;
        let late = seconds(sent.nanos_after(due));
        self.mean_due += from_mean * part;
        self.mean_late += (late - self.mean_late) * part;
        // The one factor is taken from the mean before, the other from the one after.
        self.sums.square += weight * from_mean * from_mean * (1.0 - part);
        self.sums.product += weight * from_mean * (late - self.mean_late);
        let span = |to: Instant, from| u64::try_from(to.nanos_after(from)).unwrap_or(0);
        self.sums.due_nanos = span(due, self.first_due);
        self.sums.sent_nanos = span(sent, self.first_sent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that has been up for years: large numbers must not cost digits.
    const BOOTED: u64 = 300_000_000_000_000_000;

    /// Events of a time due every millisecond, with the lateness in nanoseconds that this makes.
    fn of(seconds: u64, late: impl FnMut(u64) -> u64) -> Trend {
        let mut trend = Trend::default();
        add(&mut trend, 0, seconds, late);
        trend
    }

    fn add(trend: &mut Trend, from: u64, to: u64, mut late: impl FnMut(u64) -> u64) {
        for milli in from * 1_000..=to * 1_000 {
            let due = BOOTED + milli * 1_000_000;
            trend.record(Instant::from_nanos(due), Instant::from_nanos(due + late(milli)), 1);
        }
    }

    #[track_caller]
    fn assert_near(found: Option<f64>, expected: f64, by: f64) {
        let found = found.unwrap();
        assert!((found - expected).abs() <= by, "{found}, not {expected}");
    }

    #[test]
    fn lateness_that_does_not_grow_is_no_drift() {
        for late in [0, 1, 90_000, 5_000_000_000] {
            let trend = of(100, |_| late);
            assert_near(trend.drift_ppm(), 0.0, 1e-6);
            assert_near(trend.rate(), 1.0, 1e-12);
        }
    }

    #[test]
    fn a_millisecond_in_100_seconds_is_10_ppm() {
        // 10 nanoseconds a millisecond.
        let trend = of(100, |milli| 10 * milli);
        assert_near(trend.drift_ppm(), 10.0, 1e-6);
        assert_near(trend.rate(), 1.0 - 1e-5, 1e-9);
        // An event that stands for several weighs as much as they do.
        let mut trend = Trend::default();
        for (second, late, events) in [(0, 0, 5), (1, 20_000, 1), (1, 0, 1), (2, 20_000, 5)] {
            let due = BOOTED + second * 1_000_000_000;
            trend.record(Instant::from_nanos(due), Instant::from_nanos(due + late), events);
        }
        assert_near(trend.drift_ppm(), 10.0, 1e-6);
    }

    #[test]
    fn noise_hides_no_drift_and_makes_none() {
        let seed = changetape_testkit::seed();
        for drift in [0, 10] {
            let mut random = fastrand::Rng::with_seed(seed);
            // The standard error of the slope is 0.06 ppm.
            let trend = of(100, |milli| drift * milli + random.u64(0..2_000_000));
            assert_near(trend.drift_ppm(), f64::from(u32::try_from(drift).unwrap()), 1.0);
        }
    }

    #[test]
    fn each_stretch_has_a_beginning_of_its_own_and_all_have_one_slope() {
        let mut trend = of(50, |milli| 10 * milli);
        trend.begin_stretch();
        trend.begin_stretch();
        // After a pause: the lateness of before is gone.
        add(&mut trend, 1_000, 1_050, |milli| 10 * (milli - 1_000_000));
        assert_near(trend.drift_ppm(), 10.0, 1e-6);
        assert_near(trend.rate(), 1.0 - 1e-5, 1e-9);
    }

    #[test]
    fn events_of_one_instant_have_neither() {
        let mut trend = Trend::default();
        assert_eq!((trend.rate(), trend.drift_ppm()), (None, None));
        for sent in [7, 8] {
            trend.record(Instant::from_nanos(7), Instant::from_nanos(sent), 1);
        }
        assert_eq!((trend.rate(), trend.drift_ppm()), (None, None));
    }
}
