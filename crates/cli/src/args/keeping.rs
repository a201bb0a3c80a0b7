//! How a tape is kept: the flags of `changetape record` that concern the tape.

use std::time::Duration;

use bytesize::ByteSize;
use changetape_tape::{Durability, Retain, TapeOptions};
use clap::Args;

use super::parse;

/// How the tape is kept.
#[derive(Debug, Args)]
#[command(next_help_heading = "Tape")]
pub(crate) struct KeepingArgs {
    /// When an event counts as recorded: when the block that it is in has reached the disk
    /// (block), or at most some time after (1s): so much may have to be read again from the
    /// source after a power loss
    #[arg(
        long,
        value_name = "WHEN",
        value_parser = durability,
        default_value = "block",
        env = "CHANGETAPE_DURABILITY"
    )]
    durability: Durability,
    /// About how large the tape's files become (64MiB, 1GiB)
    #[arg(
        long,
        value_name = "SIZE",
        value_parser = segment_size,
        default_value = "256MiB",
        env = "CHANGETAPE_SEGMENT_SIZE"
    )]
    segment_size: u64,
    /// Drop the oldest files when their last event arrived longer ago than this (7d), or while what
    /// is sealed is larger than this (50GiB); repeatable. Whole files go, never the newest, so they
    /// are made no larger than an eighth of what is kept (but not below 1MiB, nor 10s)
    #[arg(
        long,
        value_name = "AGE|SIZE",
        value_parser = limit,
        value_delimiter = ',',
        env = "CHANGETAPE_RETAIN"
    )]
    retain: Vec<Limit>,
}

/// One limit on how much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    Age(Duration),
    Size(u64),
}

impl KeepingArgs {
    pub(crate) fn options(&self) -> TapeOptions {
        let mut retain = Retain::default();
        for limit in &self.retain {
            match limit {
                Limit::Age(age) => retain.age = Some(*age),
                Limit::Size(bytes) => retain.bytes = Some(*bytes),
            }
        }
        TapeOptions {
            segment_size: self.segment_size,
            durability: self.durability,
            retain,
            ..TapeOptions::default()
        }
    }
}

fn durability(text: &str) -> Result<Durability, String> {
    if text == "block" {
        return Ok(Durability::Block);
    }
    let interval = parse::duration(text);
    interval
        .map(Durability::Interval)
        .map_err(|_| "expected block, or a time such as 1s".to_owned())
}

/// Smaller segments would be mostly index.
const MIN_SEGMENT_SIZE: u64 = 1 << 20;

fn segment_size(text: &str) -> Result<u64, String> {
    match text.parse::<ByteSize>() {
        Ok(size) if size.as_u64() >= MIN_SEGMENT_SIZE => Ok(size.as_u64()),
        Ok(_) => Err("a segment has at least 1MiB".to_owned()),
        Err(_) => Err("expected a size such as 64MiB or 1GiB".to_owned()),
    }
}

fn limit(text: &str) -> Result<Limit, String> {
    if let Ok(age) = parse::duration(text) {
        return Ok(Limit::Age(age));
    }
    // A number alone could be either.
    let has_unit = text.bytes().any(|byte| byte.is_ascii_alphabetic());
    match text.parse::<ByteSize>() {
        Ok(size) if has_unit => Ok(Limit::Size(size.as_u64())),
        _ => Err("expected an age such as 7d, or a size such as 50GiB".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_sizes_are_told_apart() {
        assert_eq!(limit("7d"), Ok(Limit::Age(Duration::from_secs(7 * 24 * 60 * 60))));
        assert_eq!(limit("50GiB"), Ok(Limit::Size(50 << 30)));
        assert_eq!(limit("50GB"), Ok(Limit::Size(50_000_000_000)));
        for bad in ["", "7", "soon", "-1d", "0s"] {
            assert!(limit(bad).unwrap_err().contains("50GiB"), "{bad}");
        }
    }

    #[test]
    fn refusals_name_the_accepted_forms() {
        assert_eq!(durability("block"), Ok(Durability::Block));
        assert_eq!(durability("1s"), Ok(Durability::Interval(Duration::from_secs(1))));
        assert!(durability("never").unwrap_err().contains("block"));
        assert_eq!(segment_size("64MiB"), Ok(64 << 20));
        assert!(segment_size("1kB").unwrap_err().contains("1MiB"));
        assert!(segment_size("big").unwrap_err().contains("64MiB"));
    }
}
