//! `Position`: a place on a tape, in the words people use for it.

use std::fmt;
use std::str::FromStr;

use crate::{ClusterTime, Error, Seq, WallTime};

/// A place on a tape: `2026-03-01T12:00:00Z`, `1772366400:1` or `#42`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// The first event at or after a wall time.
    Time(WallTime),
    /// The first event at or after a cluster time.
    Cluster(ClusterTime),
    /// That event.
    Seq(Seq),
}

impl FromStr for Position {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        let bad = || Error::BadPosition { input: s.to_owned() };
        if let Some(number) = s.strip_prefix('#') {
            number.parse().map(|n| Self::Seq(Seq::new(n))).map_err(|_| bad())
        } else if let Ok(time) = s.parse() {
            Ok(Self::Cluster(time))
        } else {
            s.parse().map(Self::Time)
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(time) => time.fmt(f),
            Self::Cluster(time) => time.fmt(f),
            Self::Seq(seq) => seq.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read_and_written_alike() {
        for text in ["#42", "1772366400:1", "2026-03-01T12:00:00.25Z"] {
            assert_eq!(text.parse::<Position>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_forms_it_could_have() {
        for text in ["", "#", "#-1", "now", "12:00", "2026-03-01", "1:2:3", "-1:0"] {
            let Err(error) = text.parse::<Position>() else {
                // "12:00" is a cluster time, odd as it looks.
                assert_eq!(text, "12:00");
                continue;
            };
            assert!(error.to_string().contains("#42"), "{error}");
        }
    }
}
