//! Goal: a connection that goes silent alone, while the server can be reached by all others, costs
//! a recording nothing but the time that an answer is waited for, whatever was asked by it.
//!
//! Method: a real server behind a proxy that silences a connection by the command that it carries;
//! the driver's monitor notices nothing. A deployment with less patience than a user's, so that it
//! ends within seconds.

#![allow(clippy::unwrap_used, reason = "a test says what it expects, and a panic is how it fails")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::doc;
use changetape_deployment::Deployment;
use changetape_recorder::{
    Ending, Error, Limits, Progress, RecordOptions, State, Summary, TakeBase, record,
};
use changetape_testkit::{Proxy, ReplicaSet, Silenced};
use tempfile::tempdir;
use tokio_util::sync::CancellationToken;

/// How long an answer is waited for. A server that is slower than that is only asked again.
const PATIENCE: Duration = Duration::from_secs(3);

/// A server, and the way to it.
async fn source() -> (ReplicaSet, Proxy, Deployment) {
    let source = ReplicaSet::single().start().await.unwrap();
    let coll = source.client().unwrap().database("shop").collection("orders");
    coll.insert_one(doc! {"_id": 0}).await.unwrap();
    let proxy = Proxy::start(source.port(0)).await.unwrap();
    let uri = format!("mongodb://127.0.0.1:{}/?directConnection=true", proxy.port());
    let deployment = Deployment::connect(&uri).await.unwrap().with_patience(PATIENCE);
    (source, proxy, deployment)
}

async fn run(
    deployment: &Deployment,
    tape: &Path,
    options: &RecordOptions,
    progress: &Arc<Progress>,
) -> Result<Summary, Error> {
    let stop = CancellationToken::new();
    record(deployment, tape, options, Arc::clone(progress), &stop).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_does_not_open_or_read_on_is_opened_again() {
    let (source, proxy, deployment) = source().await;
    let coll = source.client().unwrap().database("shop").collection("orders");
    let directory = tempdir().unwrap();
    let tape = directory.path().join("orders.tape");
    let limits = Limits { count: Some(1), ..Limits::default() };
    let options = RecordOptions { limits, ..RecordOptions::default() };
    let progress = Arc::new(Progress::default());

    proxy.silence("$changeStream", Silenced::Next);
    let (recorded, ()) = tokio::join!(run(&deployment, &tape, &options, &progress), async {
        proxy.silenced(1).await;
        while progress.snapshot().state != State::Recording {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // It is open now: this is when it reads on, and opens again.
        proxy.silence("$changeStream", Silenced::Next);
        proxy.silence("getMore", Silenced::Next);
        proxy.silenced(3).await;
        coll.insert_one(doc! {"_id": 1}).await.unwrap();
    });
    let summary = recorded.unwrap();
    assert_eq!((summary.events, summary.ending), (1, Ending::Count));
    assert!(progress.snapshot().retries >= 2, "{:?}", progress.snapshot());
}

/// A driver that makes two connections at a time would wait for the two that died.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_die_in_their_handshake_are_not_in_the_way_of_others() {
    let source = ReplicaSet::three_with_auth().start().await.unwrap();
    let proxy = Proxy::start(source.port(0)).await.unwrap();
    let uri = source.uri();
    let (login, _) = uri.split_once('@').unwrap();
    let uri = format!("{login}@127.0.0.1:{}/?directConnection=true", proxy.port());
    let deployment = Deployment::connect(&uri).await.unwrap().with_patience(PATIENCE);
    proxy.silence("$changeStream", Silenced::Next);
    // Not sent by the driver's monitor.
    proxy.silence("speculativeAuthenticate", Silenced::Next);
    proxy.silence("speculativeAuthenticate", Silenced::Next);
    let limits = Limits {
        idle: Some(Duration::from_millis(1)),
        duration: Some(Duration::from_secs(120)),
        ..Limits::default()
    };
    let options = RecordOptions { limits, ..RecordOptions::default() };
    let directory = tempdir().unwrap();
    let tape = directory.path().join("orders.tape");
    let summary = run(&deployment, &tape, &options, &Arc::default()).await.unwrap();
    assert_eq!(summary.ending, Ending::Idle);
    proxy.silenced(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_is_taken_again_whatever_had_no_answer() {
    let (_source, proxy, deployment) = source().await;
    let directory = tempdir().unwrap();
    let limits = Limits { idle: Some(Duration::from_millis(1)), ..Limits::default() };
    let options = RecordOptions { base: TakeBase::First, limits, ..RecordOptions::default() };
    let asked =
        ["getParameter", "listDatabases", "listCollections", "listIndexes", "count", "ping"];
    let asked = [&asked[..], &["singleBatch", "atClusterTime"]].concat();
    for (number, command) in (1..).zip(asked) {
        proxy.silence(command, Silenced::Next);
        let tape = directory.path().join(format!("{command}.tape"));
        let summary = run(&deployment, &tape, &options, &Arc::default()).await.unwrap();
        assert_eq!(summary.base.unwrap().documents, 1, "{command}");
        proxy.silenced(number).await;
    }
}

/// What is asked for next counts as getting on: only what stands still for longer is unwell.
#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_never_has_an_answer_says_so_and_stands_still_for_one() {
    let (_source, proxy, deployment) = source().await;
    let directory = tempdir().unwrap();
    let tape = directory.path().join("orders.tape");
    let options = RecordOptions { base: TakeBase::First, ..RecordOptions::default() };
    let progress = Arc::new(Progress::default());
    proxy.silence("getParameter", Silenced::Every);
    proxy.silence("listDatabases", Silenced::Every);
    let started = Instant::now();
    let error = run(&deployment, &tape, &options, &progress).await.unwrap_err();
    let standstill = progress.snapshot().base.standstill;
    let elapsed = started.elapsed();
    assert!(matches!(error, Error::NoBase { .. }), "{error}");
    assert!(error.to_string().contains("no answer within 3 s"), "{error}");
    proxy.silenced(10).await;
    // Nine answers, and the pauses between attempts, are behind what is asked for last.
    assert!(standstill + 9 * PATIENCE + Duration::from_secs(15) <= elapsed, "{standstill:?}");
}
