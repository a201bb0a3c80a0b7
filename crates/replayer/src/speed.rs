//! `Speed`: how fast recorded time passes in a replay.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::Error;

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
        match number.parse::<f64>() {
            Ok(factor) if factor.is_finite() && factor > 0.0 => Ok(Self::Factor(factor)),
            _ => Err(Error::BadSpeed { input: text.to_owned() }),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

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
