//! Measures what block size, sled segment size and compression level cost, and how a tape
//! compares with a plain file: the figures of `docs/decisions/0001-sled-and-block-size.md`.
//!
//! ```text
//! cargo run --release -p changetape-tape --example append_sizes -- [options]
//!   --events N     events to append per run (200000)
//!   --batch N,…    events per batch (50,200,1000,2000)
//!   --rounds N     runs of each case; the median is shown first (3)
//!   --only WORD    only cases whose name contains it
//!   --file PATH    events from a file of BSON documents instead of made-up ones
//!   --dir PATH     where to write (a temporary directory)
//! ```
//! Every append is durable before the next begins. Made-up events are those of an order shop,
//! about 600 bytes that zstd brings to about a quarter, as recorded ones are.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "figures for people"
)]

mod events;
mod store;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bson::raw::{RawDocument, RawDocumentBuf};

use events::{from_file, made_up};
use store::{Store, allocated};

type Outcome<T> = Result<T, Box<dyn Error>>;

struct Options {
    events: usize,
    batches: Vec<usize>,
    rounds: usize,
    only: Option<String>,
    file: Option<PathBuf>,
    dir: PathBuf,
}

fn options() -> Outcome<Options> {
    let mut options = Options {
        events: 200_000,
        batches: vec![50, 200, 1_000, 2_000],
        rounds: 3,
        only: None,
        file: None,
        dir: std::env::temp_dir(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or("a value is missing")?;
        match name.as_str() {
            "--events" => options.events = value.parse()?,
            "--batch" => {
                options.batches = value.split(',').map(str::parse).collect::<Result<_, _>>()?;
            }
            "--rounds" => options.rounds = value.parse()?,
            "--only" => options.only = Some(value),
            "--file" => options.file = Some(value.into()),
            "--dir" => options.dir = value.into(),
            _ => return Err(format!("no option {name}").into()),
        }
    }
    Ok(options)
}

/// What is measured: how the batches reach the disk.
#[derive(Clone, Copy)]
enum Case {
    /// Nothing is written: what encoding alone costs.
    Encode { target: usize, level: i32 },
    /// Blocks to a plain file, with fdatasync.
    File { target: usize },
    /// Blocks to sled.
    Sled { trees: Trees, segment: usize, target: usize },
    /// The tape as it is.
    Tape,
}

/// Where blocks and the checkpoint are kept.
#[derive(Clone, Copy, Debug)]
enum Trees {
    /// The checkpoint in the blocks' tree, after them.
    One,
    /// The checkpoint in a tree of its own.
    Two,
    /// The same, and no more than nine blocks in a tree.
    Many,
}

impl Case {
    fn name(self) -> String {
        let kib = |n: usize| n >> 10;
        match self {
            Self::Encode { target, level } => format!("encode {} KiB level {level}", kib(target)),
            Self::File { target } => format!("file {} KiB", kib(target)),
            Self::Sled { trees, segment, target } => {
                let trees = match trees {
                    Trees::One => "one tree",
                    Trees::Two => "two trees",
                    Trees::Many => "many trees",
                };
                format!("sled segment {} KiB, {} KiB, {trees}", kib(segment), kib(target))
            }
            Self::Tape => "tape".into(),
        }
    }

    fn all() -> Vec<Self> {
        let mut cases = vec![Self::Tape];
        for target in [64 << 10, 256 << 10, 1 << 20] {
            cases.extend([1, 2, 3, 6].map(|level| Self::Encode { target, level }));
        }
        for target in [256 << 10, 4 << 20] {
            cases.push(Self::File { target });
        }
        for segment in [512 << 10, 1 << 20, 2 << 20, 4 << 20, 8 << 20, 16 << 20] {
            for target in [128 << 10, 256 << 10, 512 << 10, 4 << 20] {
                cases.push(Self::Sled { trees: Trees::Two, segment, target });
            }
        }
        for trees in [Trees::One, Trees::Many] {
            cases.push(Self::Sled { trees, segment: 4 << 20, target: 256 << 10 });
        }
        cases
    }
}

struct Run {
    rate: f64,
    /// Bytes on disk, or of blocks where nothing is written, per byte of events.
    share: f64,
    p50: Duration,
    p99: Duration,
    blobs: usize,
}

fn main() -> Outcome<()> {
    let options = options()?;
    let events = match &options.file {
        Some(path) => from_file(path, options.events)?,
        None => made_up(options.events),
    };
    let raw: usize = events.iter().map(|event| event.as_bytes().len()).sum();
    println!("{} events, {} bytes each on average", events.len(), raw / events.len().max(1));
    println!(
        "| case | batch | 1000 events/s, median (all) | disk ÷ raw | p50 ms | p99 ms | files in blobs/ |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let wanted = |case: &Case| options.only.as_ref().is_none_or(|only| case.name().contains(only));
    let mut cases: Vec<_> = Case::all()
        .into_iter()
        .filter(wanted)
        .flat_map(|case| options.batches.iter().map(move |&batch| (case, batch, Vec::new())))
        .collect();
    // Round by round, so that what else the machine does hits all cases alike.
    for _ in 0..options.rounds {
        for (case, batch, runs) in &mut cases {
            let dir = tempfile::tempdir_in(&options.dir)?;
            runs.push(run(*case, &events, *batch, raw, dir.path())?);
        }
    }
    for (case, batch, runs) in &mut cases {
        runs.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        let all: Vec<_> = runs.iter().map(|run| format!("{:.0}", run.rate / 1e3)).collect();
        let Some(median) = runs.get(runs.len() / 2) else { continue };
        println!(
            "| {} | {batch} | {:.0} ({}) | {:.3} | {:.2} | {:.2} | {} |",
            case.name(),
            median.rate / 1e3,
            all.join(" "),
            median.share,
            median.p50.as_secs_f64() * 1e3,
            median.p99.as_secs_f64() * 1e3,
            median.blobs,
        );
    }
    Ok(())
}

fn run(
    case: Case,
    events: &[RawDocumentBuf],
    batch: usize,
    raw: usize,
    dir: &Path,
) -> Outcome<Run> {
    let mut store = Store::open(case, dir)?;
    let batches: Vec<Vec<&RawDocument>> =
        events.chunks(batch).map(|batch| batch.iter().map(AsRef::as_ref).collect()).collect();
    let start = Instant::now();
    let mut took = Vec::new();
    for batch in &batches {
        let start = Instant::now();
        store.append(batch)?;
        took.push(start.elapsed());
    }
    let elapsed = start.elapsed();
    let (written, blobs) = (store.written(), store.blobs());
    drop(store);
    took.sort_unstable();
    let at = |share: f64| took.get((took.len() as f64 * share) as usize).copied();
    let on_disk = match case {
        Case::Encode { .. } => written as u64,
        _ => allocated(dir)?,
    };
    Ok(Run {
        rate: events.len() as f64 / elapsed.as_secs_f64(),
        share: on_disk as f64 / raw as f64,
        p50: at(0.5).unwrap_or_default(),
        p99: at(0.99).unwrap_or_default(),
        blobs,
    })
}
