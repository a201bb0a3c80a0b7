//! `WallClock`: the host's monotonic clock, counted from the Unix epoch.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::clock::Instant;

/// How far the monotonic clock is from the Unix epoch, taken once: what is told by it keeps its
/// distances, whatever is done to the host's clock afterwards.
#[derive(Debug, Clone, Copy)]
pub(super) struct WallClock {
    /// Nanoseconds from the epoch to the monotonic clock's beginning.
    offset: i128,
}

impl WallClock {
    pub(super) fn take() -> Self {
        // The one in the middle is of the moment half-way between the others.
        let before = Instant::now().as_nanos();
        let wall = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => since.as_nanos().cast_signed(),
            Err(before) => -before.duration().as_nanos().cast_signed(),
        };
        let after = Instant::now().as_nanos();
        Self { offset: wall - i128::from(before.midpoint(after)) }
    }

    /// Nanoseconds since the Unix epoch; the nearest that 64 bits hold (1677 to 2262).
    pub(super) fn nanos(self, instant: Instant) -> i64 {
        let nanos = i128::from(instant.as_nanos()) + self.offset;
        i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_kept_and_now_is_now() {
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let clock = WallClock::take();
        let now = Instant::now();
        assert_eq!(clock.nanos(now.after_nanos(123)) - clock.nanos(now), 123);
        let day = 86_400_000_000_000;
        assert!(clock.nanos(now).unsigned_abs().abs_diff(before.try_into().unwrap()) < day);
        assert_eq!(clock.nanos(Instant::from_nanos(u64::MAX)), i64::MAX);
    }
}
