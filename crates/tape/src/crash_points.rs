//! Goal: wherever a recording fails or its process is killed, at every single call that
//! changes what is on disk, the tape opens again with exactly what was acknowledged, or with what
//! was being appended as well, and the recording goes on to the tape that it would have been; a
//! full disk ends a recording cleanly; and nothing is acknowledged, or removed, before all that
//! needs it is synced.
//! Method: one script of appends, with a gap, in two long sessions, with small logs so that sealing
//! and retention take part, and in many short ones, whose segments are merged. It is run once to
//! count the calls that pass the seam; then once more for each call, which fails in one way or
//! another, keeps failing, or ends the process (a child: this test binary again). For what comes
//! before what see `order`, for repairs, of which the same is asked, `repair`.

mod order;
mod repair;
mod script;

use std::path::Path;
use std::process::Command;

use changetape_core::Seq;

use crate::disk::seam::{At, Call, Failure, Script, Then};
use crate::{Batch, Error, TapeOptions, TapeReader, samples};
use script::{BATCHES, Sessions, check, events_of, finish, record, undisturbed};

const TAPE: &str = "CHANGETAPE_TEST_CRASH_TAPE";
const CALL: &str = "CHANGETAPE_TEST_CRASH_CALL";
const SESSIONS: &str = "CHANGETAPE_TEST_CRASH_SESSIONS";

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
    calls.into_iter().map(|(call, _)| call).collect()
}

/// Has each call fail that the script makes in these sessions.
fn fail_each(sessions: Sessions) {
    let (undisturbed, count) = (undisturbed(sessions), calls(sessions).len());
    assert!(count > 100, "{count} calls");
    // What a disk that stays broken does, one that stays full does too.
    let ways = [
        Then::Fail(Failure::DiskFull),
        Then::Fail(Failure::DiskBroken),
        Then::FailOn(Failure::DiskFull),
    ];
    for (then, call) in ways.into_iter().flat_map(|then| (0..count).map(move |call| (then, call))) {
        let dir = in_memory_dir();
        let path = dir.path().join("orders.tape");
        let script = Script::at(dir.path(), At::Any(call), then);
        let mut acknowledged = 0;
        let result = record(&path, sessions, &mut |appends| acknowledged = appends);
        drop(script);
        let case = format!("{sessions:?}, call {call}: {then:?}, {result:?}");
        check(&path, acknowledged, &case);
        finish(&path, sessions, &undisturbed, &case);
    }
}

#[test]
fn whichever_call_of_long_sessions_fails_what_was_acknowledged_is_there_and_it_goes_on() {
    fail_each(Sessions::Long);
}

#[test]
fn whichever_call_of_short_sessions_fails_what_was_acknowledged_is_there_and_it_goes_on() {
    fail_each(Sessions::Short);
}

/// Runs a test of this binary in a process of its own.
fn child(name: &str, env: &[(&str, &str)]) -> std::process::Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .envs(env.iter().copied())
        .output()
        .unwrap()
}

/// What the child does; nothing when this runs as an ordinary test.
#[test]
fn recording_child() {
    let (Ok(tape), Ok(call)) = (std::env::var(TAPE), std::env::var(CALL)) else { return };
    let Ok(asked) = std::env::var(SESSIONS) else { return };
    let sessions = Sessions::ALL.into_iter().find(|sessions| format!("{sessions:?}") == asked);
    let path = Path::new(&tape);
    let dir = crate::layout::parent(path);
    let _script = Script::at(dir, At::Any(call.parse().unwrap()), Then::Abort);
    let mut tell = |appends| {
        println!("\nacknowledged {appends}");
    };
    record(path, sessions.unwrap(), &mut tell).unwrap();
}

#[test]
fn at_whichever_call_the_process_ends_what_was_acknowledged_is_there_and_it_goes_on() {
    let (mut some, mut cases) = (0, 0);
    for sessions in Sessions::ALL {
        let undisturbed = undisturbed(sessions);
        for call in 0..calls(sessions).len() {
            let dir = in_memory_dir();
            let path = dir.path().join("orders.tape");
            let env = [
                (TAPE, path.to_str().unwrap()),
                (CALL, &call.to_string()),
                (SESSIONS, &format!("{sessions:?}")),
            ];
            let ended = child("crash_points::recording_child", &env);
            let told = String::from_utf8_lossy(&ended.stdout);
            let said = |line: &str| line.strip_prefix("acknowledged ")?.parse::<usize>().ok();
            let acknowledged = told.lines().filter_map(said).max().unwrap_or(0);
            // At an acknowledgement, which is only noted, it does not end.
            let whole = acknowledged == BATCHES.len();
            assert!(!ended.status.success() || whole, "call {call}: {ended:?}");
            let case = format!("{sessions:?}, killed at call {call}");
            check(&path, acknowledged, &case);
            finish(&path, sessions, &undisturbed, &case);
            some += u64::from(acknowledged > 0);
            cases += 1;
        }
    }
    assert!(some > cases / 2, "something was acknowledged in {some} of {cases} cases");
}

#[test]
fn a_full_disk_ends_a_recording_cleanly() {
    let (sessions, full) = (Sessions::Long, Then::FailOn(Failure::DiskFull));
    let reserves = calls(sessions).into_iter().filter(|call| *call == Call::Reserve).count();
    let (mut refused, mut sealed) = (0, 0);
    for at in 0..reserves {
        let dir = in_memory_dir();
        let path = dir.path().join("orders.tape");
        let script = Script::at(dir.path(), At::Kind(Call::Reserve, at), full);
        let mut acknowledged = 0;
        let result = record(&path, sessions, &mut |appends| acknowledged = appends);
        if result.is_ok() {
            continue;
        }
        assert!(matches!(result, Err(Error::DiskFull { .. })), "{result:?}");
        refused += 1;
        drop(script);
        // Everything was sealed on the way out: there is nothing left to do for a reader.
        assert_eq!(crate::layout::logs(&path).unwrap(), []);
        assert_eq!(TapeReader::open(&path).unwrap().end().get(), events_of(acknowledged));
        sealed += u64::from(acknowledged > 0);
        check(&path, acknowledged, &format!("no room the {at}th time"));
    }
    assert!(refused > 1 && sealed > 0, "{refused} refused, {sealed} sealed");
}

#[test]
fn a_gap_that_is_durable_stays_though_what_comes_after_it_fails() {
    for how in Failure::ALL {
        let dir = in_memory_dir();
        let path = dir.path().join("orders.tape");
        let options = TapeOptions { segment_size: 1, ..TapeOptions::default() };
        let mut writer = options.create(&path, samples::metadata()).unwrap();
        // Before another log is begun: when that is depends on when it is ready.
        let _script = Script::at(dir.path(), At::Named(Call::Sync, "durable", 0), Then::Fail(how));
        let mut gaps = Vec::new();
        loop {
            let at = gaps.len() as u64;
            gaps.push(samples::gap(at));
            let (event, token) = (samples::event(at), samples::token(at + 1));
            let batch = Batch { events: &[&event], token: &token, arrival: samples::arrival(at) };
            if writer.append_behind(samples::gap(at), &batch).is_err() {
                break;
            }
        }
        assert_eq!(writer.checkpoint().unwrap().next, Seq::new(gaps.len() as u64));
        writer.close().unwrap();
        assert_eq!(TapeReader::open(&path).unwrap().gaps(), gaps);
    }
}
