//! A recorder of events that nobody sent, for what a real one does too seldom.
//!
//! This program again, as a process of its own: it opens a tape, or makes it, and appends what
//! follows on it, up to some number of events. Which events those are, and where some are missing,
//! the number says.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bson::raw::{RawDocument, RawDocumentBuf};
use changetape_core::{Arrival, Seq, WallTime};
use changetape_tape::{
    Batch, Durability, Edge, Gap, GapCause, Retain, TapeOptions, TapeWriter, tape_exists,
};
use changetape_testkit::samples;
use fastrand::Rng;

/// What this program's first argument is then.
pub(crate) const COMMAND: &str = "write";

/// One event in so many is large.
const LARGE_EVERY: u64 = 97;

/// Before one event in so many there is a gap.
const GAP_EVERY: u64 = 101;

/// What is written, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Writing {
    /// How many events are on the tape at the end.
    pub(crate) until: u64,
    /// Up to how many at once.
    pub(crate) batch: u64,
    /// After about how many appends the tape is closed and opened again; 0 for never.
    pub(crate) close_every: u64,
    /// How long the text in an event is, at most, and in a large one.
    pub(crate) text: usize,
    pub(crate) large: usize,
    /// The tape's segment size, how many bytes of it are kept, 0 for all, and after how many
    /// milliseconds it is synced, 0 for at once.
    pub(crate) segment_size: u64,
    pub(crate) retain: u64,
    pub(crate) interval: u64,
}

impl Writing {
    /// The command that writes so.
    pub(crate) fn command(&self, tape: &Path) -> Result<Command> {
        let numbers = [self.until, self.batch, self.close_every, self.text as u64];
        let more = [self.large as u64, self.segment_size, self.retain, self.interval];
        let numbers = numbers.into_iter().chain(more);
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(COMMAND).arg(tape).args(numbers.map(|number| number.to_string()));
        Ok(command)
    }

    fn parse(arguments: &[String]) -> Result<(PathBuf, Self)> {
        let (tape, numbers) = arguments.split_first().context("expected a tape")?;
        let numbers = numbers.iter().map(|number| number.parse()).collect::<Result<Vec<u64>, _>>();
        let [until, batch, close_every, text, large, segment_size, retain, interval] =
            numbers?.try_into().ok().context("expected eight numbers")?;
        let (text, large) = (usize::try_from(text)?, usize::try_from(large)?);
        let writing =
            Self { until, batch, close_every, text, large, segment_size, retain, interval };
        Ok((tape.into(), writing))
    }

    fn options(&self) -> TapeOptions {
        let interval = Duration::from_millis(self.interval);
        TapeOptions {
            segment_size: self.segment_size,
            durability: match self.interval {
                0 => Durability::Block,
                _ => Durability::Interval(interval),
            },
            retain: Retain { age: None, bytes: Some(self.retain).filter(|bytes| *bytes > 0) },
            ..TapeOptions::default()
        }
    }

    /// The event at a place, with letters that do not compress away.
    fn event(&self, n: u64) -> RawDocumentBuf {
        let longest = if n.is_multiple_of(LARGE_EVERY) { self.large } else { self.text };
        samples::event(n, &samples::text(n, 0..longest))
    }
}

/// Writes as the arguments say.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (tape, writing) = Writing::parse(arguments)?;
    let options = writing.options();
    let mut writer = if tape_exists(&tape) {
        options.open(&tape)?
    } else {
        options.create(&tape, samples::metadata())?
    };
    let mut next = samples::next_of(&writer);
    // Other batches each time, but the same events.
    let mut random = Rng::new();
    while next < writing.until {
        // What is behind a gap begins with a batch of its own.
        let next_gap = (next + 1).next_multiple_of(GAP_EVERY);
        let fewest = u64::from(is_behind_gap(next));
        let end = next + random.u64(fewest..=writing.batch);
        let end = end.min(next_gap).min(writing.until);
        append(&mut writer, &writing, next, end)?;
        next = end;
        if writing.close_every > 0 && random.u64(..writing.close_every) == 0 {
            writer.close()?;
            writer = options.open(&tape)?;
        }
    }
    writer.close()?;
    Ok(())
}

fn append(writer: &mut TapeWriter, writing: &Writing, first: u64, end: u64) -> Result<()> {
    let events: Vec<_> = (first..end).map(|n| writing.event(n)).collect();
    let events: Vec<&RawDocument> = events.iter().map(AsRef::as_ref).collect();
    let arrival = Arrival { wall_nanos: first, monotonic_nanos: first };
    let batch = Batch { events: &events, token: &samples::token(end), arrival };
    let places = if is_behind_gap(first) {
        writer.append_behind(gap(first), &batch)?
    } else {
        writer.append(&batch)?
    };
    ensure!(places.start.get() == first, "{first} was appended at {}", places.start);
    Ok(())
}

/// Whether events are missing before a place.
fn is_behind_gap(n: u64) -> bool {
    n > 0 && n.is_multiple_of(GAP_EVERY)
}

fn gap(at: u64) -> Gap {
    Gap {
        at: Seq::new(at),
        places: 0,
        cause: GapCause::HistoryLost,
        before: Edge::at(samples::token(at)),
        after: Edge::default(),
        noticed: WallTime::from_millis(0),
    }
}
