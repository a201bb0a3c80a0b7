//! `Watch`: what there is to be told of a replay that runs. The progress line and `/status` say the
//! same, each in its words.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use changetape_core::{Seq, WallTime};
use changetape_replayer::clock::Instant;
use changetape_replayer::{BaseProgress, Progress, Speed};

use super::passing::Passing;
use crate::progress::Rate;

/// How many seconds of the past say how long the rest takes.
const PAST_SECONDS: f64 = 10.0;

/// What is longer off is not known.
const FAR: Duration = Duration::from_secs(1000 * 24 * 60 * 60);

/// A replay, as it is of interest to whoever looks on. However many do, each at any time, all see the
/// same.
pub(super) struct Watch {
    progress: Arc<Progress>,
    past: Mutex<Past>,
}

/// What rates are made of.
struct Past {
    events: Rate,
    base: Rate,
    /// Of places on the tape, selected or not.
    pace: Rate,
    passing: Passing,
}

/// How far a replay is at one moment.
#[derive(Debug, Clone)]
pub(super) struct Now {
    /// The base, while that is restored; then nothing else is known yet.
    pub(super) base: Option<BaseProgress>,
    /// Its documents a second.
    pub(super) base_rate: f64,
    pub(super) is_paused: bool,
    pub(super) start: Seq,
    pub(super) end: Seq,
    /// One past the last event that is done with.
    pub(super) reached: Seq,
    pub(super) first_time: Option<WallTime>,
    pub(super) last_time: Option<WallTime>,
    /// The recorded time of the last event that was delivered.
    pub(super) time: Option<WallTime>,
    /// How fast recorded time is to pass.
    pub(super) speed: Speed,
    /// How fast it did over the last seconds, as a factor.
    pub(super) passing: Option<f64>,
    pub(super) lateness: Duration,
    pub(super) lag: Duration,
    pub(super) events: u64,
    pub(super) bytes: u64,
    /// Events a second.
    pub(super) rate: f64,
    /// How long it will take, if anybody knows.
    pub(super) to_go: Option<Duration>,
}

impl Watch {
    pub(super) fn new(progress: Arc<Progress>) -> Self {
        Self { progress, past: Mutex::new(Past::begin()) }
    }

    /// How far it is now.
    pub(super) fn now(&self) -> Now {
        let progress = &self.progress;
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let base = progress.base();
        if base.is_some() {
            // What comes behind the base begins when that is there.
            *past = Past { base: past.base.clone(), ..Past::begin() };
        }
        let (start, reached, end) = (progress.start(), progress.reached(), progress.end());
        let (is_paused, speed) = (progress.is_paused(), progress.speed());
        let (time, events) = (progress.tape_time(), progress.events());
        let now = Instant::now();
        let pace = past.pace.per_second(reached.since(start));
        let schedule = progress.schedule_left(now);
        Now {
            base_rate: base.as_ref().map_or(0.0, |base| past.base.per_second(base.documents)),
            base,
            is_paused,
            start,
            end,
            reached,
            first_time: progress.first_time(),
            last_time: progress.last_time(),
            time,
            speed,
            passing: past.passing.at(now, time, speed, is_paused),
            lateness: progress.lateness(),
            lag: progress.lag(),
            events,
            bytes: progress.bytes(),
            rate: past.events.per_second(events),
            // Until it goes on, nobody knows.
            to_go: if is_paused { None } else { to_go(schedule, end.since(reached), pace) },
        }
    }

    /// It went on somewhere else: the way there was not played.
    pub(super) fn jumped(&self) {
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        (past.pace, past.passing) = (Rate::over(PAST_SECONDS), Passing::default());
    }
}

impl Past {
    fn begin() -> Self {
        Self {
            events: Rate::new(),
            base: Rate::new(),
            pace: Rate::over(PAST_SECONDS),
            passing: Passing::default(),
        }
    }
}

impl Now {
    /// How much of the tape is done, and of how much: by recorded time where that decides when events
    /// leave, by events where they leave at once.
    pub(super) fn part(&self) -> (u64, u64) {
        let by_events = (self.reached.since(self.start), self.end.since(self.start));
        if self.speed == Speed::Max || self.reached >= self.end {
            return by_events;
        }
        let (Some(first), Some(last)) = (self.first_time, self.last_time) else { return by_events };
        let since_first = |time: WallTime| {
            time.as_millis().saturating_sub(first.as_millis()).try_into().unwrap_or(0)
        };
        match since_first(last) {
            // All of it has one time.
            0 => by_events,
            of => (self.time.map_or(0, since_first).min(of), of),
        }
    }
}

/// How long it will take: until the last event is due, or, where that is no question any more, as
/// long as so many events take at this pace. `None` if nobody knows.
fn to_go(schedule: Option<Duration>, events: u64, pace: f64) -> Option<Duration> {
    if let Some(left) = schedule.filter(|left| !left.is_zero()) {
        return Some(left);
    }
    #[allow(clippy::cast_precision_loss)] // It is shown with a few digits.
    let seconds = if events == 0 { 0.0 } else { events as f64 / pace };
    Duration::try_from_secs_f64(seconds).ok().filter(|&left| left < FAR)
}

/// A replay in the middle of its tape.
#[cfg(test)]
pub(super) fn in_the_middle() -> Now {
    let time = |seconds: i64| Some(WallTime::from_millis(1_772_366_400_000 + seconds * 1_000));
    Now {
        base: None,
        base_rate: 0.0,
        is_paused: false,
        start: Seq::new(100),
        end: Seq::new(1_100),
        reached: Seq::new(764),
        first_time: time(0),
        last_time: time(100),
        time: time(25),
        speed: Speed::Factor(10.0),
        passing: Some(6.2),
        lateness: Duration::from_micros(10),
        lag: Duration::from_micros(2_390),
        events: 664,
        bytes: 70_000,
        rate: 66.4,
        to_go: Some(Duration::from_millis(6_500)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_go_follows_the_schedule_and_then_the_pace() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(to_go(seconds(7), 1_000, 10.0), seconds(7));
        assert_eq!(to_go(seconds(0), 1_000, 10.0), seconds(100));
        assert_eq!(to_go(None, 1_000, 10.0), seconds(100));
        assert_eq!(to_go(None, 0, 0.0), seconds(0));
        for stands_still in [0.0, 1e-9] {
            assert_eq!(to_go(None, 1_000, stands_still), None);
        }
    }

    #[test]
    fn the_part_that_is_done_is_of_recorded_time_where_that_decides() {
        let now = in_the_middle();
        let by_events = (664, 1_000);
        assert_eq!(now.part(), (25_000, 100_000));
        assert_eq!(Now { speed: Speed::Max, ..now.clone() }.part(), by_events);
        assert_eq!(Now { time: None, ..now.clone() }.part(), (0, 100_000));
        assert_eq!(Now { first_time: None, ..now.clone() }.part(), by_events);
        assert_eq!(Now { last_time: now.first_time, ..now.clone() }.part(), by_events);
        // What comes last may be left out, and all is done nevertheless.
        assert_eq!(Now { reached: now.end, ..now.clone() }.part(), (1_000, 1_000));
        // Behind the end, or before the beginning, there is nothing.
        let late = Some(WallTime::from_millis(i64::MAX));
        assert_eq!(Now { time: late, ..now.clone() }.part(), (100_000, 100_000));
        let early = Some(WallTime::from_millis(0));
        assert_eq!(Now { time: early, ..now }.part(), (0, 100_000));
    }
}
