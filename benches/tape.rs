//! The tape: blocks encoded and decoded, batches appended durably, a tape scanned.
//!
//! Beside each append stands its reference from the same run: the same events written to a
//! plain file that is synced after every batch, which is what the disk itself allows.

use std::fs::File;
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;

use bson::raw::{RawDocument, RawDocumentBuf};
use changetape_benches::{Error, recorded, token_after};
use changetape_core::{Arrival, ResumeToken, Seq};
use changetape_tape::{Batch, Codec, TapeReader, TapeWriter};
use changetape_testkit::samples;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};

/// Events in a batch: what arrives in a quiet, a usual and a busy moment.
const BATCHES: [usize; 3] = [50, 200, 1000];

/// Events appended in one measurement; every batch of them is synced.
const APPENDED: usize = 10_000;

fn main() -> Result<(), Error> {
    let events = recorded()?;
    let events: Vec<&RawDocument> = events.iter().map(RawDocumentBuf::as_ref).collect();
    let mut criterion = Criterion::default().configure_from_args();
    block(&mut criterion, &events)?;
    append(&mut criterion, &events)?;
    scan(&mut criterion, &events)?;
    criterion.final_summary();
    Ok(())
}

fn block(criterion: &mut Criterion, events: &[&RawDocument]) -> Result<(), Error> {
    let mut codec = Codec::new()?;
    let mut group = criterion.benchmark_group("block");
    for size in BATCHES {
        let events = events.get(..size).unwrap_or(events);
        let token = token_after(events)?;
        let batch = Batch { events, token: &token, arrival: Arrival::default() };
        let bytes = codec.encode(Seq::ZERO, &batch)?;
        group.throughput(Throughput::Bytes(raw_bytes(events)));
        group.bench_function(BenchmarkId::new("encode", size), |bencher| {
            bencher.iter(|| black_box(codec.encode(Seq::ZERO, &batch).ok()));
        });
        group.bench_function(BenchmarkId::new("decode", size), |bencher| {
            bencher.iter(|| black_box(codec.decode(&bytes).ok()));
        });
    }
    group.finish();
    Ok(())
}

fn append(criterion: &mut Criterion, events: &[&RawDocument]) -> Result<(), Error> {
    let events = events.get(..APPENDED).unwrap_or(events);
    let token = token_after(events)?;
    let mut group = criterion.benchmark_group("append, durable");
    group.sample_size(10);
    group.throughput(Throughput::Elements(events.len() as u64));
    for size in BATCHES {
        group.bench_function(BenchmarkId::new("plain file", size), |bencher| {
            bencher.iter_batched(
                tempfile::tempdir,
                |directory| -> Result<(), Error> {
                    let mut file = File::create(directory?.path().join("events"))?;
                    for batch in events.chunks(size) {
                        for event in batch {
                            file.write_all(event.as_bytes())?;
                        }
                        file.sync_data()?;
                    }
                    Ok(())
                },
                BatchSize::PerIteration,
            );
        });
        group.bench_function(BenchmarkId::new("tape", size), |bencher| {
            bencher.iter_batched(
                tempfile::tempdir,
                |directory| write_tape(&directory?.path().join("bench.tape"), events, &token, size),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
    Ok(())
}

fn scan(criterion: &mut Criterion, events: &[&RawDocument]) -> Result<(), Error> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("bench.tape");
    write_tape(&path, events, &token_after(events)?, 1000)?;
    let tape = TapeReader::open(&path)?;
    let mut group = criterion.benchmark_group("scan");
    group.throughput(Throughput::Bytes(raw_bytes(events)));
    group.bench_function("events", |bencher| {
        bencher.iter(|| {
            let blocks = tape.blocks(Seq::ZERO).filter_map(Result::ok);
            blocks.map(|block| block.events().map(black_box).count()).sum::<usize>()
        });
    });
    group.finish();
    Ok(())
}

fn write_tape(
    path: &Path,
    events: &[&RawDocument],
    token: &ResumeToken,
    size: usize,
) -> Result<(), Error> {
    let mut writer = TapeWriter::create(path, samples::metadata())?;
    for events in events.chunks(size) {
        writer.append(&Batch { events, token, arrival: Arrival::default() })?;
    }
    Ok(writer.close()?)
}

fn raw_bytes(events: &[&RawDocument]) -> u64 {
    events.iter().map(|event| event.as_bytes().len() as u64).sum()
}
