//! What applying a tape costs beside sending the same statements without any rule.
//!
//! ```text
//! cargo bench -p changetape-benches --bench applying -- [--events 388000] [--rounds 3]
//! ```
//! The tape is recorded once from a real server and kept under `target/bench-events/`: half of its
//! events are inserts, then 70 % updates, 15 % replacements and 15 % deletes in random order, about
//! 600 bytes each. A replay at full speed and a loader take turns, each in a process of its own and
//! into an empty server of its own. The loader sends statements of one kind unordered in batches of
//! 1000 over some connections, whatever comes before what. All runs are shown.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use bson::raw::{RawArrayBuf, RawDocumentBuf};
use bson::{Document, doc, rawdoc};
use changetape_benches::{Error, median};
use changetape_core::{OperationType, Seq};
use changetape_deployment::Deployment;
use changetape_recorder::{Limits, Progress, RecordOptions, Since, record};
use changetape_replayer::{Replay, ReplayOptions, SinkAddress, SinkOptions, Speed, Stop};
use changetape_tape::TapeReader;
use changetape_testkit::{ReplicaSet, present, target_directory};
use mongodb::Client;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Where a process finds the deployment: an argument would be listed for everybody.
const URI: &str = "CHANGETAPE_BENCH_URI";

/// Statements in a command of the loader.
const BATCH: usize = 1000;

/// Those who change documents while the tape is made.
const CLIENTS: usize = 8;

const SEED: u64 = 4;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let number = |name: &str, otherwise: u64| -> Result<u64, Error> {
        Ok(value(name).map_or(Ok(otherwise), |text| text.parse())?)
    };
    let events = number("--events", 388_000)?;
    let runtime = tokio::runtime::Runtime::new()?;
    match value("--phase").as_deref() {
        Some("replay") => replay(&runtime, &tape(events)),
        Some("load") => runtime.block_on(load(&tape(events), number("--connections", 1)?)),
        Some(other) => Err(format!("no phase {other}").into()),
        None => runtime.block_on(measure(events, number("--rounds", 3)?)),
    }
}

fn tape(events: u64) -> PathBuf {
    target_directory().join("bench-events").join(format!("mixed-{SEED}-{events}.tape"))
}

async fn measure(events: u64, rounds: u64) -> Result<(), Error> {
    if !changetape_tape::tape_exists(&tape(events)) {
        make(events).await?;
    }
    println!(
        "{events} events; 1000 events/s, CPU s of the process and of its server, MiB at most\n"
    );
    println!(
        "{:<8}{:<10}{:>10}{:>10}{:>10}{:>8}",
        "run", "", "events/s", "process", "server", "MiB"
    );
    let loaders = [1, 2, 4];
    let (mut ratios, mut cpu) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let mut best: f64 = 0.0;
        for connections in loaders {
            let name = format!("loader {connections}");
            let loaded =
                phase(&["load", "--connections", &connections.to_string()], events).await?;
            loaded.show(round, &name);
            best = best.max(loaded.rate);
        }
        let replayed = phase(&["replay"], events).await?;
        replayed.show(round, "replay");
        ratios.push(replayed.rate / best);
        cpu.push(replayed.cpu / replayed.server_cpu);
    }
    println!("\nreplay / the fastest loader of its round: {:.3} in the median", median(ratios));
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
    let usage = std::fs::read_to_string("/proc/self/stat")?;
    let fields = usage.rsplit(')').next().unwrap_or_default().split_whitespace();
    // What Linux counts in; `getconf CLK_TCK` says the same everywhere.
    let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let peak: f64 = peak.trim().trim_end_matches(" kB").parse()?;
    println!("{rate} {} {}", ticks.iter().sum::<f64>() / 100.0, peak / 1024.0);
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

/// Has a server changed as the tape is to tell, and records it.
async fn make(events: u64) -> Result<(), Error> {
    let source = ReplicaSet::single().start().await?;
    let client = source.client()?;
    let shop = client.database("shop");
    shop.create_collection("orders").await?;
    let begin = present(&client).await?;
    let (inserts, changes) = (events / 2, events - events / 2);
    let mut random = fastrand::Rng::with_seed(SEED);
    for first in (0..inserts).step_by(BATCH) {
        let ids = first..inserts.min(first + BATCH as u64);
        let orders: Vec<Document> = ids.map(|id| order(id, &mut random)).collect();
        shop.collection::<Document>("orders").insert_many(orders).await?;
    }
    // Each client has documents of its own, so that it knows which there are.
    let clients = (0..CLIENTS as u64).map(|client| {
        let orders = shop.collection::<Document>("orders");
        let mut random = random.fork();
        tokio::spawn(async move {
            let mut own: Vec<u64> = (client..inserts).step_by(CLIENTS).collect();
            for _ in 0..(changes + client) / CLIENTS as u64 {
                let at = random.usize(..own.len());
                let Some(&id) = own.get(at) else { break };
                let found = doc! {"_id": id.cast_signed()};
                match random.u32(..100) {
                    ..70 => {
                        let paid =
                            doc! {"status": "paid", "paid": {"by": "card", "n": random.i32(..)}};
                        orders.update_one(found, doc! {"$set": paid}).await?;
                    }
                    70..85 => {
                        orders.replace_one(found, order(id, &mut random)).await?;
                    }
                    _ => {
                        orders.delete_one(found).await?;
                        own.swap_remove(at);
                    }
                }
            }
            Ok::<_, mongodb::error::Error>(())
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await??;
    }
    let deployment = Deployment::connect(&source.uri()).await?;
    let tape = tape(events);
    std::fs::create_dir_all(tape.parent().ok_or("no parent")?)?;
    let options = RecordOptions {
        since: Since::Cluster(begin),
        limits: Limits { count: Some(events), ..Limits::default() },
        ..RecordOptions::default()
    };
    let never = CancellationToken::new();
    record(&deployment, &tape, &options, Arc::<Progress>::default(), &never).await?;
    Ok(())
}

/// About 400 bytes, of which an event has some more.
fn order(id: u64, random: &mut fastrand::Rng) -> Document {
    let words: Vec<String> = (0..24).map(|_| random.u32(..).to_string()).collect();
    doc! {
        "_id": id.cast_signed(),
        "customer": random.i32(0..10_000),
        "note": words.join(" "),
        "status": "placed",
    }
}
