//! Goal: a recorder of a production-like set loses nothing when its primary dies.
//!
//! Method: three nodes with authentication; a writer inserts numbered documents with majority
//! write concern, retrying until each is acknowledged. The primary is killed, later restarted,
//! and the next one stepped down, while one recorder runs through it all. The tape must hold
//! every acknowledged document exactly once, and equal the stream read afterwards, byte for
//! byte.

use std::collections::BTreeMap;

use changetape_core::ChangeEvent;
use changetape_testkit::ReplicaSet;
use tempfile::tempdir;
use tokio::sync::watch;

use crate::numbers::write_numbers;
use crate::program::{ran, start, tape_events, text};
use crate::stream;

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_outlives_its_primary() {
    let mut source = ReplicaSet::three_with_auth().start().await.unwrap();
    let client = source.client().unwrap();
    let begin = stream::present(&client).await;
    let since = format!("{}:{}", begin.time, begin.increment);
    let directory = tempdir().unwrap();
    let tape = directory.path().join("failover.tape");
    let recorder = start(&[
        "record",
        &source.uri(),
        text(&tape),
        "--since",
        &since,
        "--stop-when-idle",
        "20s",
    ]);

    let (written, mut acknowledged) = watch::channel(0_i64);
    let (stop, stopped) = watch::channel(false);
    let writer = tokio::spawn(write_numbers(client.clone(), written, stopped));

    acknowledged.wait_for(|&n| n >= 100).await.unwrap();
    let first = source.primary().await.unwrap();
    source.kill(first);
    let before = *acknowledged.borrow();
    // Acknowledged writes after the kill: another node has become primary.
    acknowledged.wait_for(|&n| n >= before + 100).await.unwrap();
    source.restart(first).await.unwrap();
    source.wait_until_healthy().await.unwrap();
    source.step_down().await.unwrap();
    let before = *acknowledged.borrow();
    acknowledged.wait_for(|&n| n >= before + 100).await.unwrap();
    stop.send(true).unwrap();
    let last = writer.await.unwrap();

    let recorder = tokio::task::spawn_blocking(move || ran(recorder.wait_with_output().unwrap()));
    let recorder = recorder.await.unwrap().expect_code(0);
    assert!(recorder.stderr.contains("lost the source"), "{}", recorder.stderr);

    let events = tape_events(&tape);
    stream::assert_same(&events, &stream::read(&client, stream::raw_and_expanded(), begin).await);
    let mut seen = BTreeMap::new();
    for raw in &events {
        let event = ChangeEvent::from(raw.as_ref());
        if let Some(document) = event.full_document().unwrap() {
            *seen.entry(document.get_i64("_id").unwrap()).or_insert(0) += 1;
        }
    }
    let expected: BTreeMap<i64, i32> = (0..=last).map(|n| (n, 1)).collect();
    assert!(seen == expected, "{} documents of {} recorded once", seen.len(), expected.len());
}
