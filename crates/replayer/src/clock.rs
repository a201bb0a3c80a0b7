//! Waiting, precisely.
//!
//! The pacer says when; this is the only place that sleeps. A wait is one absolute sleep that
//! ends [`SPIN`] early, then a short spin up to the instant itself: a sleeping thread is woken
//! 50 to 150 µs late on a shared core, a spinning one is there. Long waits are cut into
//! slices so that a stop request is noticed within [`SLICE`].

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::{Control, Stop};

/// How long before the due instant the sleep ends and the spin begins: about the p95 of the
/// wake-up latency measured on two shared cores.
const SPIN: Duration = Duration::from_micros(100);

/// The longest sleep without looking whether to stop.
pub(crate) const SLICE: Duration = Duration::from_millis(50);

/// An instant on the host's monotonic clock, in nanoseconds since its boot.
///
/// `std::time::Instant` keeps its number to itself, and an absolute sleep needs it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    /// The last there is, which never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// From nanoseconds since boot.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Now.
    #[must_use]
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Monotonic);
        // Neither is negative, and the seconds since boot fit for 584 years.
        Self(now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs())
    }

    /// Nanoseconds since boot.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier`; zero if it is not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The instant `nanos` later; the last there is if there is none.
    #[must_use]
    pub const fn after_nanos(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// The instant `by` later; the last there is if there is none.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        self.after_nanos(nanos(by))
    }

    pub(crate) fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// The instant has come.
    Due,
    /// A stop was requested first.
    Stopped,
    /// Something else was asked for first.
    Asked,
}

/// What ends a wait before its time.
#[derive(Debug, Clone, Copy)]
pub struct Interrupts<'a> {
    /// A request to stop.
    pub stop: &'a Stop,
    /// Anything else that is asked for.
    pub control: &'a Control,
}

impl Interrupts<'_> {
    /// Whether there is anything.
    pub(crate) fn pending(&self) -> Option<Waited> {
        if self.stop.is_requested() {
            return Some(Waited::Stopped);
        }
        self.control.is_asked().then_some(Waited::Asked)
    }
}

/// A clock that can be waited on; a manual one in tests.
pub trait Clock {
    /// Now.
    fn now(&self) -> Instant;

    /// Returns at `due`, never earlier, or soon after something is asked for.
    fn wait_until(&mut self, due: Instant, interrupts: Interrupts<'_>) -> Waited;
}

/// The host's monotonic clock.
#[derive(Debug)]
pub struct HostClock(());

impl HostClock {
    /// The clock for the thread that calls, whose timer slack it sets. Where that fails,
    /// waits end a little later, which lateness shows.
    #[must_use]
    pub fn for_this_thread() -> Self {
        sleep::prepare();
        Self(())
    }
}

impl Clock for HostClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wait_until(&mut self, due: Instant, interrupts: Interrupts<'_>) -> Waited {
        let spin_from = due.before(SPIN);
        loop {
            if let Some(waited) = interrupts.pending() {
                return waited;
            }
            let now = self.now();
            if now >= spin_from {
                break;
            }
            sleep::until(spin_from.min(now.after_nanos(nanos(SLICE))), now);
        }
        while self.now() < due {
            std::hint::spin_loop();
        }
        Waited::Due
    }
}

/// Sleeping until an instant: interrupted or not, the caller looks at the clock again.
#[cfg(target_os = "linux")]
mod sleep {
    use std::num::NonZeroU64;

    use rustix::thread::{ClockId, clock_nanosleep_absolute, set_current_timer_slack};
    use rustix::time::Timespec;

    use super::Instant;

    /// By how many nanoseconds the kernel may delay a wake-up to save power; it takes
    /// 50 µs unless told otherwise.
    const TIMER_SLACK: NonZeroU64 = NonZeroU64::MIN;

    pub(super) fn prepare() {
        if let Err(error) = set_current_timer_slack(Some(TIMER_SLACK)) {
            tracing::debug!("the timer slack could not be set: {error}");
        }
    }

    pub(super) fn until(wake: Instant, _now: Instant) {
        let at = Timespec {
            // u64 nanoseconds are at most 1.8e10 seconds.
            tv_sec: i64::try_from(wake.0 / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::from(u32::try_from(wake.0 % 1_000_000_000).unwrap_or(0)),
        };
        let _ = clock_nanosleep_absolute(ClockId::Monotonic, &at);
    }
}

#[cfg(not(target_os = "linux"))]
mod sleep {
    use super::Instant;

    pub(super) fn prepare() {}

    pub(super) fn until(wake: Instant, now: Instant) {
        std::thread::sleep(wake.since(now));
    }
}

#[cfg(test)]
use {crate::Command, std::collections::VecDeque};

/// A clock that stands still until waited on.
#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct ManualClock {
    pub(crate) now: Instant,
    pub(crate) waits: Vec<Instant>,
    /// What is asked for, and when, if the clock is waited on over that.
    pub(crate) asks: VecDeque<(Instant, Command)>,
}

#[cfg(test)]
impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.now
    }

    fn wait_until(&mut self, due: Instant, interrupts: Interrupts<'_>) -> Waited {
        if self.asks.front().is_some_and(|(at, _)| *at <= due)
            && let Some((at, command)) = self.asks.pop_front()
        {
            self.now = self.now.max(at);
            interrupts.control.ask(command);
        }
        if let Some(waited) = interrupts.pending() {
            return waited;
        }
        self.now = self.now.max(due);
        self.waits.push(due);
        Waited::Due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Command;

    #[test]
    fn a_wait_is_never_early() {
        let mut clock = HostClock::for_this_thread();
        let (stop, control) = (Stop::default(), Control::default());
        let interrupts = Interrupts { stop: &stop, control: &control };
        for micros in [0, 1, 50, 99, 101, 500, 3_000] {
            let due = clock.now().after_nanos(micros * 1_000);
            assert_eq!(clock.wait_until(due, interrupts), Waited::Due);
            assert!(clock.now() >= due);
        }
    }

    #[test]
    fn a_long_wait_ends_when_something_is_asked_for() {
        let waited = |ask: fn(&Stop, &Control)| {
            let (stop, control) = (Stop::default(), Control::default());
            let waiting = std::thread::spawn({
                let (stop, control) = (stop.clone(), control.clone());
                move || {
                    let interrupts = Interrupts { stop: &stop, control: &control };
                    HostClock::for_this_thread().wait_until(Instant(u64::MAX), interrupts)
                }
            });
            ask(&stop, &control);
            waiting.join().unwrap()
        };
        assert_eq!(waited(|stop, _| stop.request()), Waited::Stopped);
        assert_eq!(waited(|_, control| drop(control.ask(Command::Pause))), Waited::Asked);
    }
}
