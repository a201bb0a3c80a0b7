//! Goal: a recorder of a production-like set loses nothing when its primary dies.
//!
//! Method: three nodes with authentication; several writers at once insert numbered documents with
//! majority write concern, each retrying until its number is acknowledged. The primary is killed,
//! later restarted, and the next one stepped down, while one recorder runs through it all. The tape
//! must hold every acknowledged document exactly once, in its writer's order, and equal the stream
//! read afterwards, byte for byte.

use changetape_testkit::ReplicaSet;
use tempfile::tempdir;

use crate::numbers::{self, Writers};
use crate::program::{ran, start, tape_events, text};
use crate::stream;

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_outlives_its_primary() {
    let mut source = ReplicaSet::three_with_auth().start().await.unwrap();
    let client = source.client().unwrap();
    let begin = stream::present(&client).await;
    let since = stream::since(begin);
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

    let mut writers = Writers::start(&client).await;
    writers.written(50).await;
    let first = source.primary().await.unwrap();
    source.kill(first);
    // Acknowledged writes after the kill: another node has become primary.
    writers.written(50).await;
    source.restart(first).await.unwrap();
    source.wait_until_healthy().await.unwrap();
    source.step_down().await.unwrap();
    writers.written(50).await;
    let last = writers.stop().await;

    let recorder = tokio::task::spawn_blocking(move || ran(recorder.wait_with_output().unwrap()));
    let recorder = recorder.await.unwrap().expect_code(0);
    assert!(recorder.stderr.contains("lost the source"), "{}", recorder.stderr);

    let events = tape_events(&tape);
    stream::assert_same(&events, &stream::read(&client, stream::raw_and_expanded(), begin).await);
    numbers::check(&events, &last);
}
