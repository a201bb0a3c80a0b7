//! How fast a database is compared with a tape, and in how much memory.
//!
//! ```text
//! cargo bench -p changetape-benches --bench verifying -- [--events 388000] [--rounds 5]
//! ```
//! A tape of mixed events (`mixed.rs`), and one three times as long, each replayed into a server of
//! its own. Then, in turn and each in a process of its own: a plain scan of the tape, and a
//! comparison with that server. *Tape's side* is the computing of what every document must be, all
//! passes over the tape together, without the time in which the server answers. All runs are shown.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use changetape_benches::arguments::Arguments;
use changetape_benches::{Error, median, mixed, process};
use changetape_core::{NamespaceFilter, Seq};
use changetape_deployment::Deployment;
use changetape_replayer::verify::{MEMORY, Verification, VerifyOptions, VerifyProgress};
use changetape_replayer::{
    Missing, NamespaceMap, Progress, Replay, ReplayOptions, SinkAddress, SinkOptions, Speed, Stop,
};
use changetape_tape::TapeReader;
use changetape_testkit::ReplicaSet;

/// Where a process finds the deployment: an argument would be listed for everybody.
const URI: &str = "CHANGETAPE_BENCH_URI";

fn main() -> Result<(), Error> {
    let arguments = Arguments::given();
    let events = arguments.or("--events", 388_000)?;
    let runtime = tokio::runtime::Runtime::new()?;
    match arguments.text("--phase") {
        Some("replay") => replay(&runtime, events),
        Some("scan") => scan(events),
        Some("verify") => runtime.block_on(verify(events)),
        Some(other) => Err(format!("no phase {other}").into()),
        None => runtime.block_on(measure(events, arguments.or("--rounds", 5)?)),
    }
}

async fn measure(events: u64, rounds: u64) -> Result<(), Error> {
    println!("thousand events/s, MiB at most\n");
    let columns = ("events", "scan", "tape's side", "passes", "whole", "MiB");
    let (length, scanned, side, passes, whole, memory) = columns;
    println!("{length:>10}{scanned:>10}{side:>14}{passes:>8}{whole:>10}{memory:>8}");
    for events in [events, 3 * events] {
        mixed::make(events).await?;
        let target = ReplicaSet::single().start().await?;
        phase("replay", events, &target.uri())?;
        let mut runs = Vec::new();
        for _ in 0..rounds {
            let &[scanned] = phase("scan", events, "")?.as_slice() else {
                return Err("a scan has one figure".into());
            };
            let &[side, passes, whole, memory] = phase("verify", events, &target.uri())?.as_slice()
            else {
                return Err("a comparison has four figures".into());
            };
            runs.push([scanned, side, passes, whole, memory]);
            show(events, runs.last().ok_or("no run")?, "");
        }
        let mut medians = [0.0; 5];
        for (at, figure) in medians.iter_mut().enumerate() {
            *figure = median(runs.iter().filter_map(|run| run.get(at).copied()));
        }
        show(events, &medians, "  in the median");
    }
    Ok(())
}

fn show(events: u64, &[scanned, side, passes, whole, memory]: &[f64; 5], what: &str) {
    println!("{events:>10}{scanned:>10.0}{side:>14.0}{passes:>8}{whole:>10.1}{memory:>8.0}{what}");
}

/// Runs a phase in a process of its own, which prints its figures.
fn phase(name: &str, events: u64, uri: &str) -> Result<Vec<f64>, Error> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--events", &events.to_string(), "--phase", name])
        .env(URI, uri)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("{name} ended with {}", output.status).into());
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
}

fn replay(runtime: &tokio::runtime::Runtime, events: u64) -> Result<(), Error> {
    let tape = TapeReader::open(&mixed::tape(events))?;
    let address: SinkAddress = std::env::var(URI)?.parse()?;
    let sink = runtime.block_on(address.open(SinkOptions::default()))?;
    let options = ReplayOptions { speed: Speed::Max, ..ReplayOptions::default() };
    Replay::new(tape, options, sink).run(&Progress::default(), &Stop::default())?;
    Ok(())
}

fn scan(events: u64) -> Result<(), Error> {
    let tape = TapeReader::open(&mixed::tape(events))?;
    let started = Instant::now();
    for block in tape.blocks(Seq::ZERO) {
        block?.events().for_each(|event| drop(std::hint::black_box(event)));
    }
    println!("{}", thousands(events, started.elapsed()));
    Ok(())
}

async fn verify(events: u64) -> Result<(), Error> {
    let tape = TapeReader::open(&mixed::tape(events))?;
    let deployment = Deployment::connect(&std::env::var(URI)?).await?;
    let options = VerifyOptions {
        start: None,
        end: None,
        namespaces: NamespaceFilter::default(),
        map: NamespaceMap::default(),
        missing: Missing::default(),
        limit: 10,
        memory: MEMORY,
    };
    let verification = Verification::new(tape, deployment, options);
    let compared = move || verification.run(&VerifyProgress::default(), &Stop::default());
    let compared = tokio::task::spawn_blocking(compared).await??.ok_or("stopped")?;
    if !compared.is_same() || compared.unknown > 0 {
        return Err(format!("{compared:?}").into());
    }
    let side = thousands(events, compared.reading);
    let whole = thousands(events, compared.elapsed);
    println!("{side} {} {whole} {}", compared.passes, process::peak_mib()?);
    Ok(())
}

fn thousands(events: u64, elapsed: Duration) -> f64 {
    events as f64 / elapsed.as_secs_f64() / 1e3
}
