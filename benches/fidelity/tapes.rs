//! The tapes: made once and kept under `target/bench-events/`. Delete one to have it made again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf};
use bson::{DateTime, Timestamp};
use changetape_benches::{Error, recorded, token_after};
use changetape_core::Arrival;
use changetape_tape::{Batch, Durability, TapeOptions, TapeWriter, tape_exists};
use changetape_testkit::{samples, target_directory};

const SEED: u64 = 5;

/// Letters in an event that is 600 bytes long.
const TEXT: usize = 361;

/// Events in a batch of the long tape.
const BATCH: usize = 1000;

/// How much room there has to be for a tape, of its events' bytes: it takes an eighth or so, and what
/// is sealed or merged meanwhile twice.
const ON_DISK: f64 = 0.3;

/// A tape of events that arrived at random, so many a second, each on its own and at a time that is
/// known to the nanosecond.
pub(crate) fn poisson(rate: u64, seconds: u64) -> Result<PathBuf, Error> {
    made(&format!("poisson-{SEED}-{rate}-{seconds}"), |writer| {
        let mut random = fastrand::Rng::with_seed(SEED);
        let began = samples::metadata().created_at.as_millis().unsigned_abs() * 1_000_000;
        let mut after = Duration::ZERO;
        for n in 0.. {
            after += Duration::from_secs_f64(-(1.0 - random.f64()).ln() / rate as f64);
            if after.as_secs() >= seconds {
                break;
            }
            let monotonic_nanos = u64::try_from(after.as_nanos())?;
            let arrival = Arrival { wall_nanos: began + monotonic_nanos, monotonic_nanos };
            let event = samples::event(n, &samples::letters(&mut random, TEXT));
            let token = samples::token(n + 1);
            writer.append(&Batch { events: &[&event], token: &token, arrival })?;
        }
        Ok(())
    })
}

/// A tape of recorded events, again and again, up to so many bytes. Their times go on: each time
/// around is whole seconds later.
pub(crate) fn long(gigabytes: f64) -> Result<PathBuf, Error> {
    let bytes = gigabytes * 1e9;
    let name = format!("long-{gigabytes}");
    if !tape_exists(&path(&name)) {
        check_room(bytes * ON_DISK)?;
    }
    made(&name, |writer| {
        let events = recorded()?;
        let token = token_after(&events.iter().map(AsRef::as_ref).collect::<Vec<_>>())?;
        let seconds = |event: Option<&RawDocumentBuf>| -> Result<u32, Error> {
            Ok(event.ok_or("no event")?.get_timestamp("clusterTime")?.time)
        };
        let around = seconds(events.last())? + 1 - seconds(events.first())?;
        let (mut written, mut later) = (0.0, 0);
        while written < bytes {
            for batch in events.chunks(BATCH) {
                let batch: Vec<RawDocumentBuf> =
                    batch.iter().map(|event| moved(event, later)).collect::<Result<_, _>>()?;
                let events: Vec<&RawDocument> = batch.iter().map(AsRef::as_ref).collect();
                let arrival = Arrival::default();
                writer.append(&Batch { events: &events, token: &token, arrival })?;
                written += events.iter().map(|event| event.as_bytes().len() as f64).sum::<f64>();
            }
            later += around;
        }
        Ok(())
    })
}

/// An event that was recorded so many seconds later.
fn moved(event: &RawDocument, seconds: u32) -> Result<RawDocumentBuf, Error> {
    let mut moved = RawDocumentBuf::new();
    for element in event {
        let (name, value) = element?;
        let value = match (name.as_str(), value) {
            ("clusterTime", RawBsonRef::Timestamp(at)) => {
                RawBsonRef::Timestamp(Timestamp { time: at.time + seconds, ..at })
            }
            ("wallTime", RawBsonRef::DateTime(at)) => {
                let millis = at.timestamp_millis() + i64::from(seconds) * 1000;
                RawBsonRef::DateTime(DateTime::from_millis(millis))
            }
            (_, value) => value,
        };
        moved.append(name, value);
    }
    Ok(moved)
}

/// Makes a tape, unless it is there. It has its name only when it is whole: an interrupted run must
/// not leave half a tape.
fn made(
    name: &str,
    write: impl FnOnce(&mut TapeWriter) -> Result<(), Error>,
) -> Result<PathBuf, Error> {
    let path = path(name);
    if tape_exists(&path) {
        return Ok(path);
    }
    println!("making {}", path.display());
    let unfinished = path.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    fs::create_dir_all(directory())?;
    // It can be made again: no event has to be durable before the next.
    let durability = Durability::Interval(Duration::from_secs(1));
    let options = TapeOptions { durability, ..TapeOptions::default() };
    let mut writer = options.create(&unfinished, samples::metadata())?;
    write(&mut writer)?;
    writer.close()?;
    fs::rename(unfinished, &path)?;
    Ok(path)
}

fn directory() -> PathBuf {
    target_directory().join("bench-events")
}

fn path(name: &str) -> PathBuf {
    directory().join(format!("{name}.tape"))
}

/// Whether so many bytes fit on the disk.
fn check_room(bytes: f64) -> Result<(), Error> {
    let directory = directory();
    let there = directory.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let disk = rustix::fs::statvfs(there)?;
    let free = disk.f_bavail as f64 * disk.f_frsize as f64;
    if free < bytes {
        return Err(format!(
            "{}: a tape of that length needs {:.1} GB, and {:.1} are free; make room, or give a \
             smaller number of --gigabytes",
            there.display(),
            bytes / 1e9,
            free / 1e9
        )
        .into());
    }
    Ok(())
}
