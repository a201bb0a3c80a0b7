//! What applying a tape costs beside sending the same statements without any rule.
//!
//! ```text
//! cargo bench -p changetape-benches --bench applying -- [--events 388000] [--rounds 3]
//! ```
//! On a tape of mixed events (`mixed.rs`). A replay at full speed and a loader take turns, each in a
//! process of its own and into an empty server of its own. The loader sends statements of one kind
//! unordered in batches of 1000 over some connections, whatever comes before what. A part of the
//! operations is also applied one at a time, each by an `applyOps` command of its own, which is how
//! `mongorestore --oplogReplay` applies them. At the end a tape three times as long is replayed, for the
//! memory that it takes. All runs are shown.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use bson::raw::{RawArrayBuf, RawDocumentBuf};
use bson::{doc, rawdoc};
use changetape_benches::arguments::Arguments;
use changetape_benches::{Error, median, mixed, process};
use changetape_core::{OperationType, Seq};
use changetape_replayer::{Replay, ReplayOptions, SinkAddress, SinkOptions, Speed, Stop};
use changetape_tape::TapeReader;
use changetape_testkit::ReplicaSet;
use mongodb::Client;
use tokio::sync::mpsc;

/// Where a process finds the deployment: an argument would be listed for everybody.
const URI: &str = "CHANGETAPE_BENCH_URI";

/// Statements in a command of the loader.
const BATCH: usize = 1000;

/// Of so many documents one takes part in being applied one operation at a time.
const SAMPLE: i64 = 64;

fn main() -> Result<(), Error> {
    let arguments = Arguments::given();
    let events = arguments.or("--events", 388_000)?;
    let runtime = tokio::runtime::Runtime::new()?;
    match arguments.text("--phase") {
        Some("replay") => replay(&runtime, &mixed::tape(events)),
        Some("apply-ops") => runtime.block_on(apply_ops(&mixed::tape(events))),
        Some("load") => {
            runtime.block_on(load(&mixed::tape(events), arguments.or("--connections", 1)?))
        }
        Some(other) => Err(format!("no phase {other}").into()),
        None => runtime.block_on(measure(events, arguments.or("--rounds", 3)?)),
    }
}

async fn measure(events: u64, rounds: u64) -> Result<(), Error> {
    mixed::make(events).await?;
    println!(
        "{events} events; 1000 events/s, CPU s of the process and of its server, MiB at most\n"
    );
    println!(
        "{:<8}{:<10}{:>10}{:>10}{:>10}{:>8}",
        "run", "", "events/s", "process", "server", "MiB"
    );
    let loaders = [1, 2, 4];
    let (mut ratios, mut to_single, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let mut best: f64 = 0.0;
        for connections in loaders {
            let name = format!("loader {connections}");
            let loaded =
                phase(&["load", "--connections", &connections.to_string()], events).await?;
            loaded.show(round, &name);
            best = best.max(loaded.rate);
        }
        let single = phase(&["apply-ops"], events).await?;
        single.show(round, "applyOps");
        let replayed = phase(&["replay"], events).await?;
        replayed.show(round, "replay");
        to_single.push(replayed.rate / single.rate);
        ratios.push(replayed.rate / best);
        cpu.push(replayed.cpu / replayed.server_cpu);
    }
    mixed::make(events * 3).await?;
    let longer = phase(&["replay"], events * 3).await?;
    longer.show(rounds, "3 x tape");
    println!("\nreplay / the fastest loader of its round: {:.3} in the median", median(ratios));
    println!("replay / one applyOps at a time: {:.1} in the median", median(to_single));
    println!("CPU of the replayer / of its server: {:.3} in the median", median(cpu));
    Ok(())
}

/// What a phase took.
struct Taken {
    rate: f64,
    cpu: f64,
    server_cpu: f64,
    memory: f64,
}

impl Taken {
    fn show(&self, round: u64, name: &str) {
        let Self { rate, cpu, server_cpu, memory } = self;
        let rate = rate / 1e3;
        println!("{round:<8}{name:<10}{rate:>10.1}{cpu:>10.2}{server_cpu:>10.2}{memory:>8.0}");
    }
}

/// Runs a phase in a process of its own, against a server of its own.
async fn phase(arguments: &[&str], events: u64) -> Result<Taken, Error> {
    let target = ReplicaSet::single().start().await?;
    let client = target.client()?;
    client.database("shop").create_collection("orders").await?;
    let before = server_cpu(&client).await?;
    let output = Command::new(std::env::current_exe()?)
        .args(["--events", &events.to_string(), "--phase"])
        .args(arguments)
        .env(URI, target.uri())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("{arguments:?} ended with {}", output.status).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let figures: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let &[rate, cpu, memory] = figures.as_slice() else { return Err(text.into()) };
    Ok(Taken { rate, cpu, server_cpu: server_cpu(&client).await? - before, memory })
}

/// The CPU seconds that a server has taken.
async fn server_cpu(client: &Client) -> Result<f64, Error> {
    let status = client.database("admin").run_command(doc! {"serverStatus": 1}).await?;
    let extra = status.get_document("extra_info")?;
    Ok((extra.get_i64("user_time_us")? + extra.get_i64("system_time_us")?) as f64 / 1e6)
}

/// Prints how fast something was, and what this process took for it.
fn tell(events: u64, started: Instant) -> Result<(), Error> {
    let rate = events as f64 / started.elapsed().as_secs_f64();
    println!("{rate} {} {}", process::cpu_seconds()?, process::peak_mib()?);
    Ok(())
}

fn replay(runtime: &tokio::runtime::Runtime, tape: &Path) -> Result<(), Error> {
    let tape = TapeReader::open(tape)?;
    let address: SinkAddress = std::env::var(URI)?.parse()?;
    let sink = runtime.block_on(address.open(SinkOptions::default()))?;
    let options = ReplayOptions { speed: Speed::Max, ..ReplayOptions::default() };
    let started = Instant::now();
    let replay = Replay::new(tape, options, sink);
    let summary = replay.run(&changetape_replayer::Progress::default(), &Stop::default())?;
    if !summary.is_faithful() {
        return Err(format!("{summary:?}").into());
    }
    tell(summary.delivered, started)
}

/// Applies what happened to some of the documents, one operation after the other.
async fn apply_ops(tape: &Path) -> Result<(), Error> {
    let client = Client::with_uri_str(std::env::var(URI)?).await?;
    let admin = client.database("admin");
    let tape = TapeReader::open(tape)?;
    let mut operations = Vec::new();
    for block in tape.blocks(Seq::ZERO) {
        for recorded in block?.events() {
            let event = &recorded.event;
            let Some(key) = event.document_key()? else { continue };
            if key.get_i64("_id")? % SAMPLE != 0 {
                continue;
            }
            let document =
                || Ok::<_, Error>(event.full_document()?.ok_or("no document")?.to_owned());
            let key = key.to_owned();
            operations.push(match event.operation_type()? {
                OperationType::Insert => rawdoc! {"op": "i", "ns": "shop.orders", "o": document()?},
                OperationType::Update => {
                    let diff = event.raw_update()?.ok_or("no diff")?.to_owned();
                    rawdoc! {"op": "u", "ns": "shop.orders", "o2": key, "o": diff}
                }
                OperationType::Replace => {
                    rawdoc! {"op": "u", "ns": "shop.orders", "o2": key, "o": document()?}
                }
                _ => rawdoc! {"op": "d", "ns": "shop.orders", "o": key},
            });
        }
    }
    let (events, started) = (operations.len() as u64, Instant::now());
    for operation in operations {
        let mut one = RawArrayBuf::new();
        one.push(operation);
        admin.run_raw_command(rawdoc! {"applyOps": one}).await?;
    }
    tell(events, started)
}

async fn load(tape: &Path, connections: u64) -> Result<(), Error> {
    let client = Client::with_uri_str(std::env::var(URI)?).await?;
    let tape = TapeReader::open(tape)?;
    let started = Instant::now();
    let (mut senders, mut tasks) = (Vec::new(), Vec::new());
    for _ in 0..connections {
        let (sender, mut commands) = mpsc::channel::<RawDocumentBuf>(2);
        let shop = client.database("shop");
        senders.push(sender);
        tasks.push(tokio::spawn(async move {
            while let Some(command) = commands.recv().await {
                // What comes too early or too late fails, and nobody minds.
                shop.run_raw_command(command).await?;
            }
            Ok::<_, mongodb::error::Error>(())
        }));
    }
    let (mut events, mut turn) = (0, 0);
    let mut batches: [Vec<RawDocumentBuf>; 3] = Default::default();
    for block in tape.blocks(Seq::ZERO) {
        for recorded in block?.events() {
            events += 1;
            let event = &recorded.event;
            let Some(key) = event.document_key()? else { continue };
            let (kind, statement) = match event.operation_type()? {
                OperationType::Insert => {
                    (0, event.full_document()?.ok_or("no document")?.to_owned())
                }
                OperationType::Update => {
                    let diff = event.raw_update()?.ok_or("no diff")?.to_owned();
                    let change = rawdoc! {"$_internalApplyOplogUpdate": {"oplogUpdate": diff}};
                    (1, rawdoc! {"q": key.to_owned(), "u": [change]})
                }
                OperationType::Replace => {
                    let document = event.full_document()?.ok_or("no document")?.to_owned();
                    (1, rawdoc! {"q": key.to_owned(), "u": document, "upsert": true})
                }
                _ => (2, rawdoc! {"q": key.to_owned(), "limit": 1}),
            };
            let Some(batch) = batches.get_mut(kind) else { continue };
            batch.push(statement);
            if batch.len() == BATCH {
                send(&senders, &mut turn, kind, std::mem::take(batch)).await?;
            }
        }
    }
    for (kind, batch) in batches.into_iter().enumerate().filter(|(_, batch)| !batch.is_empty()) {
        send(&senders, &mut turn, kind, batch).await?;
    }
    drop(senders);
    for task in tasks {
        task.await??;
    }
    tell(events, started)
}

async fn send(
    senders: &[mpsc::Sender<RawDocumentBuf>],
    turn: &mut usize,
    kind: usize,
    batch: Vec<RawDocumentBuf>,
) -> Result<(), Error> {
    let mut statements = RawArrayBuf::new();
    for statement in batch {
        statements.push(statement);
    }
    let command = match kind {
        0 => rawdoc! {"insert": "orders", "documents": statements, "ordered": false},
        1 => rawdoc! {"update": "orders", "updates": statements, "ordered": false},
        _ => rawdoc! {"delete": "orders", "deletes": statements, "ordered": false},
    };
    *turn += 1;
    let sender = senders.get(*turn % senders.len()).ok_or("no connection")?;
    sender.send(command).await?;
    Ok(())
}
