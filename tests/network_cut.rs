//! Goal: a network that goes silent, for longer than any of the driver's timeouts, costs a
//! recorder nothing but time: no event, none twice, and no end of the recording.
//!
//! Method: three nodes with authentication, writers that insert numbered documents with
//! majority write concern, and proxies that let nothing through while they are cut and tell
//! nobody (see the testkit's `Proxy`). The driver's timeouts are set to a second each, so that
//! "longer" is not minutes. The tape must equal the stream read afterwards, byte for byte.

use std::time::Duration;

use changetape_testkit::{Proxy, ReplicaSet};
use mongodb::Client;
use tempfile::tempdir;

use crate::numbers::{self, Writers};
use crate::program::{Ran, ran, start, tape_events, text};
use crate::stream;

/// The driver takes a server for lost after the two together; looking for another takes as long
/// as the third.
const TIMEOUTS: &str =
    "connectTimeoutMS=1000&heartbeatFrequencyMS=1000&serverSelectionTimeoutMS=1000";

/// Several times what the driver waits, and several retries.
const LONGER: Duration = Duration::from_secs(8);

/// A set, writers at work and a recorder of it, until the tape is compared.
struct Recording {
    set: ReplicaSet,
    begin: bson::Timestamp,
    directory: tempfile::TempDir,
    recorder: std::process::Child,
    writers: Writers,
}

impl Recording {
    /// Starts writers of the set and a recorder that reaches it by `uri`.
    async fn start(set: ReplicaSet, uri: &str) -> Self {
        // Writers must not be slower than the recorder to find another primary, or the
        // recorder takes the source for idle.
        let client = Client::with_uri_str(format!("{}&{TIMEOUTS}", set.uri())).await.unwrap();
        let begin = stream::present(&client).await;
        let directory = tempdir().unwrap();
        let tape = directory.path().join("cut.tape");
        let since = stream::since(begin);
        let uri = format!("{uri}&{TIMEOUTS}");
        let args = ["record", &uri, text(&tape), "--since", &since, "--stop-when-idle", "15s"];
        let recorder = start(&args);
        let mut writers = Writers::start(&client).await;
        writers.written(50).await;
        Self { set, begin, directory, recorder, writers }
    }

    /// Ends the writers, waits for the recorder's end and compares; returns what it printed.
    async fn compare(self) -> Ran {
        let last = self.writers.stop().await;
        let recorder = self.recorder;
        let ending = tokio::task::spawn_blocking(move || ran(recorder.wait_with_output().unwrap()));
        let recorder = ending.await.unwrap().expect_code(0);
        let client = self.set.client().unwrap();
        let expected = stream::read(&client, stream::raw_and_expanded(), self.begin).await;
        let events = tape_events(&self.directory.path().join("cut.tape"));
        stream::assert_same(&events, &expected);
        numbers::check(&events, &last);
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
        // The writers are not cut off: there is something to be lost.
        recording.writers.written(50).await;
        proxy.restore();
        recording.writers.written(50).await;
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
    recording.writers.written(50).await;
    tokio::time::sleep(LONGER).await;
    recording.set.proxy(cut_off).restore();
    recording.set.wait_until_healthy().await.unwrap();
    recording.writers.written(50).await;
    let recorder = recording.compare().await;
    assert!(recorder.stderr.contains("lost the source"), "{}", recorder.stderr);
}
