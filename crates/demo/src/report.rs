//! What the demo did, for people.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use changetape_testkit::compare::{Differences, Dump};
use changetape_testkit::workload::Tally;
use serde_json::Value;

/// Everything there is to tell.
pub(crate) struct Report<'a> {
    pub(crate) traded: Tally,
    /// What `changetape record` and `changetape replay` printed.
    pub(crate) recorded: Value,
    pub(crate) replayed: Value,
    pub(crate) expected: &'a Dump,
    pub(crate) differences: Differences,
}

impl Report<'_> {
    /// Whether the target came out as the source is, with every event recorded.
    pub(crate) fn is_identical(&self) -> bool {
        let all = self.recorded.get("events").and_then(Value::as_u64) == Some(self.traded.total());
        all && self.differences.is_empty()
    }

    pub(crate) fn print(&self, tape: &Path, program: &Path, took: Duration) -> Result<()> {
        let (recorded, replayed) = (&self.recorded, &self.replayed);
        println!("\ntraded    {}", self.traded);
        println!(
            "recorded  {} events, {:.0}/s",
            number(recorded, "/events")?,
            number(recorded, "/eventsPerSecond")?
        );
        let (disk, raw) = (number(recorded, "/tapeBytes")?, number(recorded, "/bytes")?);
        println!(
            "on disk   {:.0} kB for {:.0} kB of events: {:.2} of their size",
            disk / 1e3,
            raw / 1e3,
            disk / raw
        );
        println!(
            "replayed  {} events at 10x in {:.2} s, {:.0}/s",
            number(replayed, "/delivered")?,
            number(replayed, "/elapsedSeconds")?,
            number(replayed, "/eventsPerSecond")?
        );
        println!(
            "lateness  p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
            number(replayed, "/lateness/p50Micros")? / 1e3,
            number(replayed, "/lateness/p99Micros")? / 1e3,
            number(replayed, "/lateness/maxMicros")? / 1e3
        );
        println!(
            "compared  {} collections, {} documents, {:.0} kB, byte for byte: {}",
            self.expected.collections().count(),
            self.expected.documents(),
            kilobytes(self.expected.bytes()),
            if self.is_identical() { "identical" } else { "DIFFERENT" }
        );
        if !self.differences.is_empty() {
            println!("{}", self.differences);
        }
        let (tape, program) = (tape.display(), program.display());
        println!("took      {:.1} s\n\nThe tape is kept. Look at it:", took.as_secs_f64());
        println!("  {program} info {tape}\n  {program} cat {tape} | head");
        Ok(())
    }
}

/// A figure of a result, by its JSON pointer.
fn number(result: &Value, pointer: &str) -> Result<f64> {
    let figure = result.pointer(pointer).and_then(Value::as_f64);
    figure.with_context(|| format!("the result has no {pointer}: {result}"))
}

#[allow(clippy::cast_precision_loss)] // Shown without digits behind the point.
fn kilobytes(bytes: usize) -> f64 {
    bytes as f64 / 1e3
}
