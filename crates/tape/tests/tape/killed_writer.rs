//! Goal: whenever a process is killed that has a tape open, the tape opens again and holds
//! everything that was acknowledged, in order, and its checkpoint fits.
//! Method: a child process (this test binary, told so by its environment) appends and prints
//! what was acknowledged; it gets SIGKILL at a random moment, while it makes, opens, recovers,
//! appends, seals, merges, drops or closes; then the tape is opened and compared. Once with
//! large events and a log that is seldom full, once with segments so small that there is always
//! one to seal: there the child is stopped at random moments until one of them is in the middle of
//! sealing, and is killed at that one, 200 times. The seed is printed, and
//! `CHANGETAPE_TEST_SEED` repeats a run as far as the scheduler lets it; `CHANGETAPE_TEST_KILLS`
//! kills more or less often than the default.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bson::rawdoc;
use changetape_core::Seq;
use changetape_tape::{
    Batch, Retain, TapeOptions, TapeReader, TapeWriter, Verified, tape_exists, verify,
};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::image::Image;
use crate::samples::{self, SEED};

const TAPE: &str = "CHANGETAPE_TEST_KILLED_TAPE";
const DOING: &str = "CHANGETAPE_TEST_KILLED_DOING";
const KILLS: &str = "CHANGETAPE_TEST_KILLS";

/// Every so many events one is so large that sled keeps it in a file of its own.
const LARGE_EVERY: u64 = 997;

fn event(n: u64) -> bson::raw::RawDocumentBuf {
    if !n.is_multiple_of(LARGE_EVERY) {
        return samples::event(n);
    }
    let mut random = fastrand::Rng::with_seed(n);
    let text = samples::letters(&mut random, 1_400_000);
    rawdoc! {"_id": {"_data": format!("82{n:016X}")}, "fullDocument": {"text": text}}
}

/// What the child does; nothing when this runs as an ordinary test.
#[test]
fn child() {
    let (Ok(tape), Ok(doing)) = (std::env::var(TAPE), std::env::var(DOING)) else { return };
    let path = Path::new(&tape);
    match doing.as_str() {
        "recording" => record(path),
        "sealing" => seal(path),
        _ => {
            let reader = TapeReader::open(path).unwrap();
            println!("\nopened {}", reader.end().get());
            reader.blocks(Seq::ZERO).for_each(|block| drop(block.unwrap()));
        }
    }
    println!("\ndone");
}

fn child_random() -> fastrand::Rng {
    fastrand::Rng::with_seed(std::env::var(SEED).unwrap().parse().unwrap())
}

fn record(path: &Path) {
    let mut random = child_random();
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
        tell("acknowledged", next);
    }
    writer.close().unwrap();
}

fn tell(what: &str, n: u64) {
    println!("\n{what} {n}");
    std::io::stdout().flush().unwrap();
}

/// Segments so small that there is always one to seal, to merge and to drop.
fn seal_options() -> TapeOptions {
    let retain = Retain { age: None, bytes: Some(60_000) };
    TapeOptions { segment_size: 12_000, retain, ..TapeOptions::default() }
}

/// Appends until it is killed, now and then a gap, and closes now and then.
fn seal(path: &Path) {
    let mut random = child_random();
    loop {
        let mut writer = if tape_exists(path) {
            seal_options().open(path).unwrap()
        } else {
            seal_options().create(path, samples::metadata()).unwrap()
        };
        let mut next = samples::next_of(&writer);
        tell("opened", next);
        for _ in 0..random.u64(1..80) {
            if random.u8(..) < 8 && next > 0 {
                samples::append_gap(&mut writer, samples::gap(9), &samples::token(next)).unwrap();
                tell("gap", next);
            }
            let end = next + random.u64(1..60);
            samples::append(&mut writer, next..end).unwrap();
            next = end;
            tell("acknowledged", next);
        }
        writer.close().unwrap();
    }
}

/// What a child said before it was killed.
#[derive(Debug, Default)]
struct Said {
    /// The highest place that it reported.
    next: u64,
    gaps: Vec<u64>,
}

impl Said {
    /// Takes one of its reports.
    fn add(&mut self, (what, n): &(String, u64)) {
        match what.as_str() {
            "gap" => self.gaps.push(*n),
            _ => self.next = self.next.max(*n),
        }
    }
}

/// A child at work, whose reports are read as they come: it never waits for its reader.
struct Running {
    child: Child,
    reports: Receiver<(String, u64)>,
}

impl Running {
    fn start(path: &Path, doing: &str, seed: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed_writer::child", "--nocapture", "--test-threads=1"])
            .env(TAPE, path)
            .env(DOING, doing)
            .env(SEED, seed.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (reporting, reports) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let Some((what, n)) = line.split_once(' ') else { continue };
                if ["opened", "acknowledged", "gap"].contains(&what) {
                    // Nobody listens any more after a failure.
                    let _ = reporting.send((what.to_owned(), n.parse().unwrap()));
                }
            }
        });
        Self { child, reports }
    }

    /// Kills it after some of its reports and a random while.
    fn kill_at_random(self, random: &mut fastrand::Rng) -> Said {
        let reports = random.usize(0..50);
        let longest = if reports < 10 { 40_000 } else { 3_000 };
        let mut said = Said::default();
        // It ends by itself after its last.
        self.reports.iter().take(reports).for_each(|report| said.add(&report));
        std::thread::sleep(Duration::from_micros(random.u64(0..longest)));
        self.kill(said)
    }

    /// Stops it at random moments until one of them is what is looked for, and kills it there.
    fn kill_when(self, random: &mut fastrand::Rng, is_it: impl Fn() -> bool) -> Said {
        let mut said = Said::default();
        // By then it has opened the tape.
        let Ok(opened) = self.reports.recv() else { return self.kill(said) };
        said.add(&opened);
        let pid = Pid::from_child(&self.child);
        loop {
            std::thread::sleep(Duration::from_micros(random.u64(0..3_000)));
            kill_process(pid, Signal::STOP).unwrap();
            let (_, status) = waitpid(Some(pid), WaitOptions::UNTRACED).unwrap().unwrap();
            assert!(status.stopped(), "the child has ended: {status:?}");
            if is_it() {
                return self.kill(said);
            }
            kill_process(pid, Signal::CONT).unwrap();
        }
    }

    fn kill(mut self, mut said: Said) -> Said {
        self.child.kill().unwrap();
        // What it managed to say before it died counts too.
        self.reports.iter().for_each(|report| said.add(&report));
        let ended = self.child.wait_with_output().unwrap();
        let killed = ended.status.code().is_none();
        let complaint = String::from_utf8_lossy(&ended.stderr);
        assert!(killed || ended.status.success(), "{complaint}");
        said
    }
}

fn kills() -> Option<u64> {
    std::env::var(KILLS).ok().map(|n| n.parse().unwrap())
}

#[test]
fn whenever_the_process_is_killed_the_tape_holds_what_was_acknowledged() {
    if std::env::var(TAPE).is_ok() {
        return;
    }
    let mut random = samples::seeded();
    let mut dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for kill in 0..kills().unwrap_or(50) {
        // A new tape now and then: making one is a moment to be killed at, too.
        if random.u8(..) < 40 {
            dir = tempfile::tempdir().unwrap();
            acknowledged = 0;
        }
        let path = dir.path().join("orders.tape");
        let doing = if tape_exists(&path) && random.u8(..) < 60 { "reading" } else { "recording" };
        let child = Running::start(&path, doing, random.u64(..));
        acknowledged = child.kill_at_random(&mut random).next.max(acknowledged);
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
    assert_eq!(checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.next.get()), next);
    assert!(checkpoint.is_none_or(|checkpoint| checkpoint.token == samples::token(next)));
    next
}

fn check_by_writing(path: &Path) -> u64 {
    samples::next_of(&TapeWriter::open(path).unwrap())
}

/// Whether a tape was left in the middle of sealing or merging: two logs hold events, one of which
/// was to be sealed, or there is part of a segment, or a whole one without its name.
fn is_being_sealed(path: &Path) -> bool {
    let image = Image::of(path);
    let new = |name: &String| Path::new(name).extension() == Some(OsStr::new("new"));
    let is_written = |name: &String| new(name) && !image.0[name].is_empty();
    image.names("segments/").iter().any(is_written) || {
        let logs = image.names("log/").into_iter().filter(|name| name.ends_with("/db"));
        logs.filter(|name| !image.blocks(name).is_empty()).count() > 1
    }
}

#[test]
fn whenever_it_is_killed_over_sealing_everything_acknowledged_is_there() {
    if std::env::var(TAPE).is_ok() {
        return;
    }
    let mut random = samples::seeded();
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    let mut acknowledged = 0;
    let mut gaps: Vec<u64> = Vec::new();
    let kills = kills().unwrap_or(200);
    let (mut over_sealing, mut kill, mut start) = (0, 0, 0);
    // And until retention has taken part.
    while over_sealing < kills || start == 0 {
        let child = Running::start(&path, "sealing", random.u64(..));
        // Now and then over whatever it does: also what was left is taken up, and may be cut short.
        let said = if random.u8(..) < 50 {
            child.kill_at_random(&mut random)
        } else {
            child.kill_when(&mut random, || is_being_sealed(&path))
        };
        kill += 1;
        acknowledged = said.next.max(acknowledged);
        gaps.extend(said.gaps);
        if !tape_exists(&path) {
            assert_eq!(acknowledged, 0, "kill {kill}");
            continue;
        }
        over_sealing += u64::from(is_being_sealed(&path));
        let case = format!("kill {kill}, {acknowledged} acknowledged");
        // Before anyone has tidied up, and after it.
        check_verified(&path, &case);
        let reader = TapeReader::open(&path).unwrap_or_else(|error| panic!("{case}: {error}"));
        let end = reader.end().get();
        assert!(end >= acknowledged, "{case}: {end}");
        acknowledged = end;
        samples::check_holds_on(&reader, end);
        check_verified(&path, &case);
        // A gap that was not acknowledged may be there as well.
        start = reader.start().get();
        let kept = samples::gap_places(&reader);
        gaps.retain(|at| *at > start);
        assert!(gaps.iter().all(|at| kept.contains(at)), "{case}: {gaps:?} in {kept:?}");
        let dropped = reader.dropped().map_or(0, |dropped| dropped.end.get());
        assert_eq!(dropped, start, "{case}");
        assert_eq!(reader.checkpoint().map(|c| c.next.get()).unwrap_or_default(), end, "{case}");
    }
    println!("{kill} kills, {over_sealing} of them over sealing, {acknowledged} events");
}

fn check_verified(path: &Path, case: &str) {
    let Verified { damages, .. } = verify(path, &mut |_, _| ()).unwrap();
    assert_eq!(damages, [], "{case}");
}
