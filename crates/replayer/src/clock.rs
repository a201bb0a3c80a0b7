//! Waiting, precisely.
//!
//! The pacer says when; this is the only place that sleeps.
//!
//! ```text
//! now ──── asleep ────► woken ── awake: looks at the clock ──► due
//!                       └──────────── the spin ──────────────┘
//! ```
//! A wait is an absolute sleep that ends somewhat early, then a short spin up to the instant
//! itself: a sleeping thread is woken 10 to 150 µs late where it shares a core, a spinning one is there.
//! How much earlier is chosen from what waking up takes here ([`HostClock::calibrated`]); what this
//! machine can do, [`calibrate()`] tells. [`Timer::Coarse`] does without the spin. Long waits are cut
//! into slices so that what is asked for is noticed within 10 ms.

mod calibrate;
#[cfg(test)]
mod manual;
mod sleep;
mod spin;

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::{Control, Stop};

pub use calibrate::{Calibration, Measured, Method, calibrate};
#[cfg(test)]
pub(crate) use manual::ManualClock;
use spin::Spin;

/// The longest wait of others without looking whether to stop.
pub(crate) const SLICE: Duration = Duration::from_millis(50);

/// The longest sleep until an event is due without looking whether anything was asked for: whoever asks
/// for another place is to see it within 50 ms. A hundred looks a second take no time to speak of.
const LOOK: Duration = Duration::from_millis(10);

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

    /// How many nanoseconds after `earlier`; negative if it is before.
    #[must_use]
    pub const fn nanos_after(self, earlier: Self) -> i64 {
        // Instants of one boot are less than 292 years apart.
        self.0.wrapping_sub(earlier.0).cast_signed()
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

/// How precisely to wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Timer {
    /// Asks to be woken at once, somewhat early, and spins for the rest.
    #[default]
    Precise,
    /// Sleeps, as any program does: the system wakes it when it suits, which costs some 50 µs of
    /// lateness and no processor time.
    Coarse,
}

/// The host's monotonic clock.
#[derive(Debug)]
pub struct HostClock {
    /// How long before it is due a sleep ends.
    spin: Spin,
}

impl HostClock {
    /// The clock for the thread that calls, whose timer slack it sets, with the usual spin to begin
    /// with. Where that fails, waits end a little later, which lateness shows.
    #[must_use]
    pub fn usual(timer: Timer) -> Self {
        Self::with(timer, || Spin::of(spin::USUAL))
    }

    /// The same with a spin that fits what waking this thread takes here and now. Finding that out
    /// takes some 50 ms.
    #[must_use]
    pub fn calibrated(timer: Timer) -> Self {
        Self::with(timer, Spin::measured)
    }

    fn with(timer: Timer, spin: impl FnOnce() -> Spin) -> Self {
        match timer {
            Timer::Precise => {
                sleep::set_slack(sleep::Slack::Least);
                Self { spin: spin() }
            }
            Timer::Coarse => {
                sleep::set_slack(sleep::Slack::Usual);
                Self { spin: Spin::None }
            }
        }
    }
}

impl Clock for HostClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wait_until(&mut self, due: Instant, interrupts: Interrupts<'_>) -> Waited {
        let spin_from = due.before(self.spin.length());
        loop {
            if let Some(waited) = interrupts.pending() {
                return waited;
            }
            let now = self.now();
            if now >= spin_from {
                break;
            }
            let wake = spin_from.min(now.after_nanos(nanos(LOOK)));
            sleep::until(wake);
            self.spin.woken(wake, self.now());
        }
        while self.now() < due {
            std::hint::spin_loop();
        }
        Waited::Due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Command;

    #[test]
    fn a_wait_is_never_early() {
        let (stop, control) = (Stop::default(), Control::default());
        let interrupts = Interrupts { stop: &stop, control: &control };
        let clocks = [HostClock::calibrated, HostClock::usual];
        for clock in clocks.iter().flat_map(|of| [of(Timer::Precise), of(Timer::Coarse)]) {
            let mut clock = clock;
            for micros in [0, 1, 50, 99, 101, 500, 3_000] {
                let due = clock.now().after_nanos(micros * 1_000);
                assert_eq!(clock.wait_until(due, interrupts), Waited::Due);
                assert!(clock.now() >= due, "{clock:?}");
            }
        }
    }

    #[test]
    fn only_a_precise_timer_spins() {
        assert!(HostClock::calibrated(Timer::Precise).spin.length() >= spin::LEAST);
        assert_eq!(HostClock::calibrated(Timer::Coarse).spin.length(), Duration::ZERO);
    }

    #[test]
    fn a_long_wait_ends_when_something_is_asked_for() {
        let waited = |ask: fn(&Stop, &Control)| {
            let (stop, control) = (Stop::default(), Control::default());
            let waiting = std::thread::spawn({
                let (stop, control) = (stop.clone(), control.clone());
                move || {
                    let interrupts = Interrupts { stop: &stop, control: &control };
                    HostClock::usual(Timer::Precise).wait_until(Instant(u64::MAX), interrupts)
                }
            });
            ask(&stop, &control);
            waiting.join().unwrap()
        };
        assert_eq!(waited(|stop, _| stop.request()), Waited::Stopped);
        assert_eq!(waited(|_, control| drop(control.ask(Command::Pause))), Waited::Asked);
    }

    #[test]
    fn how_much_later_may_be_negative() {
        let [early, late] = [5, 12].map(Instant::from_nanos);
        assert_eq!((late.nanos_after(early), early.nanos_after(late)), (7, -7));
    }
}
