//! Sleeping until an instant. Interrupted or not, whoever sleeps looks at the clock again.

#[cfg(target_os = "linux")]
pub(super) use linux::{set_slack, until};

#[cfg(not(target_os = "linux"))]
pub(super) use elsewhere::{set_slack, until};

/// By how much the system may delay the end of a thread's sleep, to save power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slack {
    /// By nothing that could be measured.
    Least,
    /// As for any thread: Linux takes 50 µs.
    Usual,
}

#[cfg(target_os = "linux")]
mod linux {
    use std::num::NonZeroU64;

    use rustix::thread::{ClockId, clock_nanosleep_absolute, set_current_timer_slack};
    use rustix::time::Timespec;

    use super::Slack;
    use crate::clock::Instant;

    /// The least slack that there is, in nanoseconds: zero means the usual one.
    const LEAST: NonZeroU64 = NonZeroU64::MIN;

    /// For the thread that calls.
    pub(in crate::clock) fn set_slack(slack: Slack) {
        let nanos = match slack {
            Slack::Least => Some(LEAST),
            Slack::Usual => None,
        };
        if let Err(error) = set_current_timer_slack(nanos) {
            tracing::debug!("the timer slack could not be set: {error}");
        }
    }

    pub(in crate::clock) fn until(wake: Instant) {
        let nanos = wake.as_nanos();
        let at = Timespec {
            // u64 nanoseconds are at most 1.8e10 seconds.
            tv_sec: i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::from(u32::try_from(nanos % 1_000_000_000).unwrap_or(0)),
        };
        let _ = clock_nanosleep_absolute(ClockId::Monotonic, &at);
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use super::Slack;
    use crate::clock::Instant;

    pub(in crate::clock) fn set_slack(_: Slack) {}

    pub(in crate::clock) fn until(wake: Instant) {
        std::thread::sleep(wake.since(Instant::now()));
    }
}
