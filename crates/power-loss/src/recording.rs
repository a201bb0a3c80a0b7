//! The recordings over which power is lost.
//!
//! | recording | what happens in it |
//! | --- | --- |
//! | `recorder` | `changetape record` records what a shop and others do on a real server |
//! | `base` | the same, of a tape that begins with a base; its first process is killed over that |
//! | `sealing` | logs and segments of some kilobytes, and a tape that is often closed: there is always something to make, seal, merge or drop |
//! | `interval` | the same, synced every few milliseconds and not with each append |
//! | `large` | logs as large as they become, events of which sled keeps many in files of their own |
//!
//! The events of the last three are made up: see [`writer`](crate::writer). Each is recorded
//! by two processes, the first of which is killed, so that the second seals what it left. An
//! undisturbed recording of the same events tells which there are.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::source::{Begin, Source};
use crate::traced::Traced;
use crate::writer::Writing;

/// The name of each tape in its directory.
pub(crate) const TAPE: &str = "orders.tape";

/// A recording that was traced.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) name: &'static str,
    /// Where its traces are, the tape's directory and the reference.
    directory: PathBuf,
}

const RECORDER: &str = "recorder";
const BASE: &str = "base";
const LARGE: &str = "large";
const RECORDER_FLAGS: [&str; 4] = ["--segment-size", "1MiB", "--retain", "5MiB"];

const SEALING: Writing = Writing {
    until: 6_000,
    batch: 50,
    close_every: 8,
    text: 120,
    large: 3_000,
    segment_size: 24_000,
    retain: 100_000,
    interval: 0,
};

/// How much of its base is written when the first process is killed over it.
const BASE_PART: u64 = 4 << 20;

/// Those whose events are made up.
const WRITTEN: [(&str, Writing); 3] = [
    ("sealing", SEALING),
    ("interval", Writing { interval: 5, ..SEALING }),
    (
        LARGE,
        Writing {
            until: 3_000,
            batch: 60,
            close_every: 0,
            text: 8_000,
            large: 2_500_000,
            segment_size: 256 << 20,
            retain: 0,
            interval: 0,
        },
    ),
];

impl Recording {
    /// All there are, or one, in a directory.
    pub(crate) fn those_of(directory: &Path, only: Option<&str>) -> Result<Vec<Self>> {
        let names = || [RECORDER, BASE].into_iter().chain(WRITTEN.map(|(name, _)| name));
        let asked = names().filter(|name| only.is_none_or(|only| only == *name));
        let recordings: Vec<Self> =
            asked.map(|name| Self { name, directory: directory.join(name) }).collect();
        let all: Vec<&str> = names().collect();
        ensure!(!recordings.is_empty(), "no such recording; there are {}", all.join(", "));
        Ok(recordings)
    }

    /// Makes it, in place of an earlier one.
    pub(crate) async fn make(&self) -> Result<()> {
        println!("recording {}", self.name);
        if self.directory.exists() {
            fs::remove_dir_all(&self.directory)
                .with_context(|| self.directory.display().to_string())?;
        }
        fs::create_dir_all(self.tape_directory())?;
        let written = WRITTEN.iter().find(|(name, _)| *name == self.name);
        let recorded = match written {
            Some((_, writing)) => self.write(writing),
            None if self.name == BASE => self.record_with_base().await,
            None => self.record().await,
        };
        recorded.context(self.name)
    }

    /// At how many of so many moments the power is lost: images of large tapes take their time.
    pub(crate) fn share(&self, moments: usize) -> usize {
        if self.name == LARGE { moments.div_ceil(3) } else { moments }
    }

    /// Where the tape is, and nothing else.
    pub(crate) fn tape_directory(&self) -> PathBuf {
        self.directory.join("disk")
    }

    /// What was traced of each process.
    pub(crate) fn traces(&self) -> [PathBuf; 2] {
        [1, 2].map(|process| self.directory.join(format!("process-{process}.strace")))
    }

    /// A tape of the same events.
    pub(crate) fn reference(&self) -> PathBuf {
        self.directory.join("reference.tape")
    }

    /// Where an image goes over which there is something to say.
    pub(crate) fn failed(&self, number: usize) -> PathBuf {
        self.directory.join(format!("failed-{number}"))
    }

    fn write(&self, writing: &Writing) -> Result<()> {
        let tape = self.tape_directory().join(TAPE);
        let command = writing.command(&tape)?;
        let [first, second] = self.traces();
        Traced::start(&command, &tape, &first)?.kill_at(writing.until * 2 / 3)?;
        Traced::start(&command, &tape, &second)?.finish()?;
        let undisturbed = Writing { segment_size: 256 << 20, retain: 0, ..*writing };
        let status = undisturbed.command(&self.reference())?.status()?;
        ensure!(status.success(), "the reference could not be written");
        Ok(())
    }

    async fn record(&self) -> Result<()> {
        let source = Source::start(Begin::Events).await?;
        let tape = self.tape_directory().join(TAPE);
        let [first, second] = self.traces();
        let running = Traced::start(&source.record(&tape, &RECORDER_FLAGS), &tape, &first)?;
        let changes = source.change(1).await?;
        running.kill_at(changes / 2)?;
        let flags = [&RECORDER_FLAGS[..], &["--stop-when-idle", "3s"]].concat();
        let running = Traced::start(&source.record(&tape, &flags), &tape, &second)?;
        source.change(2).await?;
        running.finish()?;
        source.record_all(&self.reference())
    }

    async fn record_with_base(&self) -> Result<()> {
        let source = Source::start(Begin::Base).await?;
        source.fill().await?;
        let tape = self.tape_directory().join(TAPE);
        let [first, second] = self.traces();
        Traced::start(&source.record(&tape, &[]), &tape, &first)?.kill_over_base(BASE_PART)?;
        source.change_all().await?;
        // Nothing changes from here on until both have their base.
        source.record_all(&self.reference())?;
        let record = source.record(&tape, &["--stop-when-idle", "3s"]);
        let running = Traced::start(&record, &tape, &second)?.made()?;
        source.change(1).await?;
        running.finish()?;
        source.record_all(&self.reference())
    }
}
