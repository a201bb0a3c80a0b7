//! The line that shows how far a replay is.

use std::sync::Arc;

use changetape_core::WallTime;
use changetape_replayer::Speed;

use super::base;
use super::watch::{Now, Watch};
use crate::progress::Line;
use crate::report;

/// Shows a replay.
pub(super) fn line(watch: Arc<Watch>) -> impl FnMut() -> Line + Send + 'static {
    move || of(&watch.now())
}

/// What matters most comes first: a narrow terminal shows less of it.
fn of(now: &Now) -> Line {
    if let Some(base) = &now.base {
        return base::line(base, now.base_rate);
    }
    let mut parts = vec![speed(now)];
    parts.extend(now.time.map(|time| whole_second(time).to_string()));
    if !now.is_paused {
        parts.push(match now.to_go {
            Some(left) => format!("{} to go", report::about(left)),
            None => "? to go".to_owned(),
        });
    }
    if now.speed != Speed::Max {
        parts.push(format!("late {}", report::milliseconds(now.lateness)));
    }
    parts.push(report::rate(now.rate));
    if now.time.is_some() {
        parts.push(format!("lag {}", report::milliseconds(now.lag)));
    }
    parts.push(report::events(now.events));
    parts.push(format!("at {}", now.reached));
    Line { text: parts.join(", "), part: Some(now.part()) }
}

/// `6.2x of 10x`: how fast it is, and is to be.
fn speed(now: &Now) -> String {
    match now.passing {
        _ if now.is_paused => "paused".to_owned(),
        Some(passing) => format!("{} of {}", factor(passing), now.speed),
        None => now.speed.to_string(),
    }
}

/// `0.25x`, `6.2x`, `1 234x`.
fn factor(factor: f64) -> String {
    match factor {
        ..0.995 => format!("{factor:.2}x"),
        ..9.95 => format!("{factor:.1}x"),
        // Never negative, and what is beyond is no less absurd when it is cut.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        _ => format!("{}x", report::count(factor.round() as u64)),
    }
}

fn whole_second(time: WallTime) -> WallTime {
    WallTime::from_millis(time.as_millis().div_euclid(1_000).saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use super::super::watch::in_the_middle;
    use super::*;

    #[test]
    fn the_line_begins_with_what_matters_most() {
        let now = in_the_middle();
        let Line { text, part } = of(&now);
        assert_eq!(
            text,
            "6.2x of 10x, 2026-03-01T12:00:25Z, 7s to go, late 0.01 ms, 66/s, lag 2.39 ms, \
             664 events, at #764"
        );
        assert_eq!(part, Some((25_000, 100_000)));
        let text = of(&Now { is_paused: true, to_go: None, passing: None, ..now.clone() }).text;
        assert!(text.starts_with("paused, 2026-03-01T12:00:25Z, late 0.01 ms, "), "{text}");
        let unknown = Now { to_go: None, passing: None, speed: Speed::Max, ..now.clone() };
        let text = of(&unknown).text;
        assert!(text.starts_with("max, 2026-03-01T12:00:25Z, ? to go, 66/s, "), "{text}");
        assert_eq!(
            of(&Now { time: None, events: 0, ..unknown }).text,
            "max, ? to go, 66/s, 0 events, at #764"
        );
    }

    #[test]
    fn a_factor_has_the_digits_that_matter() {
        for (number, text) in [
            (0.0, "0.00x"),
            (0.251, "0.25x"),
            (0.996, "1.0x"),
            (6.24, "6.2x"),
            (9.96, "10x"),
            (1_234.4, "1 234x"),
        ] {
            assert_eq!(factor(number), text);
        }
    }
}
