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

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{DateTime, Timestamp, rawdoc};
use changetape_core::{Arrival, NamespaceFilter, ResumeToken, WallTime};
use changetape_tape::{Batch, Metadata, SourceIdentity, StreamOptions, TapeWriter, UpdateForm};
use sled::Transactional;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// About what a block's header takes.
const HEADER: [u8; 230] = [0; 230];

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

/// Where the checkpoint is kept.
#[derive(Clone, Copy, Debug)]
enum Trees {
    /// In the blocks' tree, after them.
    One,
    /// In a tree of its own.
    Two,
}

impl Case {
    fn name(self) -> String {
        let kib = |n: usize| n >> 10;
        match self {
            Self::Encode { target, level } => format!("encode {} KiB level {level}", kib(target)),
            Self::File { target } => format!("file {} KiB", kib(target)),
            Self::Sled { trees, segment, target } => {
                format!("sled segment {} KiB, {} KiB, {trees:?} tree", kib(segment), kib(target))
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
        cases.push(Self::Sled { trees: Trees::One, segment: 4 << 20, target: 256 << 10 });
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
        "| case | batch | events/s (median; all) | disk ÷ raw | p50 ms | p99 ms | files in blobs/ |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for case in Case::all() {
        let name = case.name();
        if options.only.as_ref().is_some_and(|only| !name.contains(only)) {
            continue;
        }
        for &batch in &options.batches {
            let mut runs = Vec::new();
            for _ in 0..options.rounds {
                let dir = tempfile::tempdir_in(&options.dir)?;
                runs.push(run(case, &events, batch, raw, dir.path())?);
            }
            runs.sort_by(|a, b| a.rate.total_cmp(&b.rate));
            let all: Vec<_> = runs.iter().map(|run| format!("{:.0}", run.rate)).collect();
            let Some(median) = runs.get(runs.len() / 2) else { continue };
            println!(
                "| {name} | {batch} | {:.0} ({}) | {:.3} | {:.2} | {:.2} | {} |",
                median.rate,
                all.join(" "),
                median.share,
                median.p50.as_secs_f64() * 1e3,
                median.p99.as_secs_f64() * 1e3,
                median.blobs,
            );
        }
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

struct Store {
    case: Case,
    zstd: zstd::bulk::Compressor<'static>,
    seq: u64,
    written: usize,
    disk: Disk,
}

enum Disk {
    Nothing,
    File(File),
    Sled {
        db: sled::Db,
        blocks: sled::Tree,
        state: sled::Tree,
        file: File,
        blobs: PathBuf,
        known: Vec<u64>,
    },
    Tape(Box<TapeWriter>),
}

impl Store {
    fn open(case: Case, dir: &Path) -> Outcome<Self> {
        let (level, disk) = match case {
            Case::Encode { level, .. } => (level, Disk::Nothing),
            Case::File { .. } => (1, Disk::File(File::create(dir.join("blocks"))?)),
            Case::Sled { segment, .. } => {
                let config = sled::Config::new().path(dir).segment_size(segment);
                let db = config.cache_capacity(32 << 20).flush_every_ms(None).open()?;
                let (blocks, state) = (db.open_tree("blocks")?, db.open_tree("state")?);
                db.flush()?;
                let file = File::open(dir.join("db"))?;
                (
                    1,
                    Disk::Sled {
                        db,
                        blocks,
                        state,
                        file,
                        blobs: dir.join("blobs"),
                        known: Vec::new(),
                    },
                )
            }
            Case::Tape => {
                (1, Disk::Tape(Box::new(TapeWriter::create(&dir.join("t.tape"), metadata())?)))
            }
        };
        Ok(Self { case, zstd: zstd::bulk::Compressor::new(level)?, seq: 0, written: 0, disk })
    }

    fn append(&mut self, events: &[&RawDocument]) -> Outcome<()> {
        if let Disk::Tape(writer) = &mut self.disk {
            let token = ResumeToken::from_raw(&rawdoc! {"_data": "82".repeat(50)});
            writer.append(&Batch { events, token: &token, arrival: Arrival::default() })?;
            return Ok(());
        }
        let blocks = self.encode(events)?;
        self.written += blocks.iter().map(Vec::len).sum::<usize>();
        let checkpoint: &[u8] = &[7; 130];
        match (&mut self.disk, self.case) {
            (Disk::File(file), _) => {
                blocks.iter().try_for_each(|block| file.write_all(block))?;
                file.sync_data()?;
            }
            (
                Disk::Sled { db, blocks: tree, state, file, blobs, known },
                Case::Sled { trees, .. },
            ) => {
                let keyed = (self.seq..).zip(&blocks);
                match trees {
                    Trees::One => {
                        let mut batch = sled::Batch::default();
                        keyed.for_each(|(n, block)| {
                            batch.insert(&n.to_be_bytes(), block.as_slice());
                        });
                        batch.insert(&[0xFF; 9], checkpoint);
                        tree.apply_batch(batch)?;
                    }
                    Trees::Two => {
                        let keyed: Vec<_> = keyed.collect();
                        let transaction = (&*tree, &*state).transaction(|(tree, state)| {
                            for (n, block) in &keyed {
                                tree.insert(&n.to_be_bytes(), block.as_slice())?;
                            }
                            state.insert(b"checkpoint", checkpoint)?;
                            Ok::<_, sled::transaction::ConflictableTransactionError<()>>(())
                        });
                        transaction.map_err(|error| format!("{error:?}"))?;
                    }
                }
                sync_new(blobs, known)?;
                db.flush()?;
                file.sync_data()?;
            }
            _ => {}
        }
        self.seq += events.len() as u64;
        Ok(())
    }

    fn encode(&mut self, events: &[&RawDocument]) -> Outcome<Vec<Vec<u8>>> {
        let target = match self.case {
            Case::Encode { target, .. } | Case::File { target } | Case::Sled { target, .. } => {
                target
            }
            Case::Tape => 0,
        };
        let mut blocks = Vec::new();
        let mut body = Vec::new();
        for (event, left) in events.iter().zip((0..events.len()).rev()) {
            body.extend_from_slice(event.as_bytes());
            if body.len() >= target || left == 0 {
                let compressed = self.zstd.compress(&body)?;
                let mut block = HEADER.to_vec();
                block.extend_from_slice(&crc32fast::hash(&compressed).to_le_bytes());
                block.extend_from_slice(&compressed);
                blocks.push(block);
                body.clear();
            }
        }
        Ok(blocks)
    }

    fn written(&self) -> usize {
        self.written
    }

    fn blobs(&self) -> usize {
        match &self.disk {
            Disk::Sled { known, .. } => known.len(),
            _ => 0,
        }
    }
}

/// As the tape does it: each new file, then the directory.
fn sync_new(blobs: &Path, known: &mut Vec<u64>) -> Outcome<()> {
    let highest = known.last().copied();
    for entry in fs::read_dir(blobs)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().parse::<u64>()?;
        if highest.is_none_or(|highest| name > highest) {
            if let Ok(file) = File::open(entry.path()) {
                file.sync_data()?;
            }
            known.push(name);
        }
    }
    if known.last().copied() != highest {
        known.sort_unstable();
        File::open(blobs)?.sync_all()?;
    }
    Ok(())
}

fn allocated(dir: &Path) -> Outcome<u64> {
    let mut total = 0;
    for entry in fs::read_dir(dir)? {
        let metadata = entry.as_ref().map_err(ToString::to_string)?.metadata()?;
        total +=
            if metadata.is_dir() { allocated(&entry?.path())? } else { metadata.blocks() * 512 };
    }
    Ok(total)
}

fn from_file(path: &Path, events: usize) -> Outcome<Vec<RawDocumentBuf>> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut documents = Vec::new();
    let mut offset = 0;
    while documents.len() < events {
        let mut stated = [0; 4];
        file.read_exact_at(&mut stated, offset)?;
        let mut bytes = vec![0; usize::try_from(u32::from_le_bytes(stated))?];
        file.read_exact_at(&mut bytes, offset)?;
        offset += bytes.len() as u64;
        documents.push(RawDocumentBuf::from_bytes(bytes)?);
        if offset >= len {
            offset = 0;
        }
    }
    Ok(documents)
}

/// Inserts and updates of orders, with a share of text that does not compress.
fn made_up(events: usize) -> Vec<RawDocumentBuf> {
    let mut random = fastrand::Rng::with_seed(1);
    (0..events).map(|n| made_up_event(n, &mut random)).collect()
}

fn made_up_event(n: usize, random: &mut fastrand::Rng) -> RawDocumentBuf {
    let seconds = 1_772_366_400 + u32::try_from(n / 500).unwrap_or_default();
    let increment = u32::try_from(n % 500).unwrap_or_default() + 1;
    let mut text = |len: usize| (0..len).map(|_| random.alphanumeric()).collect::<String>();
    let signature = text(115);
    let oid = bson::oid::ObjectId::from_bytes({
        let mut bytes = [0x65; 12];
        random.fill(bytes.split_at_mut(8).1);
        bytes
    });
    let mut event = rawdoc! {
        "_id": {"_data": format!("82{seconds:08X}{increment:08X}2B022C0100296E5A1004\
                                  4724D16CFE464B7AA7193A666486572A46645F69640064{}0004", oid.to_hex())},
        "operationType": if n.is_multiple_of(3) { "update" } else { "insert" },
        "clusterTime": Timestamp { time: seconds, increment },
        "wallTime": DateTime::from_millis(i64::from(seconds) * 1000 + i64::from(increment)),
        "ns": {"db": "shop", "coll": "orders"},
        "documentKey": {"_id": oid},
    };
    if n.is_multiple_of(3) {
        let diff = rawdoc! {"u": {"status": "paid", "signature": signature}, "sdelivery": {"i": {"at": n as i64}}};
        event.append(bson::cstr!("rawUpdateDescription"), rawdoc! {"$v": 2, "diff": diff});
    } else {
        let lines: Vec<bson::raw::RawBson> = (0..random.usize(1..5))
            .map(|_| {
                let (sku, cents) = (random.u32(0..3_000), random.i32(100..20_000));
                rawdoc! {"sku": format!("sku-{sku:05}"), "qty": random.i32(1..9), "cents": cents}
                    .into()
            })
            .collect();
        let lines: bson::raw::RawArrayBuf = lines.into_iter().collect();
        let order = rawdoc! {
            "_id": oid, "customer": random.i32(0..50_000), "status": "new", "signature": signature,
            "address": {"street": "12 Station Road", "zip": random.i32(10_000..99_999), "city": "Springfield"},
            "lines": lines, "total": random.i32(100..99_999),
        };
        event.append(bson::cstr!("fullDocument"), order);
    }
    event
}

fn metadata() -> Metadata {
    Metadata {
        source: SourceIdentity {
            replica_set: "rs0".into(),
            replica_set_id: None,
            server_version: "6.0.5".into(),
        },
        stream: StreamOptions {
            filter: NamespaceFilter::default(),
            operations: Vec::new(),
            pipeline: Vec::new(),
            updates: UpdateForm::Raw,
            full_document: None,
            full_document_before_change: None,
        },
        created_by: "append_sizes".into(),
        created_at: WallTime::from_millis(0),
    }
}
