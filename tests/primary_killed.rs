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
use crate::stream;
use crate::watched::Recorder;

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_outlives_its_primary() {
    let mut source = ReplicaSet::three_with_auth().start().await.unwrap();
    let client = source.client().unwrap();
    let begin = stream::present(&client).await;
    let since = stream::since(begin);
    let directory = tempdir().unwrap();
    let tape = directory.path().join("failover.tape");
    let recorder = Recorder::start(&source.uri(), &tape, &["--since", &since]);

    let mut writers = Writers::start(&client).await;
    writers.written(50).await;
    // One that does not read yet loses nothing.
    recorder.until_recording();
    let first = source.primary().await.unwrap();
    source.kill(first);
    // Acknowledged writes after the kill: another node has become primary.
    writers.written(50).await;
    source.restart(first).await.unwrap();
    source.wait_until_healthy().await.unwrap();
    source.step_down().await.unwrap();
    writers.written(50).await;
    let ran = numbers::end_and_compare(writers, recorder, &client, begin, &tape).await;
    assert!(ran.stderr.contains("lost the source"), "{}", ran.stderr);
}
