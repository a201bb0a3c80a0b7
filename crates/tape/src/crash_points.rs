//! Goal: wherever a recording fails or its process is killed, at every single call that changes
//! what is on disk, the tape opens again with exactly what was acknowledged, or with what was
//! being appended as well; a full disk ends a recording cleanly; and nothing is acknowledged
//! before all it needs is synced.
//! Method: one script of appends, with a gap, in two long sessions, with small logs so that sealing
//! and retention take part, and in many short ones, whose segments are merged. It is run once to
//! count the calls that pass the seam; then once more for each call, which fails, keeps failing, or
//! ends the process (a child: this test binary again).

use std::path::Path;
use std::process::Command;

use bson::raw::RawDocument;
use changetape_core::Seq;

use crate::disk::seam::{At, Call, Script, Then};
use crate::{Batch, Error, Retain, TapeOptions, TapeReader, TapeWriter, Verified, samples, verify};

const TAPE: &str = "CHANGETAPE_TEST_CRASH_TAPE";
const CALL: &str = "CHANGETAPE_TEST_CRASH_CALL";

const SESSIONS: &str = "CHANGETAPE_TEST_CRASH_SESSIONS";

/// How the script is cut into recordings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sessions {
    Long,
    Short,
}

impl Sessions {
    const ALL: [Self; 2] = [Self::Long, Self::Short];

    /// So small that a long session fills several; so large that a few short ones are one.
    fn segment_size(self) -> u64 {
        match self {
            Self::Long => 900,
            Self::Short => 12_000,
        }
    }

    /// Whether a recording ends with an append.
    fn end(self, append: usize) -> bool {
        self == Self::Short || append == 3 || append + 1 == BATCHES.len()
    }

    fn options(self) -> TapeOptions {
        let segment_size = self.segment_size();
        let retain = Retain { age: None, bytes: Some(3 * segment_size) };
        TapeOptions { segment_size, retain, ..TapeOptions::default() }
    }
}

/// Events of each append; sizes that make blocks of their own and merge.
const BATCHES: [u64; 9] = [3, 0, 40, 1, 60, 25, 2, 70, 5];

/// Before this append there is a gap.
const GAP_BEFORE: usize = 5;

/// Appends what the script asks for; tells what is acknowledged.
fn record(path: &Path, sessions: Sessions, acknowledged: &mut dyn FnMut(u64)) -> Result<(), Error> {
    let mut next = 0;
    let mut writer: Option<TapeWriter> = None;
    for (n, len) in BATCHES.into_iter().enumerate() {
        let mut open = match writer.take() {
            Some(writer) => writer,
            None if n == 0 => sessions.options().create(path, samples::metadata())?,
            None => sessions.options().open(path)?,
        };
        let events: Vec<_> = (next..next + len).map(samples::event).collect();
        let events: Vec<&RawDocument> = events.iter().map(AsRef::as_ref).collect();
        let token = samples::token(next + len);
        let batch = Batch { events: &events, token: &token, arrival: samples::arrival(next) };
        let appended = match n {
            GAP_BEFORE => open.append_behind(samples::gap(next), &batch),
            _ => open.append(&batch),
        };
        if let Err(error) = appended {
            // As a recorder does: what was durable is sealed if it can be.
            let _ = open.close();
            return Err(error);
        }
        next += len;
        acknowledged(next);
        if sessions.end(n) {
            open.close()?;
        } else {
            writer = Some(open);
        }
    }
    Ok(())
}

/// What is on a tape afterwards: opens it for recording, which tidies up, then reads it.
fn check(path: &Path, acknowledged: u64, case: &str) -> u64 {
    if !crate::tape_exists(path) {
        assert_eq!(acknowledged, 0, "{case}: no tape");
        return 0;
    }
    // Reading first: it needs no more than a recorder.
    let reader = TapeReader::open(path).unwrap_or_else(|error| panic!("{case}: {error}"));
    let end = reader.end().get();
    assert!(end >= acknowledged, "{case}: {end} of {acknowledged} acknowledged events");
    let mut next = reader.start().get();
    for block in reader.blocks(Seq::ZERO) {
        for recorded in block.unwrap_or_else(|error| panic!("{case}: {error}")).events() {
            assert_eq!(recorded.seq.get(), next, "{case}");
            assert_eq!(recorded.event.as_bytes(), samples::event(next).as_bytes(), "{case}");
            next += 1;
        }
    }
    assert_eq!(next, end, "{case}");
    assert_eq!(appends_ending_at(end).count(), 1, "{case}: {end} is within an append");
    assert_eq!(reader.checkpoint().map_or(0, |checkpoint| checkpoint.next.get()), end, "{case}");
    let before_gap: u64 = BATCHES.iter().take(GAP_BEFORE).sum();
    let gaps: Vec<u64> = reader.gaps().iter().map(|gap| gap.at.get()).collect();
    let kept = end > before_gap && reader.start().get() < before_gap;
    assert!(!kept || gaps == [before_gap], "{case}: gaps {gaps:?} in a tape up to {end}");
    assert!(gaps.len() <= 1, "{case}: {gaps:?}");
    let Verified { damages, .. } = verify(path, &mut |_, _| ()).unwrap();
    assert_eq!(damages, [], "{case}");
    let writer = TapeWriter::open(path).unwrap_or_else(|error| panic!("{case}: {error}"));
    assert_eq!(writer.checkpoint().map_or(0, |checkpoint| checkpoint.next.get()), end, "{case}");
    writer.close().unwrap();
    end
}

/// The ends of appends at a place: each append here is one block.
fn appends_ending_at(end: u64) -> impl Iterator<Item = u64> {
    let ends = BATCHES.into_iter().scan(0, |sum, len| {
        *sum += len;
        Some(*sum)
    });
    let mut ends: Vec<u64> = std::iter::once(0).chain(ends).collect();
    ends.dedup();
    ends.into_iter().filter(move |at| *at == end)
}

/// Where syncing costs nothing: the calls are what counts.
fn in_memory_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// The calls that the script makes.
fn calls(sessions: Sessions) -> Vec<Call> {
    let dir = in_memory_dir();
    let script = Script::notes(dir.path());
    record(&dir.path().join("orders.tape"), sessions, &mut |_| ()).unwrap();
    let calls = script.calls();
    let merged = calls.iter().any(|(call, path)| {
        *call == Call::Create && path.file_name() == Some("merge.new".as_ref())
    });
    assert_eq!(merged, sessions == Sessions::Short, "whether segments are merged");
    let calls = calls.into_iter().map(|(call, _)| call).collect::<Vec<_>>();
    drop(script);
    let end = check(&dir.path().join("orders.tape"), 0, "undisturbed");
    assert_eq!(end, BATCHES.iter().sum::<u64>());
    calls
}

#[test]
fn whichever_call_fails_what_was_acknowledged_is_there() {
    for (sessions, then) in Sessions::ALL
        .into_iter()
        .flat_map(|sessions| [Then::Fail, Then::FailOn].map(|then| (sessions, then)))
    {
        let count = calls(sessions).len();
        assert!(count > 100, "{count} calls");
        for call in 0..count + 10 {
            let dir = in_memory_dir();
            let path = dir.path().join("orders.tape");
            let script = Script::at(dir.path(), At::Any(call), then);
            let mut acknowledged = 0;
            let result = record(&path, sessions, &mut |next| acknowledged = next);
            drop(script);
            let case = format!("{sessions:?}, call {call}: {then:?}, {result:?}");
            check(&path, acknowledged, &case);
        }
    }
}

/// What the child does; nothing when this runs as an ordinary test.
#[test]
fn child() {
    let (Ok(tape), Ok(call)) = (std::env::var(TAPE), std::env::var(CALL)) else { return };
    let asked = std::env::var(SESSIONS).unwrap();
    let sessions = Sessions::ALL.into_iter().find(|sessions| format!("{sessions:?}") == asked);
    let path = Path::new(&tape);
    let dir = crate::layout::parent(path);
    let _script = Script::at(dir, At::Any(call.parse().unwrap()), Then::Abort);
    let mut tell = |next| {
        println!("\nacknowledged {next}");
    };
    record(path, sessions.unwrap(), &mut tell).unwrap();
}

#[test]
fn at_whichever_call_the_process_ends_what_was_acknowledged_is_there() {
    let (mut some, mut cases) = (0, 0);
    let every = |sessions| (0..calls(sessions).len()).map(move |call| (sessions, call));
    for (sessions, call) in Sessions::ALL.into_iter().flat_map(every) {
        let dir = in_memory_dir();
        let path = dir.path().join("orders.tape");
        let ended = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash_points::child", "--nocapture", "--test-threads=1"])
            .env(TAPE, &path)
            .env(CALL, call.to_string())
            .env(SESSIONS, format!("{sessions:?}"))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&ended.stdout);
        let said = |line: &str| line.strip_prefix("acknowledged ")?.parse::<u64>().ok();
        let acknowledged = told.lines().filter_map(said).max().unwrap_or(0);
        // At an acknowledgement, which is only noted, it does not end.
        let whole = acknowledged == BATCHES.iter().sum::<u64>();
        assert!(!ended.status.success() || whole, "call {call}: {ended:?}");
        check(&path, acknowledged, &format!("{sessions:?}, killed at call {call}"));
        some += u64::from(acknowledged > 0);
        cases += 1;
    }
    assert!(some > cases / 2, "something was acknowledged in {some} of {cases} cases");
}

#[test]
fn a_full_disk_ends_a_recording_cleanly() {
    let calls = calls(Sessions::Long);
    let reserves = calls.iter().filter(|call| **call == Call::Reserve).count();
    let (mut refused, mut sealed) = (0, 0);
    for at in 0..reserves {
        let dir = in_memory_dir();
        let path = dir.path().join("orders.tape");
        let script = Script::at(dir.path(), At::Kind(Call::Reserve, at), Then::FailOn);
        let mut acknowledged = 0;
        let result = record(&path, Sessions::Long, &mut |next| acknowledged = next);
        if result.is_ok() {
            continue;
        }
        assert!(matches!(result, Err(Error::DiskFull { .. })), "{result:?}");
        refused += 1;
        drop(script);
        // Everything was sealed on the way out: there is nothing left to do for a reader.
        assert_eq!(crate::layout::logs(&path).unwrap(), []);
        assert_eq!(TapeReader::open(&path).unwrap().end().get(), acknowledged);
        sealed += u64::from(acknowledged > 0);
        check(&path, acknowledged, &format!("no room the {at}th time"));
    }
    assert!(refused > 1 && sealed > 0, "{refused} refused, {sealed} sealed");
}

#[test]
fn nothing_is_acknowledged_before_all_it_needs_is_synced() {
    let dir = in_memory_dir();
    let script = Script::notes(dir.path());
    record(&dir.path().join("orders.tape"), Sessions::Long, &mut |_| ()).unwrap();
    let calls = script.calls();
    let acknowledged = calls.iter().filter(|(call, _)| *call == Call::Acknowledge).count();
    assert_eq!(acknowledged, BATCHES.len());
    // What the writer's own thread did since the last acknowledgement; sealing is beside it.
    let mut applied = None;
    let mut flushed = false;
    let mut synced = false;
    let mut named = std::collections::BTreeSet::new();
    for (call, path) in &calls {
        match call {
            Call::CreateDir => drop(named.insert(path.clone())),
            Call::SyncDir => named.retain(|made| made.parent() != Some(path)),
            Call::Apply => (applied, flushed, synced) = (Some(path.clone()), false, false),
            Call::Flush => flushed = applied.as_ref() == Some(path),
            Call::Sync if applied.as_ref().map(|log| log.join("db")).as_ref() == Some(path) => {
                synced = flushed;
            }
            Call::Write if path.ends_with("durable") && applied.is_some() => {
                assert!(synced, "said to be durable before it was synced");
            }
            Call::Acknowledge => {
                let log = applied.take().expect("something was applied");
                assert!(flushed && synced, "not synced: {calls:?}");
                assert!(!named.contains(&log), "the name of {} is not durable", log.display());
            }
            _ => {}
        }
    }
}
