//! How long to spin: how long before an event is due the sleep for it ends.
//!
//! A spin as long as waking up takes is what precision costs, on every event: shorter, and the
//! thread is often still asleep when the event is due; longer, and a core is kept busy for nothing.
//! What waking up takes differs from host to host and from hour to hour, so it is measured when a
//! replay starts, on the thread that will wait.

use std::time::Duration;

use super::{Instant, sleep};

/// Which part of the wake-ups is not later than the spin is long. Those beyond are of threads that
/// others kept off the core, for milliseconds: no spin gets ahead of them.
const PERCENT: usize = 95;

/// The shortest: even an idle host takes some 10 µs, more now and then, and less than this saves
/// no processor time that could be measured.
pub(super) const LEAST: Duration = Duration::from_micros(20);

/// The longest: at 1 000 events a second it takes up to a fifth of a core.
const MOST: Duration = Duration::from_micros(200);

/// The spin where nothing was measured: about the p95 on two shared cores.
pub(super) const USUAL: Duration = Duration::from_micros(100);

/// How many sleeps are measured: the p95 is then the fourth-longest.
const SAMPLES: usize = 80;

/// How long each is: short, and long enough for a core to have become idle.
const NAP: Duration = Duration::from_micros(500);

/// How long all of them take at most, but for the last one. They fit into the time in which the
/// first events are read.
pub(super) const TAKES: Duration = Duration::from_millis(60);

/// How much later than asked for this thread is woken, time and again.
pub(super) fn latencies() -> Vec<Duration> {
    let begin = Instant::now();
    let mut latencies = Vec::with_capacity(SAMPLES);
    let mut now = begin;
    while latencies.len() < SAMPLES && now.since(begin) < TAKES {
        let due = now.after_nanos(super::nanos(NAP));
        sleep::until(due);
        now = Instant::now();
        // A signal may have ended the sleep.
        if now >= due {
            latencies.push(now.since(due));
        }
    }
    latencies
}

/// The spin that fits these latencies.
pub(super) fn chosen(latencies: &mut [Duration]) -> Duration {
    latencies.sort_unstable();
    percentile(latencies, PERCENT).map_or(USUAL, |latency| latency.clamp(LEAST, MOST))
}

/// The shortest of these, in order, that so many percent are not longer than.
pub(super) fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(micros: impl IntoIterator<Item = u64>) -> Duration {
        chosen(&mut micros.into_iter().map(Duration::from_micros).collect::<Vec<_>>())
    }

    #[test]
    fn the_spin_covers_95_of_100_wake_ups() {
        assert_eq!(of((1..=100).rev()), Duration::from_micros(95));
        assert_eq!(of((1..=80).map(|n| n + 50)), Duration::from_micros(50 + 76));
        // One that was kept from the core does not count.
        assert_eq!(of([60; 79].into_iter().chain([9_000])), Duration::from_micros(60));
    }

    #[test]
    fn the_spin_stays_within_its_bounds() {
        assert_eq!(of([3; 80]), LEAST);
        assert_eq!(of([4_000; 80]), MOST);
        assert_eq!(of([]), USUAL);
        assert_eq!(of([70]), Duration::from_micros(70));
    }
}
