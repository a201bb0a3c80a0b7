//! Goal: what the flags for time say decides when each event is due.
//!
//! Method: a tape by hand is replayed to nowhere, and what `--lateness` tells of each event is when it
//! was due, to the nanosecond. When it left is no question here.

use std::fs;

use bson::{DateTime, Timestamp, doc};
use serde_json::Value;
use tempfile::tempdir;

use crate::by_hand::{Taped, insert};
use crate::program::{Ran, run, text};

/// Events at these milliseconds, and in the cluster's second of that.
const AT: [i64; 6] = [0, 2, 2, 2, 40, 1_200];

fn taped() -> Taped {
    const START: i64 = 1_772_366_400;
    let events = AT.map(|millis| {
        let time = u32::try_from(START + millis / 1_000).unwrap();
        let mut event = bson::Document::try_from(insert("orders", doc! {"_id": millis}).as_ref());
        let event = event.as_mut().unwrap();
        event.insert("wallTime", DateTime::from_millis(START * 1_000 + millis));
        event.insert("clusterTime", Timestamp { time, increment: 1 });
        bson::raw::RawDocumentBuf::try_from(&*event).unwrap()
    });
    Taped::of(&events)
}

fn replay(taped: &Taped, flags: &[&str]) -> Ran {
    let args = ["replay", text(&taped.tape), "null:", "--format", "json"];
    run(&[&args[..], flags].concat())
}

/// The place of each event, and by how many microseconds after the first it was due.
fn due(flags: &[&str]) -> Vec<(u64, u64)> {
    let (taped, directory) = (taped(), tempdir().unwrap());
    let log = directory.path().join("late.csv");
    replay(&taped, &[&["--lateness", text(&log)], flags].concat()).expect_code(0);
    let log = fs::read_to_string(log).unwrap();
    let row = |line: &str| {
        let mut numbers = line.split(',').map(|number| number.parse::<u64>().unwrap());
        (numbers.next().unwrap(), numbers.next().unwrap() / 1_000)
    };
    log.lines().skip(1).map(row).collect()
}

/// The same, of one lap.
fn micros(flags: &[&str]) -> Vec<u64> {
    let due = due(flags);
    assert!(due.iter().map(|(seq, _)| *seq).eq(0..6), "{due:?}");
    due.into_iter().map(|(_, micros)| micros).collect()
}

#[test]
fn each_clock_has_its_own_places() {
    assert_eq!(micros(&[]), [0, 2_000, 2_333, 2_666, 40_000, 1_200_000]);
    assert_eq!(micros(&["--speed", "10x"]), [0, 200, 233, 266, 4_000, 120_000]);
    let burst = ["--spread", "burst", "--speed", "2"];
    assert_eq!(micros(&burst), [0, 1_000, 1_000, 1_000, 20_000, 600_000]);
    // Five in the first second, one in the next.
    let cluster = ["--timeline", "cluster", "--speed", "10x"];
    assert_eq!(micros(&cluster), [0, 20_000, 40_000, 60_000, 80_000, 100_000]);
    // They came in one batch.
    assert_eq!(micros(&["--timeline", "arrival"]), [0; 6]);
    assert_eq!(micros(&["--rate", "1000/s"]), [0, 1_000, 2_000, 3_000, 4_000, 5_000]);
}

#[test]
fn long_gaps_are_cut() {
    let cut = ["--max-gap", "10ms", "--spread", "burst"];
    assert_eq!(micros(&cut), [0, 2_000, 2_000, 2_000, 12_000, 22_000]);
}

#[test]
fn a_lap_follows_the_other() {
    let due = due(&["--loop", "3", "--speed", "100x", "--spread", "burst"]);
    let lap = [0, 20, 20, 20, 400, 12_000];
    // A lap ends with the millisecond of its last event.
    let expected = (0..3).flat_map(|n| (0..).zip(lap.map(|due| due + n * 12_010)));
    assert_eq!(due, expected.collect::<Vec<_>>());
    let told = replay(&taped(), &["--loop", "3", "--speed", "max"]).expect_code(0).json();
    assert_eq!([&told["read"], &told["selected"], &told["delivered"]], [18, 18, 18], "{told}");
    // What selects nothing ends, however often it is to be played.
    let none = ["--loop", "inf", "--op", "drop", "--speed", "max"];
    assert_eq!(replay(&taped(), &none).expect_code(0).json()["delivered"], 0);
}

#[test]
fn a_dry_run_says_how_long_that_takes() {
    let takes = |flags: &[&str]| {
        let told = replay(&taped(), &[flags, &["--dry-run"]].concat()).expect_code(0).json();
        told["takesSeconds"].as_f64().unwrap()
    };
    assert!((takes(&["--speed", "2x"]) - 0.6).abs() < 1e-9);
    assert!((takes(&["--max-gap", "10ms", "--spread", "burst"]) - 0.022).abs() < 1e-9);
    assert!((takes(&["--rate", "10/s"]) - 0.5).abs() < 1e-9);
    let laps = run(&["replay", text(&taped().tape), "null:", "--dry-run", "--loop", "7"]);
    let told = laps.expect_code(0).stdout;
    assert!(told.contains("would take 7 times 1.2"), "{told}");
}

#[test]
fn what_leaves_too_late_ends_a_replay_that_is_to_keep_its_schedule() {
    // Of so many events a second each is late.
    let flags = ["--rate", "1000000000/s", "--on-late", "stop", "--max-lateness", "1ns"];
    let told = replay(&taped(), &flags).expect_code(4).json();
    assert_eq!(told["ended"], "late", "{told}");
    assert!(told["delivered"].as_u64() < Some(6), "{told}");
    let told = replay(&taped(), &["--on-late", "shift", "--speed", "10x"]).expect_code(0).json();
    assert_eq!((&told["ended"], &told["delivered"]), (&"end".into(), &6.into()), "{told}");
    assert!(told["shiftedSeconds"] != Value::Null, "{told}");
}

#[test]
fn what_makes_no_sense_together_is_refused() {
    for (flags, word) in [
        (&["--rate", "5/s", "--speed", "2x"][..], "--speed"),
        (&["--rate", "5/s", "--timeline", "arrival"], "--timeline"),
        (&["--rate", "5/s", "--max-gap", "1s"], "--max-gap"),
        (&["--max-lateness", "2s"], "--on-late stop"),
        (&["--loop", "2", "--resume"], "--resume"),
        (&["--rate", "0"], "is not a rate"),
        (&["--loop", "0"], "from 1, or inf"),
        (&["--max-gap", "soon"], "--max-gap"),
    ] {
        let refused = replay(&taped(), flags).expect_code(2);
        assert!(refused.stderr.contains(word), "{flags:?}: {}", refused.stderr);
    }
}
