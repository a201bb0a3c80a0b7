//! `Passing`: how fast recorded time passes in truth.
//!
//! Pure: what a replay has reached, and when, goes in. Recorded time is only seen to pass where an event
//! leaves, and there may be none for a while because none was recorded. So it is measured from one
//! event to another, of the last seconds; a standstill counts once it is longer than those between them.

use std::collections::VecDeque;
use std::time::Duration;

use changetape_core::WallTime;
use changetape_replayer::Speed;
use changetape_replayer::clock::Instant;

/// How much of the past counts.
const PAST: Duration = Duration::from_secs(10);

/// Places that are closer together are one: so there are not many.
const APART: Duration = Duration::from_millis(100);

/// Measures how fast recorded time passes.
#[derive(Debug, Default)]
pub(super) struct Passing {
    /// When it was seen that events of a time had left; each with another time.
    seen: VecDeque<(Instant, WallTime)>,
    /// How fast it was to be.
    speed: Option<Speed>,
}

impl Passing {
    /// Recorded seconds per second up to now, if that is known; where events of this time have left.
    /// What was at another speed does not count, nor what was before a pause or a way back.
    pub(super) fn at(
        &mut self,
        now: Instant,
        time: Option<WallTime>,
        speed: Speed,
        is_paused: bool,
    ) -> Option<f64> {
        let time = time?;
        let before = self.seen.back().copied();
        let goes_back = before.is_some_and(|(_, before)| time < before);
        if is_paused || goes_back || self.speed != Some(speed) {
            self.seen.clear();
        }
        self.speed = Some(speed);
        if is_paused {
            return None;
        }
        if self.seen.back().is_none_or(|&(at, last)| last != time && now.since(at) >= APART) {
            self.seen.push_back((now, time));
        }
        while self.seen.len() > 2 && self.seen.get(1).is_some_and(|&(at, _)| now.since(at) > PAST) {
            self.seen.pop_front();
        }
        let (&(begin, first), &(end, last)) = (self.seen.front()?, self.seen.back()?);
        let between = self.seen.iter().zip(self.seen.iter().skip(1));
        let longest = between.map(|((from, _), (to, _))| to.since(*from)).max()?;
        let real = end.since(begin) + now.since(end).saturating_sub(longest);
        let millis = last.as_millis().saturating_sub(first.as_millis());
        #[allow(clippy::cast_precision_loss)] // It is shown with a few digits.
        Some(millis as f64 / 1e3 / real.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that is looked at every 200 ms.
    #[derive(Default)]
    struct Looked {
        passing: Passing,
        looks: u64,
    }

    impl Looked {
        /// So many looks, with what is there after each second.
        fn on(&mut self, looks: u64, speed: f64, seen: impl Fn(f64) -> f64) -> Option<f64> {
            let mut last = None;
            for _ in 0..looks {
                self.looks += 1;
                let millis = self.looks * 200;
                #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
                let time = WallTime::from_millis((seen(millis as f64 / 1e3) * 1e3) as i64);
                let now = Instant::from_nanos(millis * 1_000_000);
                last = self.passing.at(now, Some(time), Speed::Factor(speed), false);
            }
            last
        }
    }

    #[track_caller]
    fn near(passing: Option<f64>, expected: f64) {
        let passing = passing.expect("it is known");
        assert!((passing - expected).abs() < expected / 50.0, "{passing}, not {expected}");
    }

    #[test]
    fn it_is_what_it_was_over_the_last_seconds() {
        let mut looked = Looked::default();
        assert_eq!(looked.on(1, 10.0, |now| now * 10.0), None, "one place is no way");
        near(looked.on(20, 10.0, |now| now * 10.0), 10.0);
        // The sink has become slow: half of what is wanted.
        let slow = |now: f64| 42.0 + (now - 4.2) * 5.0;
        looked.on(60, 10.0, slow);
        near(looked.on(60, 10.0, slow), 5.0);
        assert!(looked.passing.seen.len() < 60, "{}", looked.passing.seen.len());
    }

    #[test]
    fn it_goes_on_between_events_that_are_far_apart_and_ends_where_there_should_be_one() {
        let mut looked = Looked::default();
        // An event a minute.
        let sparse = |now: f64| (now / 60.0).floor() * 60.0;
        near(looked.on(5 * 60 * 4 + 100, 1.0, sparse), 1.0);
        near(looked.on(199, 1.0, sparse), 1.0);
        let stuck = |_| 300.0;
        near(looked.on(5 * 600, 1.0, stuck), 60.0 / 600.0);
    }

    #[test]
    fn another_speed_a_pause_and_a_way_back_begin_anew() {
        let mut looked = Looked::default();
        looked.on(20, 1.0, |now| now);
        looked.on(1, 50.0, |now| now);
        near(looked.on(2, 50.0, |now| 4.2 + (now - 4.2) * 50.0), 50.0);
        assert_eq!(looked.on(1, 50.0, |_| 1.0), None);
        near(looked.on(1, 50.0, |_| 11.0), 50.0);
        let now = Instant::from_nanos(6_000_000_000);
        let time = Some(WallTime::from_millis(20_000));
        assert_eq!(looked.passing.at(now, time, Speed::Factor(50.0), true), None);
        let later = Instant::from_nanos(600_000_000_000);
        assert_eq!(looked.passing.at(later, time, Speed::Factor(50.0), false), None);
        assert_eq!(Passing::default().at(later, None, Speed::Max, false), None);
    }
}
