//! Goal: whenever a process is killed that has a tape open, the tape opens again and holds
//! everything that was acknowledged, in order, and its checkpoint fits.
//! Method: a child process (this test binary, told so by its environment) appends and prints
//! what was acknowledged; it gets SIGKILL at a random moment, while it makes, opens, recovers,
//! appends or closes; then the tape is opened and compared. The seed is printed, and
//! `CHANGETAPE_TEST_SEED` repeats a run as far as the scheduler lets it;
//! `CHANGETAPE_TEST_KILLS` kills more often than the default.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bson::rawdoc;
use changetape_core::Seq;
use changetape_tape::{Batch, TapeReader, TapeWriter, tape_exists};

use crate::samples;

const TAPE: &str = "CHANGETAPE_TEST_KILLED_TAPE";
const DOING: &str = "CHANGETAPE_TEST_KILLED_DOING";
const SEED: &str = "CHANGETAPE_TEST_SEED";
const KILLS: &str = "CHANGETAPE_TEST_KILLS";

/// Every so many events one is so large that sled keeps it in a file of its own.
const LARGE_EVERY: u64 = 997;

fn event(n: u64) -> bson::raw::RawDocumentBuf {
    if !n.is_multiple_of(LARGE_EVERY) {
        return samples::event(n);
    }
    let mut random = fastrand::Rng::with_seed(n);
    let text: String = (0..1_400_000).map(|_| random.alphanumeric()).collect();
    rawdoc! {"_id": {"_data": format!("82{n:016X}")}, "fullDocument": {"text": text}}
}

/// What the child does; nothing when this runs as an ordinary test.
#[test]
fn child() {
    let (Ok(tape), Ok(doing)) = (std::env::var(TAPE), std::env::var(DOING)) else { return };
    let path = Path::new(&tape);
    if doing == "recording" {
        record(path);
    } else {
        let reader = TapeReader::open(path).unwrap();
        println!("\nopened {}", reader.end().get());
        reader.blocks(Seq::ZERO).for_each(|block| drop(block.unwrap()));
    }
    println!("\ndone");
}

fn record(path: &Path) {
    let mut random = fastrand::Rng::with_seed(std::env::var(SEED).unwrap().parse().unwrap());
    let mut writer = if tape_exists(path) {
        TapeWriter::open(path).unwrap()
    } else {
        TapeWriter::create(path, samples::metadata()).unwrap()
    };
    let mut next = writer.checkpoint().map_or(0, |checkpoint| checkpoint.next.get());
    println!("\nopened {next}");
    for _ in 0..random.u64(1..60) {
        let longest = if random.u8(..) < 20 { 1_500 } else { 30 };
        let end = next + random.u64(0..longest);
        let events: Vec<_> = (next..end).map(event).collect();
        let events: Vec<_> = events.iter().map(AsRef::as_ref).collect();
        let token = samples::token(end);
        let batch = Batch { events: &events, token: &token, arrival: samples::arrival(next) };
        assert_eq!(writer.append(&batch).unwrap(), Seq::new(next)..Seq::new(end));
        next = end;
        println!("\nacknowledged {next}");
        std::io::stdout().flush().unwrap();
    }
    writer.close().unwrap();
}

fn start(path: &Path, doing: &str, seed: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed_writer::child", "--nocapture", "--test-threads=1"])
        .env(TAPE, path)
        .env(DOING, doing)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs a child and kills it after some of its lines and a random while; the highest place
/// that it reported, and how it ended if it was not killed.
fn kill_at_random(mut child: Child, random: &mut fastrand::Rng) -> u64 {
    let lines = random.u64(0..50);
    let pause = Duration::from_micros(random.u64(0..if lines < 10 { 40_000 } else { 3_000 }));
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let reported = |line: String| {
        let (what, n) = line.split_once(' ')?;
        matches!(what, "opened" | "acknowledged").then(|| n.parse::<u64>().unwrap())
    };
    let mut highest = 0;
    let mut seen = 0;
    while seen < lines
        && let Some(line) = output.next()
    {
        if let Some(n) = reported(line) {
            highest = highest.max(n);
            seen += 1;
        }
    }
    std::thread::sleep(pause);
    child.kill().unwrap();
    // What it managed to say before it died counts too.
    highest = output.filter_map(reported).max().unwrap_or(0).max(highest);
    let ended = child.wait_with_output().unwrap();
    let killed = ended.status.code().is_none();
    let complaint = String::from_utf8_lossy(&ended.stderr);
    assert!(killed || ended.status.success(), "{complaint}");
    highest
}

#[test]
fn whenever_the_process_is_killed_the_tape_holds_what_was_acknowledged() {
    if std::env::var(TAPE).is_ok() {
        return;
    }
    let number = |name| std::env::var(name).ok().map(|n| n.parse::<u64>().unwrap());
    let seed = number(SEED).unwrap_or_else(|| fastrand::u64(..));
    println!("{SEED}={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for kill in 0..number(KILLS).unwrap_or(50) {
        // A new tape now and then: making one is a moment to be killed at, too.
        if random.u8(..) < 40 {
            dir = tempfile::tempdir().unwrap();
            acknowledged = 0;
        }
        let path = dir.path().join("orders.tape");
        let doing = if tape_exists(&path) && random.u8(..) < 60 { "reading" } else { "recording" };
        let child = start(&path, doing, random.u64(..));
        acknowledged = kill_at_random(child, &mut random).max(acknowledged);
        // Otherwise the next child recovers what this one left.
        if random.bool() && (tape_exists(&path) || acknowledged > 0) {
            let end = if random.bool() { check_by_reading(&path) } else { check_by_writing(&path) };
            println!("kill {kill} while {doing}: {acknowledged} acknowledged, {end} there");
            assert!(end >= acknowledged, "{end} of {acknowledged} acknowledged");
            acknowledged = end;
        }
    }
    let path = dir.path().join("orders.tape");
    if tape_exists(&path) {
        assert!(check_by_reading(&path) >= acknowledged);
    }
}

fn check_by_reading(path: &Path) -> u64 {
    let reader = TapeReader::open(path).unwrap();
    let mut next = 0;
    for block in reader.blocks(Seq::ZERO).map(Result::unwrap) {
        for recorded in block.events() {
            assert_eq!(recorded.seq.get(), next);
            assert_eq!(recorded.event.as_bytes(), event(next).as_bytes(), "event {next}");
            next += 1;
        }
    }
    let checkpoint = reader.checkpoint();
    assert_eq!(checkpoint.map_or(0, |checkpoint| checkpoint.next.get()), next);
    assert!(checkpoint.is_none_or(|checkpoint| checkpoint.token == samples::token(next)));
    next
}

fn check_by_writing(path: &Path) -> u64 {
    let writer = TapeWriter::open(path).unwrap();
    writer.checkpoint().map_or(0, |checkpoint| checkpoint.next.get())
}
