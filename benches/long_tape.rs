//! A long tape: what appending to it costs, what it takes on disk and in memory, and how long
//! it takes to open, to read and to find a place on it.
//!
//! ```text
//! cargo bench -p changetape-benches --bench long_tape -- [--gigabytes 10] [--rounds 3] \
//!     [--rate 90] [--dir PATH]
//! ```
//! Recorded events, again and again, in batches of 1000, as a fast stream would bring them. Each
//! figure is taken by a process of its own, so that its memory is its own; each append is durable
//! before the next. Beside them their references, in turn: the same blocks in a plain file that
//! is synced after each batch, and a tape of 10 MB. With `--rate`, no more than so many thousand
//! events a second are appended. All runs are shown, the median first.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bson::raw::{RawDocument, RawDocumentBuf};
use changetape_benches::arguments::Arguments;
use changetape_benches::{Error, median, process, recorded, token_after};
use changetape_core::{Arrival, Position, Seq};
use changetape_tape::{Batch, Codec, TapeReader, TapeWriter};
use changetape_testkit::samples;

/// Events in a batch.
const BATCH: usize = 1000;

/// How long the short tape is, in bytes of events.
const SHORT: u64 = 10_000_000;

fn main() -> Result<(), Error> {
    let arguments = Arguments::given();
    let dir = arguments.or("--dir", std::env::temp_dir())?;
    let rate = arguments.or("--rate", f64::INFINITY)?;
    if let Some(phase) = arguments.text("--phase") {
        return run_phase(phase, &dir, arguments.required("--bytes")?, rate);
    }
    let gigabytes = arguments.or("--gigabytes", 1.0)?;
    let rounds = arguments.or("--rounds", 3)?;
    // Made once, before anything is timed.
    let events = recorded()?;
    let average = events.iter().map(|event| event.as_bytes().len()).sum::<usize>() / events.len();
    println!("{gigabytes} GB of recorded events, {average} bytes each, batches of {BATCH}\n");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "of a few GB")]
    let long = (gigabytes * 1e9) as u64;
    measure(&dir, long, rounds, rate)
}

/// Runs every phase on tapes of both lengths and shows what they say.
fn measure(dir: &Path, long: u64, rounds: usize, rate: f64) -> Result<(), Error> {
    let scratch = tempfile::tempdir_in(dir)?;
    let phase = |name: &str, bytes: u64| -> Result<Vec<String>, Error> {
        let output = Command::new(std::env::current_exe()?)
            .args(["--phase", name, "--bytes", &bytes.to_string(), "--rate", &rate.to_string()])
            .arg("--dir")
            .arg(scratch.path())
            .output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        Ok(String::from_utf8(output.stdout)?.split_whitespace().map(str::to_owned).collect())
    };
    phase("append", SHORT)?;
    let mut figures: Vec<(String, Vec<f64>)> = Vec::new();
    let mut add = |name: String, value: &str| -> Result<(), Error> {
        let value = value.parse()?;
        match figures.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => figures.push((name, vec![value])),
        }
        Ok(())
    };
    for _ in 0..rounds {
        for (name, bytes) in
            [("file", long), ("append", long), ("scan", long), ("info", SHORT), ("info", long)]
        {
            let length = if bytes == SHORT { "10 MB" } else { "long" };
            for pair in phase(name, bytes)?.chunks(2) {
                if let [figure, value] = pair {
                    add(format!("{name}, {length}: {figure}"), value)?;
                }
            }
        }
    }
    println!("{:44} median  (all runs)", "figure");
    for (name, values) in figures {
        let all: Vec<String> = values.iter().map(|value| format!("{value:.2}")).collect();
        let median = median(values);
        println!("{name:44} {median:>9.2}  ({})", all.join(" "));
    }
    Ok(())
}

/// One phase, in a process of its own: prints names and values.
fn run_phase(phase: &str, dir: &Path, bytes: u64, rate: f64) -> Result<(), Error> {
    let path = dir.join(format!("{bytes}.tape"));
    match phase {
        "append" => append(&path, bytes, rate)?,
        "file" => file(&dir.join("plain"), bytes)?,
        "scan" => scan(&path)?,
        "info" => info(&path)?,
        other => return Err(format!("no phase {other}").into()),
    }
    println!("peak-MiB {}", process::peak_mib()?);
    Ok(())
}

/// Batches of recorded events, again and again, up to so many bytes.
fn batches(
    events: &[&RawDocument],
    bytes: u64,
    mut each: impl FnMut(&[&RawDocument]) -> Result<(), Error>,
) -> Result<u64, Error> {
    let (mut done, mut count) = (0, 0);
    for batch in std::iter::repeat(events).flat_map(|events| events.chunks(BATCH)) {
        if done >= bytes {
            break;
        }
        each(batch)?;
        done += batch.iter().map(|event| event.as_bytes().len() as u64).sum::<u64>();
        count += batch.len() as u64;
    }
    Ok(count)
}

/// Appends up to so many bytes, at no more than `rate` thousand events a second.
fn append(path: &Path, bytes: u64, rate: f64) -> Result<(), Error> {
    if path.exists() {
        fs::remove_dir_all(path)?;
    }
    let events = recorded()?;
    let events: Vec<&RawDocument> = events.iter().map(RawDocumentBuf::as_ref).collect();
    let mut writer = TapeWriter::create(path, samples::metadata())?;
    let mut took = Vec::new();
    let token = token_after(&events)?;
    let mut due = Duration::ZERO;
    let started = Instant::now();
    let count = batches(&events, bytes, |events| {
        std::thread::sleep(due.saturating_sub(started.elapsed()));
        due += Duration::from_secs_f64(events.len() as f64 / rate / 1e3);
        let begun = Instant::now();
        writer.append(&Batch { events, token: &token, arrival: Arrival::default() })?;
        took.push(begun.elapsed());
        Ok(())
    })?;
    let appended = started.elapsed();
    writer.close()?;
    report_appends(count, appended, took);
    println!("close-ms {}", started.elapsed().saturating_sub(appended).as_secs_f64() * 1e3);
    println!("disk/raw {}", TapeReader::open(path)?.disk_bytes()? as f64 / bytes as f64);
    Ok(())
}

fn file(path: &Path, bytes: u64) -> Result<(), Error> {
    let events = recorded()?;
    let events: Vec<&RawDocument> = events.iter().map(RawDocumentBuf::as_ref).collect();
    let mut file = File::create(path)?;
    let mut codec = Codec::new()?;
    let mut took = Vec::new();
    let token = token_after(&events)?;
    let started = Instant::now();
    let count = batches(&events, bytes, |events| {
        let begun = Instant::now();
        let batch = Batch { events, token: &token, arrival: Arrival::default() };
        file.write_all(&codec.encode(Seq::ZERO, &batch)?)?;
        file.sync_data()?;
        took.push(begun.elapsed());
        Ok(())
    })?;
    report_appends(count, started.elapsed(), took);
    Ok(fs::remove_file(path)?)
}

fn report_appends(count: u64, elapsed: Duration, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |part: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let index = ((took.len() as f64 * part) as usize).min(took.len().saturating_sub(1));
        took.get(index).copied().unwrap_or_default().as_secs_f64() * 1e3
    };
    println!("kevents/s {}", count as f64 / elapsed.as_secs_f64() / 1e3);
    for (name, part) in [("p50-ms", 0.5), ("p99-ms", 0.99), ("p99.9-ms", 0.999), ("max-ms", 1.0)] {
        println!("{name} {}", at(part));
    }
}

fn scan(path: &Path) -> Result<(), Error> {
    let tape = TapeReader::open(path)?;
    let started = Instant::now();
    let (mut bytes, mut events) = (0, 0);
    for block in tape.blocks(tape.start()) {
        let block = block?;
        bytes += block.raw_bytes() as u64;
        events += block.events().map(std::hint::black_box).count();
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("MB/s {}", bytes as f64 / seconds / 1e6);
    println!("kevents/s {}", events as f64 / seconds / 1e3);
    Ok(())
}

fn info(path: &Path) -> Result<(), Error> {
    let started = Instant::now();
    let tape = TapeReader::open(path)?;
    println!("open-ms {}", started.elapsed().as_secs_f64() * 1e3);
    std::hint::black_box(tape.summary()?);
    println!("open+info-ms {}", started.elapsed().as_secs_f64() * 1e3);
    let middle = Seq::new(tape.end().get() / 2);
    let started = Instant::now();
    tape.blocks(middle).next().ok_or("no block")??;
    println!("first-block-at-a-seq-ms {}", started.elapsed().as_secs_f64() * 1e3);
    let time = tape.summary()?.wall_times.map(|(_, last)| last);
    let started = Instant::now();
    if let Some(time) = time {
        std::hint::black_box(tape.seek(Position::Time(time))?);
    }
    println!("seek-by-time-ms {}", started.elapsed().as_secs_f64() * 1e3);
    Ok(())
}
