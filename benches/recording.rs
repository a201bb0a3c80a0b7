//! What recording costs beside reading: the same stream recorded, and read and thrown away.
//!
//! ```text
//! cargo bench -p changetape-benches --bench recording -- [--events 300000] [--rounds 5] [--quiet 30]
//! ```
//! One mongod whose oplog holds the events before anything is timed. A reader that discards and a
//! recorder take turns on all of them, from the same cluster time; each in a process of its own.
//! Then a quiet stream: one event a second, and for each how long after its acknowledgement it is
//! durable on the tape; and the CPU that the recorder takes meanwhile. All runs are shown.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::{Document, Timestamp, doc};
use changetape_benches::arguments::Arguments;
use changetape_benches::{Error, median};
use changetape_core::ClusterTime;
use changetape_deployment::Deployment;
use changetape_recorder::{Limits, Progress, RecordOptions, Since, record};
use changetape_testkit::{ReplicaSet, present};
use futures_util::StreamExt as _;
use mongodb::Client;
use tokio_util::sync::CancellationToken;

/// How often the tape's watermark is looked at.
const LOOK: Duration = Duration::from_millis(1);

/// Where a process finds the deployment: an argument would be listed for everybody.
const URI: &str = "CHANGETAPE_BENCH_URI";

fn main() -> Result<(), Error> {
    let arguments = Arguments::given();
    let events = arguments.or("--events", 300_000)?;
    tokio::runtime::Runtime::new()?.block_on(async {
        match arguments.text("--phase") {
            Some("read") => read(arguments.required("--since")?, events).await,
            Some(phase @ ("record" | "quiet")) => {
                let path: PathBuf = arguments.required("--tape")?;
                record_onto(&path, arguments.required("--since")?, events, phase == "record").await
            }
            Some(other) => Err(format!("no phase {other}").into()),
            None => {
                measure(events, arguments.or("--rounds", 5)?, arguments.or("--quiet", 30)?).await
            }
        }
    })
}

async fn measure(events: u64, rounds: u64, quiet: u64) -> Result<(), Error> {
    let source = ReplicaSet::single().start().await?;
    let client = source.client()?;
    let begin = present(&client).await?;
    write(&client, events).await?;
    let directory = tempfile::tempdir()?;
    println!("{events} events, from the server's oplog; in 1000 events/s\n");
    println!("{:<8}{:>12}{:>12}{:>10}", "run", "discarded", "recorded", "ratio");
    let mut ratios = Vec::new();
    for round in 0..rounds {
        let tape = directory.path().join(format!("{round}.tape"));
        let phase = |name: &str| finished(started(name, &source.uri(), begin, events, &tape)?);
        // First the one, then the other; the next time the other way round.
        let (read, recorded) = if round % 2 == 0 {
            (phase("read")?, phase("record")?)
        } else {
            let recorded = phase("record")?;
            (phase("read")?, recorded)
        };
        let ratio = recorded / read;
        println!("{round:<8}{:>12.1}{:>12.1}{ratio:>10.3}", read / 1e3, recorded / 1e3);
        ratios.push(ratio);
    }
    println!("median ratio {:.3}\n", median(ratios));
    quiet_stream(&source, quiet).await
}

/// Starts a phase in a process of its own.
fn started(
    phase: &str,
    uri: &str,
    since: ClusterTime,
    events: u64,
    tape: &Path,
) -> Result<Child, Error> {
    let since = since.to_string();
    Ok(Command::new(std::env::current_exe()?)
        .args(["--phase", phase, "--since", &since, "--events", &events.to_string(), "--tape"])
        .arg(tape)
        .env(URI, uri)
        .stdout(Stdio::piped())
        .spawn()?)
}

/// The events per second that a phase prints.
fn finished(child: Child) -> Result<f64, Error> {
    let output = child.wait_with_output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

async fn read(since: ClusterTime, events: u64) -> Result<(), Error> {
    let client = Client::with_uri_str(std::env::var(URI)?).await?;
    let stage = doc! {"$changeStream": {
        "allChangesForCluster": true,
        "showExpandedEvents": true,
        "showRawUpdateDescription": true,
        "startAtOperationTime": Timestamp::from(since),
    }};
    let started = Instant::now();
    let admin = client.database("admin");
    let mut batches = admin.aggregate([stage]).batch_size(2000).batch().await?;
    let mut seen = 0;
    while seen < events {
        let batch = batches.next().await.ok_or("the stream ended")??;
        seen += batch.doc_slices()?.into_iter().count() as u64;
    }
    println!("{}", events as f64 / started.elapsed().as_secs_f64());
    Ok(())
}

/// Records; with `timed`, prints how fast that was.
async fn record_onto(
    path: &Path,
    since: ClusterTime,
    events: u64,
    timed: bool,
) -> Result<(), Error> {
    let source = Deployment::connect(&std::env::var(URI)?).await?;
    let options = RecordOptions {
        since: Since::Cluster(since),
        limits: Limits { count: Some(events), ..Limits::default() },
        ..RecordOptions::default()
    };
    let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
    let recording = record(&source, path, &options, Arc::clone(&progress), &stop);
    let started = Instant::now();
    let watching = async {
        // Looking takes more of the CPU than a quiet recording.
        while timed && progress.snapshot().events < events {
            tokio::time::sleep(LOOK).await;
        }
        // Everything is durable; what follows is the end of a recording, not its rate.
        println!("{}", events as f64 / started.elapsed().as_secs_f64());
    };
    let (recorded, ()) = tokio::join!(recording, watching);
    recorded?;
    Ok(())
}

/// One event a second: how soon each is durable, and what the recorder takes of the CPU.
async fn quiet_stream(source: &ReplicaSet, seconds: u64) -> Result<(), Error> {
    if seconds == 0 {
        return Ok(());
    }
    let client = source.client()?;
    let directory = tempfile::tempdir()?;
    let tape = directory.path().join("quiet.tape");
    let begin = present(&client).await?;
    let mut recorder = started("quiet", &source.uri(), begin, u64::MAX, &tape)?;
    let coll = client.database("quiet").collection::<Document>("c");
    let durable = tape.join("durable");
    let mut latencies = Vec::new();
    let mut turn = tokio::time::interval(Duration::from_secs(1));
    let mut before = 0.0;
    for n in 0..=seconds {
        turn.tick().await;
        let known = std::fs::read(&durable).unwrap_or_default();
        let inserted = coll.insert_one(doc! {"n": n.cast_signed()}).await;
        let acknowledged = Instant::now();
        inserted?;
        while std::fs::read(&durable).unwrap_or_default() == known && recorder.try_wait()?.is_none()
        {
            tokio::time::sleep(LOOK).await;
        }
        // The first makes the collection and the tape.
        if n > 0 {
            latencies.push(acknowledged.elapsed().as_secs_f64() * 1e3);
        } else {
            before = cpu_seconds(recorder.id())?;
        }
        if n + 1 == seconds {
            let cpu = (cpu_seconds(recorder.id())? - before) / (seconds - 1) as f64;
            println!("quiet stream: the recorder takes {:.2} % of a core", cpu * 100.0);
        }
    }
    recorder.kill()?;
    recorder.wait()?;
    let longest = latencies.iter().copied().fold(0.0, f64::max);
    let all: Vec<String> = latencies.iter().map(|latency| format!("{latency:.0}")).collect();
    let middle = median(latencies);
    println!(
        "durable after {middle:.1} ms in the median, {longest:.1} at most ({})",
        all.join(" ")
    );
    Ok(())
}

/// The CPU that a process has taken.
fn cpu_seconds(pid: u32) -> Result<f64, Error> {
    /// What Linux counts in; `getconf CLK_TCK` says the same everywhere.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    Ok(ticks.iter().sum::<f64>() / TICKS)
}

/// Inserts and updates of about 600 bytes an event.
async fn write(client: &Client, events: u64) -> Result<(), Error> {
    const BATCH: u64 = 1000;
    let coll = client.database("shop").collection::<Document>("orders");
    let mut random = fastrand::Rng::with_seed(7);
    // Half of the events are updates of what was inserted.
    for batch in 0..events.div_ceil(2 * BATCH) {
        let order = |n: u64| {
            let words: Vec<String> = (0..12).map(|_| random.u32(..).to_string()).collect();
            doc! {
                "_id": (batch * BATCH + n).cast_signed(),
                "batch": batch.cast_signed(),
                "customer": random.i32(0..10_000),
                "note": words.join(" "),
                "status": "placed",
            }
        };
        let orders: Vec<Document> = (0..BATCH).map(order).collect();
        coll.insert_many(orders).await?;
        let change = doc! {"$set": {"status": "paid", "paid": {"by": "card", "n": 5}}};
        coll.update_many(doc! {"batch": batch.cast_signed()}, change).await?;
    }
    Ok(())
}
