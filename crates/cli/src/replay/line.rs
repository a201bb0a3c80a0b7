//! The line that shows how far a replay is.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use changetape_replayer::clock::Instant;
use changetape_replayer::{Progress, Speed};

use super::base;
use crate::progress::{Line, Rate};
use crate::report;

/// How many seconds of the past say how long the rest takes.
const PAST_SECONDS: f64 = 10.0;

/// What is longer off is not known.
const FAR: Duration = Duration::from_secs(1000 * 24 * 60 * 60);

/// What matters most comes first: a narrow terminal shows less of it.
pub(super) fn line(progress: Arc<Progress>, speed: Speed) -> impl FnMut() -> Line + Send + 'static {
    let (mut rate, mut base_rate) = (Rate::new(), Rate::new());
    // Of places on the tape, selected or not.
    let mut pace = Rate::over(PAST_SECONDS);
    move || {
        if let Some(base) = progress.base() {
            (rate, pace) = (Rate::new(), Rate::over(PAST_SECONDS));
            return base::line(&base, base_rate.per_second(base.documents));
        }
        let (start, reached, end) = (progress.start(), progress.reached(), progress.end());
        let events = progress.events();
        let mut text =
            format!("{}, {}", report::events(events), report::rate(rate.per_second(events)));
        // Writing to a string cannot fail.
        let pace = pace.per_second(reached.since(start));
        let _ = match to_go(progress.schedule_left(Instant::now()), end.since(reached), pace) {
            Some(left) => write!(text, ", {} to go", report::about(left)),
            None => write!(text, ", ? to go"),
        };
        if let Some(time) = progress.tape_time() {
            let lag = report::milliseconds(progress.lag());
            let _ = write!(text, ", lag {lag}, at {reached}, {time}");
        }
        if speed != Speed::Max {
            let _ = write!(text, ", late {}", report::milliseconds(progress.lateness()));
        }
        Line { text, part: Some((reached.since(start), end.since(start))) }
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
}
