//! Goal: a tape is kept as its recorder is told: in files of a size, the oldest of which go, and
//! durable when it is said to be; and what has gone is never passed over in silence.
//!
//! Method: incompressible documents on a real server, recorded with small segments; what is left
//! on the tape, and what `info`, `cat`, `replay` and `verify` say of it, is compared with the
//! stream read straight from the server. Which times were dropped is asked of a tape made by hand,
//! whose events came an hour apart. A recorder that is told not to sync for an hour is asked
//! what is durable once the server has seen it take everything.

use std::collections::BTreeMap;
use std::path::Path;

use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{Document, doc};
use changetape_core::Arrival;
use changetape_tape::{Batch, Retain, TapeOptions, TapeWriter};
use changetape_testkit::{ReplicaSet, samples};
use serde_json::Value;
use tempfile::tempdir;

use crate::incompressible::insert;
use crate::program::{run, tape_events, text};
use crate::source_load::operations;
use crate::stream;
use crate::watched::{Recorder, until};

/// A source with 6 MB in its oplog, and the stream of it.
async fn filled() -> (ReplicaSet, String, Vec<RawDocumentBuf>) {
    let source = ReplicaSet::single().start().await.unwrap();
    let client = source.client().unwrap();
    let begin = stream::present(&client).await;
    let coll = client.database("shop").collection::<Document>("orders");
    insert(&coll, 300).await;
    let events = stream::read(&client, stream::raw_and_expanded(), begin).await;
    (source, stream::since(begin), events)
}

/// Records everything that has happened, in pieces: each becomes a file, or two, of its own.
fn record_all(source: &ReplicaSet, tape: &Path, since: &str, flags: &[&str]) {
    let uri = source.uri();
    let args = ["record", &uri, text(tape), "--since", since, "--segment-size", "1MiB"];
    let args = [&args[..], flags].concat();
    for _ in 0..6 {
        run(&[&args[..], &["--count", "50"]].concat()).expect_code(0);
    }
    let rest = ["--stop-when-idle", "2s", "--format", "json"];
    let ended = run(&[&args[..], &rest].concat()).expect_code(0).json();
    assert_eq!(ended["tapeEvents"], info(tape)["events"], "what was dropped is not held: {ended}");
}

fn info(tape: &Path) -> Value {
    run(&["info", text(tape), "--format", "json"]).expect_code(0).json()
}

/// Checks that a tape holds the end of the stream and says that the rest was dropped; returns how
/// many events that is.
fn check_dropped(tape: &Path, stream: &[RawDocumentBuf]) -> usize {
    let kept = tape_events(tape);
    let gone = stream.len() - kept.len();
    assert!(gone > 0 && !kept.is_empty(), "{gone} events are gone");
    stream::assert_same(&kept, &stream[gone..]);
    run(&["verify", text(tape)]).expect_code(0);

    let told = info(tape);
    let dropped = &told["dropped"];
    assert_eq!((&dropped["events"], &dropped["endSeq"]), (&gone.into(), &gone.into()), "{told}");
    assert!(
        dropped["segments"].as_u64() > Some(0) && dropped["bytes"].as_u64() > Some(0),
        "{told}"
    );
    assert_eq!((&told["events"], &told["startSeq"]), (&kept.len().into(), &gone.into()), "{told}");
    assert_eq!(told["endSeq"], stream.len(), "{told}");
    // The first event made the collection.
    assert_eq!(told["operations"], serde_json::json!({"insert": kept.len()}), "{told}");
    assert_eq!(told["namespaces"], serde_json::json!({"shop.orders": kept.len()}), "{told}");
    let shown = run(&["info", text(tape)]).expect_code(0).stdout;
    let row = format!("  dropped       {gone} events before #{gone}, the last of 20");
    assert!(shown.lines().any(|line| line.starts_with(&row)), "{shown}");
    gone
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_files_go_when_the_tape_is_too_large() {
    const MOST: u64 = 2 << 20;
    let (source, since, expected) = filled().await;
    let directory = tempdir().unwrap();
    let tape = directory.path().join("short.tape");
    record_all(&source, &tape, &since, &["--retain", "2MiB"]);
    let gone = check_dropped(&tape, &expected);
    let files = std::fs::read_dir(tape.join("segments")).unwrap();
    let sizes: Vec<u64> = files.map(|file| file.unwrap().metadata().unwrap().len()).collect();
    assert!(sizes.iter().sum::<u64>() <= MOST, "{sizes:?}");

    // Who asks for what is gone gets the rest, and is told.
    let told = format!("{gone} events before #{gone}");
    for (flags, begins) in [
        (&[][..], gone),
        (&["--start", "#0"], gone),
        (&["--start", &format!("#{}", gone - 1)], gone),
        (&["--start", "2020-01-01T00:00:00Z"], gone),
        (&["--start", &since], gone),
        (&["--start", "#0", "--end", "#1"], expected.len()),
    ] {
        let printed = run(&[&["cat", text(&tape)], flags].concat()).expect_code(0);
        assert_eq!(printed.stdout.lines().count(), expected.len() - begins, "{flags:?}");
        assert!(printed.stderr.contains(&told), "{flags:?}: {}", printed.stderr);
    }
    for (flags, begins) in [
        (["--start", &format!("#{gone}")], gone),
        (["--start", &format!("#{}", gone + 1)], gone + 1),
    ] {
        let printed = run(&[&["cat", text(&tape)], &flags[..]].concat()).expect_code(0);
        assert_eq!(printed.stdout.lines().count(), expected.len() - begins, "{flags:?}");
        assert_eq!(printed.stderr, "", "{flags:?}");
    }
    let replay = ["replay", text(&tape), "null:", "--speed", "max", "--format", "json"];
    let replayed = run(&replay).expect_code(0);
    assert!(replayed.stderr.contains(&told), "{}", replayed.stderr);
    assert_eq!(replayed.json()["startSeq"], gone);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_files_go_when_they_are_too_old() {
    let (source, since, expected) = filled().await;
    let directory = tempdir().unwrap();
    let tape = directory.path().join("young.tape");
    record_all(&source, &tape, &since, &["--retain", "1h"]);
    let segments = info(&tape)["segments"].as_u64().unwrap();
    assert!(segments > 2, "{segments} segments");
    stream::assert_same(&tape_events(&tape), &expected);
    // Nothing new comes, so everything is as old, and only the newest file has to stay.
    let uri = source.uri();
    let mut again = vec!["record", &uri, text(&tape), "--segment-size", "1MiB"];
    again.extend(["--retain", "1ms", "--stop-when-idle", "2s"]);
    run(&again).expect_code(0);
    check_dropped(&tape, &expected);
    let left = &info(&tape)["segments"];
    assert_eq!(left, 1);
}

/// Ten events from a place on, which arrive one second after the first of them happened.
fn append(mut writer: TapeWriter, first: u64) {
    let events: Vec<_> = (first..first + 10).map(|n| samples::event(n, "")).collect();
    let events: Vec<&RawDocument> = events.iter().map(AsRef::as_ref).collect();
    let wall_nanos = (first + 10) * 100_000_000;
    let arrival = Arrival { wall_nanos, monotonic_nanos: wall_nanos };
    let token = samples::token(first + 10);
    writer.append(&Batch { events: &events, token: &token, arrival }).unwrap();
    writer.close().unwrap();
}

#[test]
fn what_was_dropped_is_told_to_those_who_may_have_asked_for_it() {
    let directory = tempdir().unwrap();
    let tape = directory.path().join("hour.tape");
    let retain = Retain { age: None, bytes: Some(0) };
    let options = TapeOptions { segment_size: 1, retain, ..TapeOptions::default() };
    append(options.create(&tape, samples::metadata()).unwrap(), 0);
    append(options.open(&tape).unwrap(), 36_000);
    assert_eq!(info(&tape)["dropped"]["arrived"], "1970-01-01T00:00:01Z");
    for (start, is_told) in [
        ("1970-01-01T00:00:00Z", true),
        // The source's clock may be ahead of the recorder's.
        ("1970-01-01T00:05:01Z", true),
        ("301:1", true),
        ("1970-01-01T00:05:01.001Z", false),
        ("302:1", false),
        ("1970-01-01T01:00:00Z", false),
    ] {
        let printed = run(&["cat", text(&tape), "--start", start]).expect_code(0);
        assert_eq!(printed.stdout.lines().count(), 10, "{start}");
        let told = printed.stderr.contains("10 events before #10, the last of 1970");
        assert_eq!((told, printed.stderr.is_empty()), (is_told, !is_told), "{start}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_counts_when_it_is_as_durable_as_was_asked_for() {
    let source = ReplicaSet::single().start().await.unwrap();
    let client = source.client().unwrap();
    let begin = stream::present(&client).await;
    let since = stream::since(begin);
    let directory = tempdir().unwrap();
    let recorder = |durability: &str| {
        let tape = directory.path().join(durability);
        let flags = ["--since", &since, "--durability", durability, "--max-await", "100ms"];
        (Recorder::start(&source.uri(), &tape, &flags), tape)
    };
    let (at_once, _) = recorder("block");
    let (soon, _) = recorder("1s");
    let (late, tape) = recorder("1h");
    for recorder in [&at_once, &soon, &late] {
        recorder.until_recording();
    }
    let coll = client.database("shop").collection::<Document>("orders");
    coll.insert_many((0..50).map(|n| doc! {"_id": n})).await.unwrap();
    // The collection was created, too.
    for recorder in [&at_once, &soon] {
        recorder.until("all durable", |figures| figures["events_total"] > 50.5);
    }
    // Of what the server has sent, at most a few replies are still on their way to the tape.
    // A cursor that is taken up again at that moment is not seen, so it is looked for again.
    let mut behind = until("three cursors", async || {
        let sent = replies(&client).await;
        if sent.len() == 3 { Ok(sent) } else { Err(sent) }
    })
    .await;
    until("ten replies further", async || {
        let now = replies(&client).await;
        behind.retain(|cursor, replies| now.get(cursor) <= Some(&(*replies + 10)));
        if behind.is_empty() { Ok(()) } else { Err((behind.clone(), now)) }
    })
    .await;
    let figures = late.figures();
    assert_eq!((figures["events_total"], figures.get("last_durable_seq")), (0.0, None));
    let ended = late.stop().expect_code(0);
    assert!(ended.stdout.starts_with("recorded 51 events "), "{}", ended.stdout);
    assert_eq!(tape_events(&tape).len(), 51);
}

/// How many replies each recorder's cursor has had.
async fn replies(client: &mongodb::Client) -> BTreeMap<i64, i64> {
    let cursor = |operation: &Document| {
        let cursor = operation.get_document("cursor").ok()?;
        Some((cursor.get_i64("cursorId").ok()?, cursor.get_i64("nBatchesReturned").ok()?))
    };
    operations(client).await.iter().filter_map(cursor).collect()
}
