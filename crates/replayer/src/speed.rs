//! `Speed`, `Rate`, `Laps`: how fast recorded time passes in a replay, and how often.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

use crate::Error;

/// Nanoseconds in a second.
const NANOS: f64 = 1e9;

/// How fast recorded time passes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// Recorded seconds per second; finite and above 0. 1 is the original rhythm.
    Factor(f64),
    /// Nobody waits: each event leaves as soon as the sink has taken the one before it.
    Max,
}

impl Speed {
    /// The recorded rhythm.
    pub const ORIGINAL: Self = Self::Factor(1.0);

    /// A factor, if it can be one.
    #[must_use]
    pub fn factor(factor: f64) -> Option<Self> {
        (factor.is_finite() && factor > 0.0).then_some(Self::Factor(factor))
    }

    /// How long it takes until so much recorded time has passed; `None` where nobody waits.
    #[must_use]
    pub fn takes(self, recorded: Duration) -> Option<Duration> {
        match self {
            Self::Factor(factor) => {
                let seconds = recorded.as_secs_f64() / factor;
                Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
            }
            Self::Max => None,
        }
    }
}

impl FromStr for Speed {
    type Err = Error;

    /// `1x`, `0.5x`, `10x`, `2` or `max`.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let number = text.strip_suffix(['x', 'X']).unwrap_or(text);
        let speed = number.parse().ok().and_then(Self::factor);
        speed.ok_or_else(|| Error::BadSpeed { input: text.to_owned() })
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Factor(factor) => write!(f, "{factor}x"),
            Self::Max => f.write_str("max"),
        }
    }
}

/// What is done about an event that leaves late, where the sink is slower than the schedule. None is
/// ever dropped, and all leave in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnLate {
    /// It leaves at once, and the schedule is where it was: what follows catches up with it.
    #[default]
    CatchUp,
    /// It leaves at once, and the schedule waits: what follows leaves as long after it as it was
    /// recorded.
    Shift,
    /// The replay ends, if it is later than that.
    Stop(Duration),
}

/// Events a second; finite and above 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate(f64);

impl Rate {
    /// How many nanoseconds so many events take, rounded up.
    #[must_use]
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn takes_nanos(self, events: u64) -> u64 {
        (events as f64 * NANOS / self.0).ceil() as u64
    }
}

impl FromStr for Rate {
    type Err = Error;

    /// `1000/s`, `0.5/s` or `1000`.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text.strip_suffix("/s").unwrap_or(text).parse::<f64>() {
            Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(Self(rate)),
            _ => Err(Error::BadRate { input: text.to_owned() }),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

/// How often a tape is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Laps {
    /// So many times; at least once.
    Times(NonZeroU64),
    /// Until somebody stops it.
    Endless,
}

impl Laps {
    /// Once.
    pub const ONCE: Self = Self::Times(NonZeroU64::MIN);

    /// Whether another one follows so many.
    #[must_use]
    pub fn go_on_after(self, laps: u64) -> bool {
        match self {
            Self::Times(times) => laps < times.get(),
            Self::Endless => true,
        }
    }
}

impl FromStr for Laps {
    type Err = Error;

    /// A number from 1, or `inf`.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text.parse() {
            _ if text == "inf" => Ok(Self::Endless),
            Ok(times) => Ok(Self::Times(times)),
            Err(_) => Err(Error::BadLaps { input: text.to_owned() }),
        }
    }
}

impl fmt::Display for Laps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Times(times) => times.fmt(f),
            Self::Endless => f.write_str("inf"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_and_says_how_long_events_take() {
        for (text, nanos) in [("1000/s", 3_000_000), ("0.5/s", 6_000_000_000), ("3", 1_000_000_000)]
        {
            assert_eq!(text.parse::<Rate>().unwrap().takes_nanos(3), nanos, "{text}");
        }
        assert_eq!("1000/s".parse::<Rate>().unwrap().to_string(), "1000/s");
        for text in ["0", "-1/s", "inf", "nan/s", "1000/m", "/s", "", "fast"] {
            let error = text.parse::<Rate>().unwrap_err().to_string();
            assert!(error.contains("1000/s"), "{text:?}: {error}");
        }
    }

    #[test]
    fn laps_are_read_and_counted() {
        let laps = |text: &str| text.parse::<Laps>().unwrap();
        assert!(!laps("1").go_on_after(1));
        assert!(laps("3").go_on_after(2) && !laps("3").go_on_after(3));
        assert!(laps("inf").go_on_after(u64::MAX));
        assert_eq!((laps("7").to_string(), laps("inf").to_string()), ("7".into(), "inf".into()));
        for text in ["0", "-1", "1.5", "", "forever"] {
            assert!(text.parse::<Laps>().unwrap_err().to_string().contains("inf"), "{text:?}");
        }
    }

    #[test]
    fn each_accepted_form_is_read() {
        for (text, speed) in [
            ("1x", Speed::ORIGINAL),
            ("0.5x", Speed::Factor(0.5)),
            ("10X", Speed::Factor(10.0)),
            ("2", Speed::Factor(2.0)),
            ("max", Speed::Max),
        ] {
            assert_eq!(text.parse::<Speed>().unwrap(), speed, "{text}");
        }
    }

    #[test]
    fn recorded_time_passes_by_the_factor() {
        let minute = Duration::from_secs(60);
        assert_eq!(Speed::Factor(10.0).takes(minute), Some(Duration::from_secs(6)));
        assert_eq!(Speed::Factor(0.5).takes(minute), Some(Duration::from_secs(120)));
        assert_eq!(Speed::Factor(f64::MIN_POSITIVE).takes(minute), Some(Duration::MAX));
        assert_eq!(Speed::Max.takes(minute), None);
    }

    #[test]
    fn anything_else_is_refused_with_the_forms_it_could_have() {
        for text in [
            "0", "0x", "-1", "-0.0", "nan", "NaNx", "inf", "infinity", "1e999", "fast", "", "x",
            "1xx",
        ] {
            let error = text.parse::<Speed>().unwrap_err().to_string();
            assert!(error.contains("0.5x") && error.contains("max"), "{text:?}: {error}");
        }
    }
}
