//! Goal: whoever watches a recorder from outside sees it work, and sees it lose its source.
//!
//! Method: a recorder serves its pages on a port that the system chooses and its log names; they
//! are fetched over plain TCP while documents are written, after the server is killed, and after
//! it is back; and across a gap and a seal, for the oplog has rolled over while nobody recorded,
//! and segments are small. Addresses that cannot be had are refused before there is a tape.

use bson::{Document, doc};
use changetape_testkit::ReplicaSet;
use tempfile::tempdir;

use crate::gaps::{caught_up, roll_over};
use crate::incompressible::insert;
use crate::program::{run, tape_events, text};
use crate::stream;
use crate::watched::Recorder;

#[tokio::test(flavor = "multi_thread")]
async fn figures_and_health_follow_the_recording_and_its_source() {
    let mut source = ReplicaSet::single().start().await.unwrap();
    let client = source.client().unwrap();
    let coll = client.database("shop").collection::<Document>("c");
    let directory = tempdir().unwrap();
    let tape = directory.path().join("watched.tape");
    let recorder = Recorder::start(&source.uri(), &tape, &[]);
    recorder.until_recording();
    assert_eq!(recorder.get("/healthz"), (200, "recording\n".to_owned()));
    let figures = recorder.figures();
    assert_eq!((figures["events_total"], figures.get("last_durable_seq")), (0.0, None));

    coll.insert_many((0..50).map(|n| doc! {"_id": n})).await.unwrap();
    // The collection was created, too. An event is counted just before its place is told.
    recorder.until("all recorded", |figures| figures.get("last_durable_seq") >= Some(&50.0));
    let figures = recorder.figures();
    assert_eq!((figures["events_total"], figures["last_durable_seq"]), (51.0, 50.0));
    assert!(figures["bytes_total"] > 51.0 * 100.0, "{figures:?}");
    assert!(figures["lag_seconds"] < 60.0, "{figures:?}");
    assert!(figures["last_event_timestamp_seconds"] <= figures["reached_timestamp_seconds"]);
    recorder.until("the oplog known", |figures| figures.contains_key("oplog_left_seconds"));
    assert!(recorder.figures()["oplog_left_seconds"] < 600.0, "{figures:?}");

    source.kill(0);
    recorder.until("waiting", |figures| figures["state{state=\"waiting\"}"] > 0.5);
    recorder.until("a retry", |figures| figures["retries_total"] >= 1.0);
    let reason = recorder.until_health(503);
    assert!(reason.starts_with("waiting for the source for "), "{reason}");
    let figures = recorder.figures();
    assert!(figures["source_away_seconds"] > 10.0, "{figures:?}");
    assert_eq!((figures["events_total"], figures.get("lag_seconds")), (51.0, None));

    let line = recorder.until_said("waiting for the source for ");
    assert!(line.contains(" s, retries so far ") && line.contains("51 events"), "{line}");
    assert!(line.contains(", last event 20"), "{line}");

    source.restart(0).await.unwrap();
    source.primary().await.unwrap();
    assert_eq!(recorder.until_health(200), "recording\n");
    coll.insert_one(doc! {"_id": 50}).await.unwrap();
    recorder.until("recorded", |figures| figures["events_total"] >= 52.0);
    let figures = recorder.figures();
    assert_eq!((figures["events_total"], figures["reconnects_total"]), (52.0, 1.0));
    drop(recorder);
    assert_eq!(tape_events(&tape).len(), 52);
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_and_seals_are_counted_when_they_come() {
    let source = ReplicaSet::single().oplog_mib(1).start().await.unwrap();
    let client = source.client().unwrap();
    let coll = client.database("quiet").collection::<Document>("c");
    let directory = tempdir().unwrap();
    let tape = directory.path().join("watched.tape");
    coll.insert_one(doc! {"_id": -1}).await.unwrap();
    let begin = stream::present(&client).await;
    let since = stream::since(begin);
    coll.insert_one(doc! {"_id": 0}).await.unwrap();
    let uri = source.uri();
    let args = ["record", &uri, text(&tape), "--include", "quiet.*", "--since", &since];
    run(&[&args[..], &["--count", "1"]].concat()).expect_code(0);
    roll_over(&client, stream::present(&client).await).await;

    let flags = ["--on-gap", "continue", "--segment-size", "1MiB", "--format", "json"];
    let recorder = Recorder::start(&uri, &tape, &[&args[3..], &flags].concat());
    let mut figures = recorder.until("a gap", |figures| figures["gaps_total"] > 0.5);
    assert_eq!((figures["gaps_total"], figures["seals_total"]), (1.0, 0.0));
    assert!(!figures.contains_key("last_seal_seconds"), "{figures:?}");
    // It goes on where the oplog begins, and what is written now could overtake it there.
    caught_up(&client, &recorder).await;
    let mut documents = 0;
    while figures["seals_total"] < 0.5 {
        assert!(documents < 1000, "nothing is sealed: {figures:?}");
        // Not more at once than the oplog holds, or there would be another gap.
        insert(&coll, 10).await;
        documents += 10;
        let written = f64::from(documents);
        figures = recorder.until("all recorded", |figures| figures["events_total"] >= written);
    }
    recorder.until("its time known", |figures| figures["last_seal_seconds"] > 0.0);
    recorder.until("its size known", |figures| figures["tape_bytes"] >= f64::from(1 << 20));
    // What is sealed can be read from outside meanwhile.
    let info = run(&["info", text(&tape), "--format", "json"]).expect_code(0).json();
    assert_eq!(info["beingRecorded"], true, "{info}");
    assert_eq!(info["gaps"].as_array().unwrap().len(), 1, "{info}");
    assert!(info["events"].as_u64().unwrap() > 1, "{info}");

    let figures = recorder.figures();
    let summary = recorder.stop().expect_code(3).json();
    let written = f64::from(documents);
    assert_eq!((&summary["gaps"], &summary["events"]), (&1.into(), &documents.into()));
    assert_eq!((figures["gaps_total"], figures["events_total"]), (1.0, written));
    // One event is before the gap.
    assert_eq!((figures["last_durable_seq"], figures["source_away_seconds"]), (written, 0.0));
    assert_eq!(tape_events(&tape).len(), usize::try_from(documents).unwrap() + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_read_is_left_out_and_the_rest_is_there() {
    let source = ReplicaSet::single().auth(true).start().await.unwrap();
    let admin = source.client().unwrap().database("admin");
    for (user, roles, is_known) in [
        ("reader", vec!["readAnyDatabase"], false),
        ("monitor", vec!["readAnyDatabase", "clusterMonitor"], true),
    ] {
        let create = doc! {"createUser": user, "pwd": "x", "roles": roles};
        admin.run_command(create).await.unwrap();
        let directory = tempdir().unwrap();
        let tape = directory.path().join("watched.tape");
        let recorder = Recorder::start(&source.uri_as(user, "x"), &tape, &["-v"]);
        recorder.until("reading", |figures| figures.contains_key("lag_seconds"));
        if is_known {
            recorder.until("the oplog known", |f| f.contains_key("oplog_left_seconds"));
        } else {
            recorder.until_said("how far the oplog reaches back is not known");
            assert!(!recorder.figures().contains_key("oplog_left_seconds"));
        }
    }
}

#[test]
fn an_address_that_cannot_be_had_is_refused_before_anything_is_recorded() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let directory = tempdir().unwrap();
    let tape = directory.path().join("never.tape");
    for address in [taken.as_str(), "nowhere.invalid:9400"] {
        let ran = run(&["record", "mongodb://127.0.0.1:1", text(&tape), "--metrics", address]);
        let ran = ran.expect_code(1);
        assert!(ran.sentence().starts_with("cannot serve metrics at "), "{}", ran.sentence());
        assert!(ran.sentence().contains(address), "{}", ran.sentence());
        assert!(!tape.exists());
    }
}
