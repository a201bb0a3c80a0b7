//! Goal: a network that goes silent, for longer than any of the driver's timeouts, costs a
//! recorder nothing but time: no event, none twice, and no end of the recording, unless it is told.
//!
//! Method: three nodes with authentication, writers that insert numbered documents with
//! majority write concern, and proxies that let nothing through while they are cut and tell
//! nobody (see the testkit's `Proxy`). The driver's timeouts are set to seconds, so that "longer" is
//! not minutes. The tape must equal the stream read afterwards, byte for byte.

use changetape_testkit::{Proxy, ReplicaSet, Silenced};
use mongodb::Client;
use tempfile::tempdir;

use crate::numbers::{self, Writers};
use crate::program::{Ran, ran, signal, start, text};
use crate::stream;
use crate::watched::{Figures, Recorder};

/// The driver takes a server for lost after the two together; looking for another takes as long
/// as the third, and so may looking for the first on a busy machine.
const TIMEOUTS: &str =
    "connectTimeoutMS=2000&heartbeatFrequencyMS=1000&serverSelectionTimeoutMS=5000";

/// The second attempt to open the stream again is made after every one of these is over.
const RETRIES: f64 = 2.0;

/// A set, writers at work and a recorder of it, until the tape is compared.
struct Recording {
    set: ReplicaSet,
    begin: bson::Timestamp,
    directory: tempfile::TempDir,
    recorder: Recorder,
    writers: Writers,
}

impl Recording {
    /// Starts writers of the set and a recorder that reaches it by `uri`.
    async fn start(set: ReplicaSet, uri: &str) -> Self {
        let client = Client::with_uri_str(format!("{}&{TIMEOUTS}", set.uri())).await.unwrap();
        let begin = stream::present(&client).await;
        let directory = tempdir().unwrap();
        let tape = directory.path().join("cut.tape");
        let since = stream::since(begin);
        let uri = format!("{uri}&{TIMEOUTS}");
        let recorder = Recorder::start(&uri, &tape, &["--since", &since]);
        let mut writers = Writers::start(&client).await;
        writers.written(50).await;
        // One that does not read yet loses nothing.
        recorder.until_recording();
        Self { set, begin, directory, recorder, writers }
    }

    /// Ends it and compares; returns what the recorder printed.
    async fn compare(self) -> Ran {
        let client = self.set.client().unwrap();
        let tape = self.directory.path().join("cut.tape");
        numbers::end_and_compare(self.writers, self.recorder, &client, self.begin, &tape).await
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
        let retries = recording.recorder.until_recording()["retries_total"];
        proxy.cut();
        let vain = |figures: &Figures| figures["retries_total"] >= retries + RETRIES;
        recording.recorder.until("retrying in vain", vain);
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
    recording.recorder.until("elsewhere", |figures| figures["reconnects_total"] >= 1.0);
    recording.set.proxy(cut_off).restore();
    recording.set.wait_until_healthy().await.unwrap();
    recording.writers.written(50).await;
    let recorder = recording.compare().await;
    assert!(recorder.stderr.contains("lost the source"), "{}", recorder.stderr);
}

/// Only the connections that would open the stream are silent: nothing but patience notices.
#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_whose_stream_does_not_open_can_be_ended() {
    let set = ReplicaSet::single().start().await.unwrap();
    let proxy = Proxy::start(set.port(0)).await.unwrap();
    let uri = format!("mongodb://127.0.0.1:{}/?directConnection=true", proxy.port());
    let directory = tempdir().unwrap();
    let tape = directory.path().join("silent.tape");
    let record = ["record", &uri, text(&tape)];

    proxy.silence("$changeStream", Silenced::Every);
    let recorder = start(&[&record[..], &["--duration", "1s"]].concat());
    let ran = end(recorder).await.expect_code(1);
    assert!(ran.sentence().contains("had not opened the change stream after 10 s"), "{ran:?}");

    let recorder = start(&record);
    proxy.silenced(2).await;
    signal(&recorder, "-INT");
    end(recorder).await.expect_code(130);
    assert!(!tape.exists());

    // What finds out whether the stream can be had begins at the present; what follows the base
    // begins at its time.
    proxy.restore();
    proxy.silence("startAtOperationTime", Silenced::Every);
    let recorder = Recorder::start(&uri, &tape, &["--snapshot"]);
    proxy.silenced(3).await;
    // Neither recording nor at its base any more: what is wrong can be told from the outside.
    let opening = |figures: &Figures| figures["state{state=\"opening\"}"] > 0.5;
    let figures = recorder.until("opening the stream", opening);
    assert!(!figures.contains_key("base_standstill_seconds"), "{figures:?}");
    let ran = recorder.stop().expect_code(130);
    assert!(ran.sentence().contains("before the change stream was open"), "{ran:?}");
    assert!(tape.exists());
}

/// Waits for a recorder's end while the proxies go on.
async fn end(recorder: std::process::Child) -> Ran {
    let ending = tokio::task::spawn_blocking(move || ran(recorder.wait_with_output().unwrap()));
    ending.await.unwrap()
}
