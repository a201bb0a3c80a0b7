//! A sealed tape at full speed: to nowhere, and as canonical NDJSON into a file.

use std::time::{Duration, Instant};

use changetape_benches::arguments::Arguments;
use changetape_benches::{Error, mixed};
use changetape_core::Seq;
use changetape_replayer::{Progress, Replay, ReplayOptions, SinkAddress, SinkOptions, Speed, Stop};
use changetape_tape::TapeReader;
use tokio::runtime::Runtime;

use crate::rounds;
use crate::runs::Reach::AtLeast;
use crate::runs::{self, Reaches, Runs, tell};

/// How many mixed events the tape has.
const EVENTS: u64 = 1_164_000;

const RATE: &str = "thousand events/s";
const NOWHERE: Reaches = &[(RATE, AtLeast(1_000.0))];
const FILE: Reaches = &[(RATE, AtLeast(250.0))];

/// Scans the tape and replays it both ways, in turn.
pub(crate) fn measure(arguments: &Arguments, runs: &mut Runs) -> Result<(), Error> {
    Runtime::new()?.block_on(mixed::make(EVENTS))?;
    for _ in 0..rounds(arguments)? {
        let scratch = tempfile::tempdir()?;
        let file = format!("file:{}", scratch.path().join("events.ndjson").display());
        runs.add("max, a scan of the tape", &[], || runs::phase("scan", &[]))?;
        for (name, sink, reaches) in
            [("max, null:", "null:", NOWHERE), ("max, NDJSON into a file", file.as_str(), FILE)]
        {
            let arguments = ["--sink".to_owned(), sink.to_owned()];
            runs.add(name, reaches, || runs::phase("replay", &arguments))?;
        }
    }
    Ok(())
}

/// The phase that reads the tape and does nothing else.
pub(crate) fn scan(_: &Arguments) -> Result<(), Error> {
    let tape = TapeReader::open(&mixed::tape(EVENTS))?;
    let started = Instant::now();
    for block in tape.blocks(Seq::ZERO) {
        block?.events().for_each(|event| drop(std::hint::black_box(event)));
    }
    tell(RATE, thousands(EVENTS, started.elapsed()));
    Ok(())
}

/// The phase that replays it.
pub(crate) fn replay(arguments: &Arguments) -> Result<(), Error> {
    let tape = TapeReader::open(&mixed::tape(EVENTS))?;
    let address: SinkAddress = arguments.required("--sink")?;
    let sink = Runtime::new()?.block_on(address.open(SinkOptions::default()))?;
    let options = ReplayOptions { speed: Speed::Max, ..ReplayOptions::default() };
    let started = Instant::now();
    let summary = Replay::new(tape, options, sink).run(&Progress::default(), &Stop::default())?;
    let elapsed = started.elapsed();
    if !summary.is_faithful() || summary.delivered != EVENTS {
        return Err(format!("{summary:?}").into());
    }
    tell(RATE, thousands(summary.delivered, elapsed));
    Ok(())
}

fn thousands(events: u64, elapsed: Duration) -> f64 {
    events as f64 / elapsed.as_secs_f64() / 1e3
}
