//! How long to spin: how long before an event is due the sleep for it ends.
//!
//! A spin as long as waking up takes is what precision costs, on every event: shorter, and the
//! thread is often still asleep when the event is due; longer, and a core is kept busy for nothing.
//! What waking up takes differs from host to host, and changes while a replay lasts: a core that
//! has nothing else to do falls asleep, and is slower to wake. So it is measured when a replay starts,
//! on the thread that will wait, and again at each wait.

use std::time::Duration;

use super::{Instant, sleep};

/// Which part of the wake-ups is not later than the spin is long.
const PERCENT: usize = 95;

/// A wake-up as late as this says nothing of waking up: somebody else had the core, for a tick or
/// several. No spin gets ahead of that, and one that tries is kept off the core for longer.
const KEPT_OFF: Duration = Duration::from_millis(1);

/// The shortest: even an idle host takes some 10 µs, more now and then, and less than this saves
/// no processor time that could be measured.
pub(super) const LEAST: Duration = Duration::from_micros(20);

/// The longest: at 1 000 events a second it takes up to a fifth of a core.
const MOST: Duration = Duration::from_micros(200);

/// The spin where nothing was measured: about the p95 on two shared cores.
pub(super) const USUAL: Duration = Duration::from_micros(100);

/// How many sleeps the spin is chosen from: the p95 is then the fifth-longest.
const SAMPLES: usize = 80;

/// How long each is: short, and long enough for a core to have become idle.
const NAP: Duration = Duration::from_micros(500);

/// How long all of them take at most, but for the last one. They fit into the time in which the
/// first events are read.
pub(super) const TAKES: Duration = Duration::from_millis(60);

/// How long to spin.
#[derive(Debug)]
pub(super) enum Spin {
    /// Not at all.
    None,
    /// As long as waking up takes.
    Measured {
        /// How long, by what it took before.
        length: Duration,
        /// What it took since then.
        lately: Vec<Duration>,
    },
}

impl Spin {
    /// So long to begin with.
    pub(super) fn of(length: Duration) -> Self {
        Self::Measured { length, lately: Vec::with_capacity(SAMPLES) }
    }

    /// As long as waking up takes here and now, which takes some [`TAKES`] to find out.
    pub(super) fn measured() -> Self {
        let mut spin = Self::of(USUAL);
        let begin = Instant::now();
        let mut now = begin;
        for _ in 0..SAMPLES {
            if now.since(begin) >= TAKES {
                break;
            }
            let due = now.after_nanos(super::nanos(NAP));
            sleep::until(due);
            now = Instant::now();
            spin.woken(due, now);
        }
        spin.choose();
        spin
    }

    pub(super) fn length(&self) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::Measured { length, .. } => *length,
        }
    }

    /// A sleep until `due` ended at `now`.
    pub(super) fn woken(&mut self, due: Instant, now: Instant) {
        let Self::Measured { lately, .. } = self else { return };
        let latency = now.since(due);
        // A signal may have ended the sleep.
        if now >= due && latency < KEPT_OFF {
            lately.push(latency);
        }
        if lately.len() >= SAMPLES {
            self.choose();
        }
    }

    /// Chooses by what waking up took lately, if anything did.
    fn choose(&mut self) {
        let Self::Measured { length, lately } = self else { return };
        if let Some(fits) = fitting(lately) {
            *length = fits;
        }
        lately.clear();
    }
}

/// The spin that fits these latencies.
fn fitting(latencies: &mut [Duration]) -> Option<Duration> {
    latencies.sort_unstable();
    percentile(latencies, PERCENT).map(|latency| latency.clamp(LEAST, MOST))
}

/// The shortest of these, in order, that so many percent are not longer than.
pub(super) fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(micros: impl IntoIterator<Item = u64>) -> Option<u128> {
        let mut latencies: Vec<_> = micros.into_iter().map(Duration::from_micros).collect();
        fitting(&mut latencies).map(|spin| spin.as_micros())
    }

    #[test]
    fn the_spin_covers_95_of_100_wake_ups() {
        assert_eq!(of((1..=100).rev()), Some(95));
        assert_eq!(of((1..=80).map(|n| n + 50)), Some(50 + 76));
        // One of them may take longer.
        assert_eq!(of([60; 79].into_iter().chain([900])), Some(60));
    }

    #[test]
    fn the_spin_stays_within_its_bounds() {
        assert_eq!(of([3; 80]), Some(LEAST.as_micros()));
        assert_eq!(of([900; 80]), Some(MOST.as_micros()));
        assert_eq!(of([70]), Some(70));
        assert_eq!(of([]), None);
    }

    #[test]
    fn the_spin_follows_what_waking_up_takes() {
        let due = Instant::from_nanos(1_000_000_000);
        let mut spin = Spin::of(USUAL);
        let mut wake = |micros: u64, times: usize| {
            (0..times).for_each(|_| spin.woken(due, due.after_nanos(micros * 1_000)));
            spin.length().as_micros()
        };
        assert_eq!(wake(40, SAMPLES - 1), 100, "too few to say");
        assert_eq!(wake(40, 1), 40);
        // Only what came since then counts.
        assert_eq!(wake(70, SAMPLES), 70);
        assert_eq!(wake(30, SAMPLES), 30);
        // Sleeps that were interrupted say nothing, nor does a core that others had.
        (0..SAMPLES).for_each(|_| spin.woken(due, Instant::from_nanos(7)));
        (0..SAMPLES).for_each(|_| spin.woken(due, due.after_nanos(1_000_000)));
        assert_eq!(spin.length().as_micros(), 30);
        let mut none = Spin::None;
        (0..SAMPLES).for_each(|_| none.woken(due, due.after_nanos(50_000)));
        assert_eq!(none.length(), Duration::ZERO);
    }
}
