//! What a recorder costs its source: a server's writes with a recorder attached and without.
//!
//! One mongod, its CPU time as it accounts for it itself (`serverStatus`), and writers who wait
//! for each write; runs with and without a recorder take turns, in both orders, so that what
//! else the machine does meets both. The CPU time of a recorded run is taken when the tape holds
//! every event, so that nothing of the stream's cost is left out. Writers, server and recorder
//! share the machine's cores, as they should not in production.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::{Document, doc};
use changetape_benches::{Error, median};
use changetape_deployment::Deployment;
use changetape_recorder::{Progress, RecordOptions, State, record};
use changetape_testkit::ReplicaSet;
use mongodb::Client;
use tokio_util::sync::CancellationToken;

/// Runs of each kind.
const ROUNDS: usize = 5;

/// Writers at a time; each write waits for its acknowledgement.
const WRITERS: i32 = 4;

/// How fast the writers write.
#[derive(Clone, Copy)]
enum Pace {
    /// As fast as they are acknowledged, so many each.
    Full(i32),
    /// Each so many, with this from one to the next.
    Every(Duration, i32),
}

/// What one run showed.
struct Run {
    writes_per_second: f64,
    /// The server's CPU seconds for each 1000 writes.
    cpu: f64,
}

fn main() -> Result<(), Error> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let source = ReplicaSet::single().start().await?;
        println!("{WRITERS} writers; each writes an insert of 200 bytes, then an update of it\n");
        compare(&source, "as fast as they can", Pace::Full(5_000)).await?;
        let every = Duration::from_millis(8);
        compare(&source, "500 writes/s in all", Pace::Every(every, 1_250)).await
    })
}

/// Prints every run, and the medians side by side.
async fn compare(source: &ReplicaSet, what: &str, pace: Pace) -> Result<(), Error> {
    println!("{what}");
    println!("  run  recorder  writes/s  server CPU s / 1000 writes");
    let (mut without, mut with) = (Vec::new(), Vec::new());
    // The server's caches and the clients' connections are not what is compared.
    run(source, pace, false).await?;
    for round in 1..=ROUNDS {
        // First the one, then the other; the next time the other way round.
        for is_recorded in [round % 2 == 0, round % 2 == 1] {
            let run = run(source, pace, is_recorded).await?;
            let kind = if is_recorded { "with" } else { "without" };
            println!("  {round:>3}  {kind:<8}  {:>8.0}  {:.3}", run.writes_per_second, run.cpu);
            if is_recorded { &mut with } else { &mut without }.push(run);
        }
    }
    for (kind, runs) in [("without", &without), ("with", &with)] {
        let rate = median(runs.iter().map(|run| run.writes_per_second));
        let cpu = median(runs.iter().map(|run| run.cpu));
        println!("  med  {kind:<8}  {rate:>8.0}  {cpu:.3}");
    }
    println!();
    Ok(())
}

async fn run(source: &ReplicaSet, pace: Pace, is_recorded: bool) -> Result<Run, Error> {
    let client = source.client()?;
    let coll = format!("c{:016x}", fastrand::u64(..));
    client.database("load").create_collection(&coll).await?;
    let run = if is_recorded {
        recorded(&source.uri(), &client, &coll, pace).await?
    } else {
        measured(&client, &coll, pace, async |_| {}).await?
    };
    client.database("load").collection::<Document>(&coll).drop().await?;
    Ok(run)
}

/// A run with a recorder that has nothing but its defaults; its tape is thrown away.
async fn recorded(uri: &str, client: &Client, coll: &str, pace: Pace) -> Result<Run, Error> {
    const POLL: Duration = Duration::from_millis(5);
    let deployment = Deployment::connect(uri).await?;
    let directory = tempfile::tempdir()?;
    let tape = directory.path().join("load.tape");
    let (options, stop) = (RecordOptions::default(), CancellationToken::new());
    let progress = Arc::new(Progress::default());
    let recording =
        async { Ok(record(&deployment, &tape, &options, Arc::clone(&progress), &stop).await?) };
    let measuring = async {
        while progress.snapshot().state != State::Recording {
            tokio::time::sleep(POLL).await;
        }
        let all_on_tape = async |writes: i32| {
            while progress.snapshot().events < u64::from(writes.unsigned_abs()) {
                tokio::time::sleep(POLL).await;
            }
        };
        let run = measured(client, coll, pace, all_on_tape).await;
        stop.cancel();
        run
    };
    let (_, run) = tokio::try_join!(recording, measuring)?;
    Ok(run)
}

/// Writes, waits for what has to come of so many writes, and says what all of it took.
async fn measured(
    client: &Client,
    coll: &str,
    pace: Pace,
    done: impl AsyncFnOnce(i32),
) -> Result<Run, Error> {
    let before = cpu_seconds(client).await?;
    let started = Instant::now();
    let writing: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(client.clone(), coll.to_owned(), writer, pace)))
        .collect();
    for writer in writing {
        writer.await??;
    }
    let elapsed = started.elapsed().as_secs_f64();
    let (Pace::Full(each) | Pace::Every(_, each)) = pace;
    let count = each * WRITERS;
    done(count).await;
    let cpu = cpu_seconds(client).await? - before;
    let count = f64::from(count);
    Ok(Run { writes_per_second: count / elapsed, cpu: cpu / count * 1e3 })
}

async fn write(
    client: Client,
    coll: String,
    writer: i32,
    pace: Pace,
) -> Result<(), mongodb::error::Error> {
    let coll = client.database("load").collection::<Document>(&coll);
    let (Pace::Full(each) | Pace::Every(_, each)) = pace;
    let mut turn = match pace {
        Pace::Full(_) => None,
        Pace::Every(every, _) => Some(tokio::time::interval(every)),
    };
    for n in 0..each {
        if let Some(turn) = &mut turn {
            turn.tick().await;
        }
        let id = doc! {"writer": writer, "n": n / 2};
        if n % 2 == 0 {
            coll.insert_one(doc! {"_id": id, "text": "x".repeat(150)}).await?;
        } else {
            coll.update_one(doc! {"_id": id}, doc! {"$set": {"n": n}}).await?;
        }
    }
    Ok(())
}

/// What the server has taken of the CPU since it started.
async fn cpu_seconds(client: &Client) -> Result<f64, Error> {
    let status = client.database("admin").run_command(doc! {"serverStatus": 1}).await?;
    let usage = status.get_document("extra_info")?;
    let micros = |field| usage.get_i64(field);
    #[allow(clippy::cast_precision_loss)] // Shown with three digits.
    Ok((micros("user_time_us")? + micros("system_time_us")?) as f64 / 1e6)
}
