//! Goal: a replay tells of every event when it was due and when it left, in a file and in its
//! summary, and a file that cannot be written costs nothing else; and what a machine can do is told.
//!
//! Method: tapes made by hand, whose events are due at known times, are replayed to nowhere and to a
//! file; what `--lateness` wrote is compared with what the tape says. How late events are is never
//! compared with anything: that is the machine's doing.

use std::fs::{self, File};
use std::path::Path;

use bson::raw::RawDocumentBuf;
use bson::{DateTime, doc};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::by_hand::{Taped, event};
use crate::program::{Ran, changetape, ran, run, text};

const START: i64 = 1_772_366_400_000;

/// When the events of [`shop`] are recorded, in milliseconds: three at once, one that goes back.
const TIMES: [i64; 8] = [0, 7, 7, 7, 20, 12, 31, 40];

/// When they are due at `--speed 0.5x`, in milliseconds.
const DUE: [i64; 8] = [0, 14, 14, 14, 40, 40, 62, 80];

fn at(millis: i64) -> RawDocumentBuf {
    event(
        "insert",
        "orders",
        doc! {
            "wallTime": DateTime::from_millis(START + millis),
            "documentKey": {"_id": millis},
            "fullDocument": {"_id": millis},
        },
    )
}

fn shop() -> Taped {
    Taped::of(&TIMES.map(at))
}

/// Replays a tape at half its speed.
fn replay(taped: &Taped, sink: &str, more: &[&str]) -> Ran {
    let replay = ["replay", text(&taped.tape), sink, "--speed", "0.5x", "--format", "json"];
    run(&[&replay[..], more].concat())
}

/// The rows below the header.
fn rows(log: &Path) -> Vec<[i64; 4]> {
    let log = fs::read_to_string(log).unwrap();
    let mut lines = log.lines();
    assert_eq!(lines.next(), Some("seq,due_nanos,sent_nanos,lateness_nanos"));
    let number = |field: &str| field.parse::<i64>().unwrap();
    lines.map(|line| line.split(',').map(number).collect::<Vec<_>>().try_into().unwrap()).collect()
}

#[test]
fn each_event_has_a_row_with_its_due_and_sent_time() {
    let (taped, directory) = (shop(), tempdir().unwrap());
    let log = directory.path().join("late.csv");
    for timer in ["precise", "coarse"] {
        let flags =
            ["--lateness", text(&log), "--overwrite", "--timer", timer, "--spread", "burst"];
        let summary = replay(&taped, "null:", &flags).expect_code(0).json();
        let rows = rows(&log);
        let due: Vec<_> = rows.iter().map(|&[seq, due, ..]| (seq, due)).collect();
        assert_eq!(due, (0..).zip(DUE.map(|due| due * 1_000_000)).collect::<Vec<_>>());
        for [_, due, sent, lateness] in &rows {
            assert!(sent >= due && *lateness == sent - due, "{rows:?}");
        }
        // What left together was sent at one time; no event overtakes another.
        assert!(rows.windows(2).all(|pair| pair[0][2] <= pair[1][2]), "{rows:?}");
        let latest = rows.iter().map(|row| row[3]).max().unwrap();
        let told = summary["lateness"]["maxMicros"].as_f64().unwrap() * 1e3;
        #[allow(clippy::cast_precision_loss)] // Nanoseconds of a short replay.
        let latest = latest as f64;
        assert!((told - latest).abs() < 1.0, "{told} {latest}");
        let late = rows.iter().filter(|row| row[3] > 1_000_000).count();
        assert_eq!(summary["lateness"]["lateEvents"], late, "{summary}");
    }
}

#[test]
fn a_summary_tells_how_faithful_a_replay_was_and_whose_doing_it_is() {
    let taped = shop();
    let summary = replay(&taped, "null:", &[]).expect_code(0).json();
    let lateness = &summary["lateness"];
    let figure = |name: &str| lateness[name].as_f64().unwrap();
    let percentiles = ["p50Micros", "p90Micros", "p99Micros", "p999Micros", "maxMicros"];
    assert!(percentiles.map(figure).is_sorted(), "{summary}");
    assert_eq!(lateness["earlyEvents"], 0, "{summary}");
    assert!(lateness["own"]["lateEvents"].as_u64() <= lateness["lateEvents"].as_u64());
    assert!(summary["rateRatio"].is_f64() && summary["driftPpm"].is_f64(), "{summary}");
    // One of eight is more than one of a hundred.
    let kept = lateness["own"]["lateEvents"] == 0;
    assert_eq!(summary["keptSchedule"], kept, "{summary}");
    assert!(summary["host"].is_object(), "{summary}");

    let summary = taped.run("null:", &[]).expect_code(0).json();
    for name in ["keptSchedule", "lateness", "rateRatio", "driftPpm", "host"] {
        assert_eq!(summary[name], Value::Null, "nothing is ever due: {summary}");
    }
}

#[test]
fn a_file_that_nobody_may_lose_and_a_replay_without_due_times_are_refused() {
    let (taped, directory) = (shop(), tempdir().unwrap());
    let [log, out] = ["late.csv", "out.ndjson"].map(|name| directory.path().join(name));
    fs::write(&log, "precious").unwrap();
    let sink = format!("file:{}", text(&out));
    for more in [&[][..], &["--dry-run"]] {
        let flags = [&["--lateness", text(&log)], more].concat();
        let there = replay(&taped, &sink, &flags).expect_code(2);
        assert!(there.sentence().contains("late.csv exists already"), "{}", there.stderr);
    }
    assert_eq!(fs::read_to_string(&log).unwrap(), "precious");
    let same = replay(&taped, &sink, &["--lateness", text(&out), "--overwrite"]).expect_code(2);
    assert!(same.sentence().contains("two files"), "{}", same.stderr);
    let other = directory.path().join("late.hlog");
    let histogram = replay(&taped, &sink, &["--lateness", text(&other)]).expect_code(2);
    assert!(histogram.sentence().contains("CSV"), "{}", histogram.stderr);
    let other = directory.path().join("other.csv");
    let unpaced = taped.run(&sink, &["--lateness", text(&other)]).expect_code(2);
    assert!(unpaced.sentence().contains("--speed max"), "{}", unpaced.stderr);
    let dry = replay(&taped, &sink, &["--lateness", text(&other), "--dry-run"]);
    dry.expect_code(0);
    assert!(!other.exists() && !out.exists(), "a file was made for nothing");
}

/// Where no byte can be written: a link, so that a file of this name is there to be overwritten.
fn full(directory: &TempDir) -> std::path::PathBuf {
    let link = directory.path().join("full.csv");
    std::os::unix::fs::symlink("/dev/full", &link).unwrap();
    link
}

#[test]
fn a_full_disk_disturbs_no_delivery_and_is_told_at_the_end() {
    let (taped, directory) = (shop(), tempdir().unwrap());
    let (log, out) = (full(&directory), directory.path().join("out.ndjson"));
    let sink = format!("file:{}", text(&out));
    let flags = ["--lateness", text(&log), "--overwrite"];
    let ended = replay(&taped, &sink, &flags).expect_code(1);
    let sentence = ended.sentence();
    assert!(sentence.contains("full.csv cannot be written: No space left"), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1);
    assert_eq!(ended.json()["delivered"], TIMES.len(), "{}", ended.stdout);
    assert_eq!(fs::read_to_string(&out).unwrap().lines().count(), TIMES.len());
}

#[test]
fn what_a_machine_can_do_is_told_of_each_method() {
    let calibrate = ["calibrate", "--duration", "20ms"];
    let told = run(&[&calibrate[..], &["--format", "json"]].concat()).expect_code(0).json();
    let methods = told["methods"].as_array().unwrap();
    let names: Vec<_> = methods.iter().map(|method| method["method"].as_str().unwrap()).collect();
    let expected = [
        "tokio sleep_until",
        "std::thread::sleep",
        "clock_nanosleep",
        "clock_nanosleep, slack 1 ns",
        "clock_nanosleep, slack 1 ns, spin",
    ];
    assert_eq!(names, expected);
    for method in methods {
        assert!(method["wakeUps"].as_u64() > Some(0), "{method}");
        let percentiles = ["p50Micros", "p90Micros", "p99Micros", "maxMicros"];
        assert!(percentiles.map(|name| method[name].as_f64().unwrap()).is_sorted(), "{method}");
        assert!(method["core"].as_f64() >= Some(0.0), "{method}");
    }
    let spin = told["spinMicros"].as_f64().unwrap();
    assert!((20.0..=200.0).contains(&spin), "{told}");
    assert!(told["elapsedSeconds"].as_f64() >= Some(0.1), "{told}");
    assert!(told["hostIsBusy"].is_boolean() && told["host"].is_object(), "{told}");

    let told = run(&[&calibrate[..], &["--quiet"]].concat()).expect_code(0);
    assert!(expected.iter().all(|name| told.stdout.contains(name)), "{}", told.stdout);
    assert!(told.stdout.contains("a replay would spin for "), "{}", told.stdout);
    assert_eq!(told.stderr, "");
    let endless = run(&["calibrate", "--duration", "1h"]).expect_code(2);
    assert!(endless.stderr.contains("at most 10m"), "{}", endless.stderr);
    let closed = File::options().write(true).open("/dev/full").unwrap();
    let closed = changetape(&calibrate).stdout(closed).output().unwrap();
    ran(closed).expect_code(1);
}
