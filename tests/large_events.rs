//! Goal: an event that is larger than the 16 MB that a server can send ends a recording with a
//! sentence, or, from a server that sends it in fragments, is recorded whole; never a loop.
//!
//! Method: a document of 10 MB is replaced by another one; the event with both, the document and
//! its pre-image, is too large. Servers before 6.0.9 cannot send it; a newer one is fetched for
//! what they do.

use std::path::Path;
use std::time::Duration;

use bson::raw::RawDocumentBuf;
use bson::{Document, Timestamp, doc};
use changetape_core::{ChangeEvent, OperationType};
use changetape_tape::{Metadata, SourceIdentity, TapeWriter};
use changetape_testkit::{ReplicaSet, ReplicaSetBuilder, samples};
use tempfile::tempdir;

use crate::large::{self, LARGE};
use crate::program::{ran, run, start, tape_events, text};
use crate::stream;

/// A recorder that went round in a loop would end by this, and with another exit code. No machine
/// is so slow that another one would.
const LONGEST: &str = "10m";

#[tokio::test(flavor = "multi_thread")]
async fn an_event_over_16_mb_is_named_and_ends_the_recording() {
    let (source, begin) = with_a_large_document(ReplicaSet::single()).await;
    let directory = tempdir().unwrap();
    let tape = directory.path().join("large.tape");
    let since = stream::since(begin);
    let uri = source.uri();
    let mut args = vec!["record", &uri, text(&tape), "--since", &since, "--stop-when-idle", "2s"];
    args.extend(["--full-document-before-change", "required", "--duration", LONGEST]);
    run(&args).expect_code(0);
    let kinds = |tape: &Path| {
        let kind = |raw: &RawDocumentBuf| ChangeEvent::from(raw.as_ref()).operation_type().unwrap();
        tape_events(tape).iter().map(kind).collect::<Vec<_>>()
    };
    replace(&source).await;
    if stream::splits(&source.client().unwrap()).await {
        return;
    }
    // Once more does not get past it either, and says the same.
    for _ in 0..2 {
        let ran = run(&args).expect_code(3);
        for words in ["larger than the 16 MB", "127.0.0.1", "--exclude"] {
            assert!(ran.sentence().contains(words), "{}", ran.sentence());
        }
        assert!(!ran.stderr.contains("lost the source"), "{}", ran.stderr);
        // What was recorded before stays.
        assert_eq!(kinds(&tape), [OperationType::Create, OperationType::Insert]);
    }
    // The server refuses the whole reply with such an event: one at a time brings those before.
    let other = directory.path().join("one-by-one.tape");
    args[2] = text(&other);
    args.extend(["--batch-size", "1"]);
    let ran = run(&args).expect_code(3);
    assert!(ran.sentence().contains("larger than the 16 MB"), "{}", ran.sentence());
    assert_eq!(kinds(&other), [OperationType::Create, OperationType::Insert]);
}

/// Whether fragments come in replies of their own or together.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_in_fragments_is_recorded_whole() {
    let (source, begin) = with_a_large_document(ReplicaSet::single().newer_server()).await;
    let coll = source.client().unwrap().database("shop").collection::<Document>("c");
    replace(&source).await;
    coll.insert_one(doc! {"_id": 2}).await.unwrap();
    let directory = tempdir().unwrap();
    let since = stream::since(begin);
    let uri = source.uri();
    for batch_size in ["1", "2", "1000"] {
        let tape = directory.path().join(batch_size);
        let mut args = vec!["record", &uri, text(&tape), "--since", &since];
        args.extend(["--full-document-before-change", "required", "--batch-size", batch_size]);
        args.extend(["--duration", LONGEST]);
        // Once up to the large event, then from there on.
        run(&[&args[..], &["--count", "2"]].concat()).expect_code(0);
        run(&[&args[..], &["--stop-when-idle", "2s"]].concat()).expect_code(0);
        let events = tape_events(&tape);
        let kinds = events.iter().map(|event| {
            ChangeEvent::from(event.as_ref()).operation_type().unwrap().as_str().to_owned()
        });
        assert_eq!(kinds.collect::<Vec<_>>(), ["create", "insert", "replace", "insert"]);
        let whole = Document::try_from(events[2].as_ref()).unwrap();
        for (field, filled) in [("fullDocument", "b"), ("fullDocumentBeforeChange", "a")] {
            let document = whole.get_document(field).unwrap();
            assert_eq!(document.get_str("x").unwrap(), filled.repeat(LARGE), "{field}");
        }
        assert!(!whole.contains_key("splitEvent"));
        run(&["verify", text(&tape)]).expect_code(0);
    }
    let tape = directory.path().join("1");
    let target = ReplicaSet::single().start().await.unwrap();
    run(&["replay", text(&tape), &target.uri(), "--speed", "max"]).expect_code(0);
    let copy = target.client().unwrap().database("shop").collection::<Document>("c");
    for id in [1, 2] {
        let found = copy.find_one(doc! {"_id": id}).await.unwrap();
        assert_eq!(found, coll.find_one(doc! {"_id": id}).await.unwrap(), "{id}");
    }
}

/// The same while a recording runs: it must not take the server's refusal for an outage.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_over_16_mb_ends_a_recording_that_runs() {
    let (source, begin) = with_a_large_document(ReplicaSet::single()).await;
    if stream::splits(&source.client().unwrap()).await {
        return;
    }
    let directory = tempdir().unwrap();
    let tape = directory.path().join("large.tape");
    let since = stream::since(begin);
    let uri = source.uri();
    let mut args = vec!["record", &uri, text(&tape), "--since", &since];
    args.extend(["--full-document-before-change", "required", "--duration", LONGEST]);
    let mut recorder = start(&args);
    while !changetape_tape::tape_exists(&tape) {
        assert_eq!(recorder.try_wait().unwrap(), None, "the recorder ended by itself");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    replace(&source).await;
    let ran = tokio::task::spawn_blocking(move || ran(recorder.wait_with_output().unwrap()));
    let ran = ran.await.unwrap().expect_code(3);
    assert!(ran.sentence().contains("larger than the 16 MB"), "{}", ran.sentence());
    assert!(!ran.stderr.contains("lost the source"), "{}", ran.stderr);
}

/// A token may be that of a fragment, which a server takes only together with the stage: so the
/// stage belongs to the tape, whichever server continues it.
#[tokio::test(flavor = "multi_thread")]
async fn a_tape_keeps_the_stage_that_its_first_server_had() {
    let source = ReplicaSet::single().start().await.unwrap();
    if stream::splits(&source.client().unwrap()).await {
        return;
    }
    let directory = tempdir().unwrap();
    for (version, code) in [("6.0.5", 0), ("7.0.12", 1)] {
        let tape = directory.path().join(version);
        let metadata = Metadata {
            source: SourceIdentity {
                replica_set: source.name().to_owned(),
                replica_set_id: None,
                server_version: version.to_owned(),
            },
            ..samples::metadata()
        };
        TapeWriter::create(&tape, metadata).unwrap().close().unwrap();
        let ran = run(&["record", &source.uri(), text(&tape), "--stop-when-idle", "1s"]);
        let ran = ran.expect_code(code);
        // This server does not know it, and says so.
        let refused = ran.stderr.contains("$changeStreamSplitLargeEvent");
        assert_eq!(refused, code == 1, "{}", ran.stderr);
    }
}

/// A source whose collection `shop.c` has pre-images and one document of 10 MB.
async fn with_a_large_document(source: ReplicaSetBuilder) -> (ReplicaSet, Timestamp) {
    let source = source.start().await.unwrap();
    let client = source.client().unwrap();
    let begin = stream::present(&client).await;
    let coll = large::with_images(&client.database("shop")).await;
    large::insert(&coll, 1, "a").await;
    (source, begin)
}

/// Makes the event that is too large.
async fn replace(source: &ReplicaSet) {
    let coll = source.client().unwrap().database("shop").collection::<Document>("c");
    large::replace(&coll, 1, "b").await;
}
