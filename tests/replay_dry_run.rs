//! Goal: a dry run tells what a replay does before anybody does it: what is delivered, what is left
//! out and why, what cannot be played, how long it takes; and it touches nothing.
//!
//! Method: what it tells of a tape is compared with what a replay of the tape then says that it did,
//! into a real server and into a file. The server's address is one where nobody listens until then.

use std::collections::BTreeSet;
use std::path::Path;

use bson::raw::RawDocumentBuf;
use bson::{DateTime, doc};
use changetape_core::ChangeEvent;
use changetape_testkit::ReplicaSet;
use changetape_testkit::workload::{OrderShop, RandomDocuments};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::by_hand::{Taped, define, event, insert};
use crate::program::{run, tape_events, text};
use crate::replay_applies::definitions::define_everything;

/// Nobody answers there.
const NOWHERE: &str = "mongodb://127.0.0.1:1";

/// Everything that a replay into a database leaves out, or applies and says that it is not exact.
fn awkward() -> Vec<RawDocumentBuf> {
    let description = doc! {"updatedFields": {"a": 1}, "removedFields": [], "truncatedArrays": []};
    vec![
        define("create", "orders", doc! {}),
        insert("orders", doc! {"_id": 1}),
        event("shardCollection", "orders", doc! {"operationDescription": {"shardKey": {"_id": 1}}}),
        event("purr", "cats", doc! {}),
        event(
            "update",
            "orders",
            doc! {"documentKey": {"_id": 1}, "splitEvent": {"fragment": 1, "of": 2}},
        ),
        define("create", "series", doc! {"timeseries": {"timeField": "t"}}),
        event(
            "update",
            "orders",
            doc! {"documentKey": {"_id": 1}, "updateDescription": description},
        ),
        event("invalidate", "orders", doc! {}),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_what_a_replay_into_a_database_then_leaves_out() {
    let taped = Taped::of(&awkward());
    let told = taped.run(NOWHERE, &["--dry-run"]).expect_code(3).json();
    let target = ReplicaSet::single().start().await.unwrap();
    let done = taped.run(&target.uri(), &[]).expect_code(3).json();
    assert_eq!(told["skippedEvents"], 4, "{told}");
    assert_eq!(told["events"], 4, "{told}");
    assert_eq!(told["inexact"], 1, "{told}");
    for (name, its) in [("skipped", "skipped"), ("inexact", "inexact"), ("events", "delivered")] {
        assert_eq!(told[name], done[its], "{name}\n{told}\n{done}");
    }
    let expected = json!({"create": 1, "insert": 1, "update": 1, "invalidate": 1});
    assert_eq!(told["operations"], expected, "{told}");
}

/// What a dry run tells in other words than a replay, and what both tell.
#[track_caller]
fn assert_same(told: &Value, done: &Value) {
    let both = ["startSeq", "endSeq", "reachedSeq", "read", "selected", "hidden", "skipped"];
    let both = both.iter().chain(&["inexact", "repairedTimes", "tapeTime", "gaps"]);
    for name in both {
        assert_eq!(told[name], done[name], "{name}\n{told}\n{done}");
    }
    assert_eq!(told["events"], done["delivered"], "{told}\n{done}");
    for name in ["collections", "documents", "bytes"] {
        assert_eq!(told["base"][name], done["base"][name], "{name}\n{told}\n{done}");
    }
    let total: u64 =
        told["operations"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!(told["events"], total, "{told}");
}

/// How many transactions there are on a tape, and of how many events.
fn transactions(tape: &Path) -> (usize, usize) {
    let events = tape_events(tape);
    let of = |event: &RawDocumentBuf| {
        let event = ChangeEvent::from(event.as_ref());
        let (session, number) = event.transaction().unwrap()?;
        Some((session.as_bytes().to_vec(), number))
    };
    let of: Vec<_> = events.iter().filter_map(of).collect();
    (of.iter().collect::<BTreeSet<_>>().len(), of.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_what_a_replay_of_a_recording_then_does() {
    let (source, target) = tokio::join!(ReplicaSet::single().start(), ReplicaSet::single().start());
    let (source, target) = (source.unwrap(), target.unwrap());
    let client = source.client().unwrap();
    let seed = changetape_testkit::seed();
    define_everything(&client).await;
    let directory = tempdir().unwrap();
    let tape = directory.path().join("shop.tape");
    let record = ["record", &source.uri(), text(&tape), "--snapshot", "--stop-when-idle", "2s"];
    // No base can be taken of a capped collection.
    let record = [&record[..], &["--exclude", "shop.log"]].concat();
    run(&record).expect_code(0);
    OrderShop::new(seed).steps(100).run(&client).await.unwrap();
    RandomDocuments::new(seed).operations(500).run(&client).await.unwrap();
    run(&record).expect_code(0);

    let replay = |sink: &str, more: &[&str]| {
        let replay = ["replay", text(&tape), sink, "--speed", "max", "--format", "json"];
        run(&[&replay[..], more].concat()).expect_code(0).json()
    };
    let flags = ["--base", "--map-ns", "shop=mapped"];
    let told = replay(NOWHERE, &[&flags[..], &["--dry-run"]].concat());
    let done = replay(&target.uri(), &flags);
    assert_eq!(done["base"]["restored"], "whole", "{done}");
    assert_same(&told, &done);
    let (count, events) = transactions(&tape);
    assert!(count > 0, "the shop has transactions");
    assert_eq!(told["transactions"]["count"], count, "{told}");
    assert_eq!(told["transactions"]["events"], events, "{told}");
    let namespaces = told["namespaces"].as_object().unwrap();
    assert!(namespaces.keys().all(|ns| !ns.starts_with("shop.")), "{told}");

    // A plain watch() does not show the creations.
    let out = directory.path().join("out.ndjson");
    let sink = format!("file:{}", text(&out));
    let told = replay(&sink, &["--dry-run"]);
    assert!(!out.exists(), "a file was made for nothing");
    let done = replay(&sink, &[]);
    assert!(done["hidden"].as_u64() > Some(0), "{done}");
    assert_same(&told, &done);
    let again = ["replay", text(&tape), &sink, "--dry-run"];
    assert!(run(&again).expect_code(2).sentence().contains("exists already"));
}

#[test]
fn it_finds_what_cannot_be_played() {
    let taped = Taped::of(&[insert("orders", doc! {"_id": 1}), event("insert", "orders", doc! {})]);
    let broken = taped.run(NOWHERE, &["--dry-run"]).expect_code(1);
    assert!(broken.sentence().contains("the event at #1 cannot be played"), "{}", broken.stderr);
    // Whoever keeps nothing needs nothing of it.
    taped.run("null:", &["--dry-run"]).expect_code(0);
    let taped = Taped::of(&[insert("orders", doc! {"_id": 1}), insert("a", doc! {"_id": 1})]);
    let collision = taped.run("null:", &["--dry-run", "--map-ns", "shop.orders=shop.a"]);
    let collision = collision.expect_code(1);
    assert!(collision.sentence().contains("would both be played into"), "{}", collision.stderr);
    let nowhere = taped.run("mongodb://", &["--dry-run"]).expect_code(2);
    assert!(nowhere.sentence().contains("connection string"), "{}", nowhere.stderr);
    let resumed = taped.run(NOWHERE, &["--dry-run", "--resume"]).expect_code(2);
    assert!(resumed.sentence().contains("what --resume goes on with"), "{}", resumed.stderr);
    let verified = taped.run(NOWHERE, &["--dry-run", "--verify"]).expect_code(2);
    assert!(verified.sentence().contains("that --verify could compare"), "{}", verified.stderr);
}

#[test]
fn it_tells_how_long_a_replay_takes_by_the_repaired_times() {
    const START: i64 = 1_772_366_400_000;
    let at = |seconds: i64| doc! {"wallTime": DateTime::from_millis(START + seconds * 1000)};
    let taped = Taped::of(&[0, 30, -60, 90].map(|seconds| event("purr", "cats", at(seconds))));
    let tell = |speed, format| {
        let tape = text(&taped.tape);
        run(&["replay", tape, "null:", "--dry-run", "--speed", speed, "--format", format])
    };
    let told = tell("10x", "json").expect_code(0).json();
    assert_eq!((&told["takesSeconds"], &told["repairedTimes"]), (&9.0.into(), &1.into()), "{told}");
    assert_eq!((&told["speed"], &told["recordedSeconds"]), (&"10x".into(), &90.0.into()), "{told}");
    let told = tell("max", "json").expect_code(0).json();
    assert_eq!(told["takesSeconds"], Value::Null, "{told}");

    let text = tell("0.5x", "text").expect_code(0).stdout;
    for line in [
        "would replay 4 events (",
        ") into null:\n",
        "would take 3m at 0.5x; recorded from 2026-03-01T12:00:00Z to 2026-03-01T12:01:30Z (1m 30s)\n",
        "  operations\n    purr            4\n",
        "  namespaces\n    shop.cats            4\n",
    ] {
        assert!(text.contains(line), "{line:?} in {text}");
    }
    let text = tell("max", "text").expect_code(0).stdout;
    assert!(text.contains("would take as long as the sink takes; recorded from"), "{text}");
}
