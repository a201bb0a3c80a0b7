//! Goal: a network that goes silent, for longer than any of the driver's timeouts, costs a
//! recorder nothing but time: no event, none twice, and no end of the recording.
//!
//! Method: three nodes with authentication, a writer that inserts numbered documents with
//! majority write concern, and proxies that let nothing through while they are cut and tell
//! nobody (see the testkit's `Proxy`). The driver's timeouts are set to a second each, so that
//! "longer" is not minutes. The tape must equal the stream read afterwards, byte for byte.

use std::time::Duration;

use changetape_testkit::{Proxy, ReplicaSet};
use mongodb::Client;
use tempfile::tempdir;
use tokio::sync::watch;

use crate::numbers::write_numbers;
use crate::program::{Ran, ran, start, tape_events, text};
use crate::stream;

/// The driver takes a server for lost after the two together; looking for another takes as long
/// as the third.
const TIMEOUTS: &str =
    "connectTimeoutMS=1000&heartbeatFrequencyMS=1000&serverSelectionTimeoutMS=1000";

/// Several times what the driver waits, and several retries.
const LONGER: Duration = Duration::from_secs(8);

/// A set, a writer at work and a recorder of it, until the tape is compared.
struct Recording {
    set: ReplicaSet,
    begin: bson::Timestamp,
    directory: tempfile::TempDir,
    recorder: std::process::Child,
    acknowledged: watch::Receiver<i64>,
    stop: watch::Sender<bool>,
    writer: tokio::task::JoinHandle<i64>,
}

impl Recording {
    /// Starts a writer of the set and a recorder that reaches it by `uri`.
    async fn start(set: ReplicaSet, uri: &str) -> Self {
        // The writer must not be slower than the recorder to find another primary, or the
        // recorder takes the source for idle.
        let client = Client::with_uri_str(format!("{}&{TIMEOUTS}", set.uri())).await.unwrap();
        let begin = stream::present(&client).await;
        let directory = tempdir().unwrap();
        let tape = directory.path().join("cut.tape");
        let since = format!("{}:{}", begin.time, begin.increment);
        let uri = format!("{uri}&{TIMEOUTS}");
        let args = ["record", &uri, text(&tape), "--since", &since, "--stop-when-idle", "15s"];
        let recorder = start(&args);
        let (written, mut acknowledged) = watch::channel(0);
        let (stop, stopped) = watch::channel(false);
        let writer = tokio::spawn(write_numbers(client, written, stopped));
        acknowledged.wait_for(|&n| n >= 100).await.unwrap();
        Self { set, begin, directory, recorder, acknowledged, stop, writer }
    }

    /// Waits until so many more writes are acknowledged.
    async fn written(&mut self, more: i64) {
        let before = *self.acknowledged.borrow();
        self.acknowledged.wait_for(|&n| n >= before + more).await.unwrap();
    }

    /// Ends the writer, waits for the recorder's end and compares; returns what it printed.
    async fn compare(self) -> Ran {
        self.stop.send(true).unwrap();
        self.writer.await.unwrap();
        let recorder = self.recorder;
        let ending = tokio::task::spawn_blocking(move || ran(recorder.wait_with_output().unwrap()));
        let recorder = ending.await.unwrap().expect_code(0);
        let client = self.set.client().unwrap();
        let expected = stream::read(&client, stream::raw_and_expanded(), self.begin).await;
        stream::assert_same(&tape_events(&self.directory.path().join("cut.tape")), &expected);
        recorder
    }
}

/// Only the recorder is cut off, from the one node that it may talk to: it can but wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_waits_for_the_network_and_catches_up() {
    let mut set = ReplicaSet::three_with_auth().start().await.unwrap();
    let primary = set.primary().await.unwrap();
    let proxy = Proxy::start(set.port(primary)).await.unwrap();
    let uri = set.uri();
    let (login, _) = uri.split_once('@').unwrap();
    let uri = format!("{login}@127.0.0.1:{}/?directConnection=true", proxy.port());
    let mut recording = Recording::start(set, &uri).await;
    for _ in 0..2 {
        proxy.cut();
        tokio::time::sleep(LONGER).await;
        // The writer is not cut off: there is something to be lost.
        recording.written(50).await;
        proxy.restore();
        recording.written(50).await;
    }
    let recorder = recording.compare().await;
    assert!(recorder.stderr.contains("lost the source"), "{}", recorder.stderr);
    assert!(recorder.stderr.contains("the source is back"), "{}", recorder.stderr);
}

/// The primary is cut off from everybody: another node is elected, and the recorder, whose
/// connection still looks open, goes on there.
#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_leaves_a_primary_that_the_network_has_lost() {
    let set = ReplicaSet::three_with_auth().behind_proxies(true).start().await.unwrap();
    let uri = set.uri();
    let mut recording = Recording::start(set, &uri).await;
    let cut_off = recording.set.primary().await.unwrap();
    recording.set.proxy(cut_off).cut();
    // Acknowledged by a majority although the old primary hears of nothing: there is another.
    recording.written(100).await;
    tokio::time::sleep(LONGER).await;
    recording.set.proxy(cut_off).restore();
    recording.set.wait_until_healthy().await.unwrap();
    recording.written(100).await;
    let recorder = recording.compare().await;
    assert!(recorder.stderr.contains("lost the source"), "{}", recorder.stderr);
}
