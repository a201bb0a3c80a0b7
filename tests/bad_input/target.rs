//! Targets that cannot be reached, or go away in the middle of a replay.

use std::process::Child;
use std::time::Duration;

use bson::doc;
use changetape_testkit::compare::Dump;
use changetape_testkit::workload::{OrderShop, Pace};
use changetape_testkit::{ReplicaSet, ReplicaSetBuilder};
use tempfile::{TempDir, tempdir};

use super::{SECRET, SOON};
use crate::program::{ran, run, start, text};
use crate::watched::until;

/// A tape of a shop's trade of some seconds.
async fn recorded(source: &ReplicaSet) -> TempDir {
    let directory = tempdir().unwrap();
    let tape = directory.path().join("shop.tape");
    let uri = source.uri();
    let args = ["record", &uri, text(&tape), "--stop-when-idle", "1s"];
    run(&args).expect_code(0);
    let shop = OrderShop::new(changetape_testkit::seed()).steps(300);
    shop.pace(Pace::Over(Duration::from_secs(4))).run(&source.client().unwrap()).await.unwrap();
    run(&args).expect_code(0);
    directory
}

/// A target whose primary executes some commands, as many as two transactions have, and lets the
/// next ones wait: a replay is in the middle when it goes away, however slow this test is.
async fn slow(target: ReplicaSetBuilder) -> ReplicaSet {
    let target = target.set_parameter("enableTestCommands", "1").start().await.unwrap();
    let wait = doc! {
        "configureFailPoint": "failCommand",
        "mode": {"skip": 12},
        "data": {
            "failCommands": ["insert", "update", "delete", "commitTransaction"],
            "blockConnection": true,
            "blockTimeMS": 600_000,
        },
    };
    target.client().unwrap().database("admin").run_command(wait).await.unwrap();
    target
}

/// Waits until the replay has applied something, and waits itself: not for a collection or an index,
/// which may take its time.
async fn until_it_has_begun(replay: &mut Child, target: &ReplicaSet) {
    let shop = target.client().unwrap().database("shop");
    let customers = shop.collection::<bson::Document>("customers");
    until("begun", async || {
        let applied = customers.find_one(doc! {}).await.unwrap();
        let ended = replay.try_wait().unwrap();
        assert!(applied.is_some() || ended.is_none(), "the replay ended by itself: {ended:?}");
        applied.ok_or("nothing is applied")
    })
    .await;
    let entered = doc! {
        "waitForFailPoint": "failCommand", "timesEntered": 1, "maxTimeMS": 90_000,
    };
    target.client().unwrap().database("admin").run_command(entered).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_loses_its_primary_is_waited_for() {
    let source = ReplicaSet::single().start().await.unwrap();
    let directory = recorded(&source).await;
    let tape = directory.path().join("shop.tape");
    let mut target = slow(ReplicaSet::three_with_auth()).await;

    // An election may take long on a busy machine.
    let mut replay = start(&["replay", text(&tape), &target.uri(), "--max-outage", "10m"]);
    until_it_has_begun(&mut replay, &target).await;
    let primary = target.primary().await.unwrap();
    target.kill(primary);
    let ended = tokio::task::spawn_blocking(move || ran(replay.wait_with_output().unwrap()));
    let ended = ended.await.unwrap().expect_code(0);
    assert!(ended.stderr.contains("the target is away, waiting for it"), "{}", ended.stderr);

    target.restart(primary).await.unwrap();
    target.wait_until_healthy().await.unwrap();
    let expected = Dump::take(&source.client().unwrap()).await.unwrap();
    let found = Dump::take(&target.client().unwrap()).await.unwrap();
    let differences = expected.differences(&found);
    assert!(differences.is_empty(), "{differences}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_stays_away_ends_the_replay_with_a_sequence_number() {
    let source = ReplicaSet::single().start().await.unwrap();
    let directory = recorded(&source).await;
    let tape = directory.path().join("shop.tape");
    let mut target = slow(ReplicaSet::single()).await;

    // The driver would wait for ten minutes.
    let uri = format!("{}&serverSelectionTimeoutMS=600000", target.uri());
    let mut replay = start(&["replay", text(&tape), &uri, "--max-outage", "10s"]);
    until_it_has_begun(&mut replay, &target).await;
    target.kill(0);
    let ended = tokio::task::spawn_blocking(move || ran(replay.wait_with_output().unwrap()));
    let ended = ended.await.unwrap().expect_code(1);
    let sentence = ended.sentence();
    let reached = sentence.split('#').nth(1).expect(sentence);
    let reached: String = reached.chars().take_while(char::is_ascii_digit).collect();
    assert!(reached.parse::<u64>().unwrap() > 0, "{sentence}");
    // As long as it was told to wait, and not as long as the driver would, or by default.
    let waited = sentence.split("away for ").nth(1).and_then(|rest| rest.split(' ').next());
    let waited: u64 = waited.expect(sentence).parse().unwrap();
    assert!((10..60).contains(&waited), "{sentence}");

    // Up to there the target is right: going on from there makes it whole.
    target.restart(0).await.unwrap();
    target.wait_until_healthy().await.unwrap();
    let from = format!("#{reached}");
    run(&["replay", text(&tape), &target.uri(), "--speed", "max", "--start", &from]).expect_code(0);
    let expected = Dump::take(&source.client().unwrap()).await.unwrap();
    let found = Dump::take(&target.client().unwrap()).await.unwrap();
    let differences = expected.differences(&found);
    assert!(differences.is_empty(), "{differences}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_cannot_be_reached_is_a_failure_and_one_that_cannot_be_read_a_mistake() {
    let source = ReplicaSet::single().start().await.unwrap();
    let directory = tempdir().unwrap();
    let tape = directory.path().join("empty.tape");
    run(&["record", &source.uri(), text(&tape), "--stop-when-idle", "1s"]).expect_code(0);
    for (rest, code, said) in [
        (format!("127.0.0.1:1/?{SOON}").as_str(), 1, "127.0.0.1:1: connection refused"),
        ("127.0.0.1/?tls=maybe", 2, "the connection string cannot be used"),
    ] {
        let uri = format!("mongodb://anna:{SECRET}@{rest}");
        let ran = run(&["replay", text(&tape), &uri]).expect_code(code);
        assert!(ran.sentence().contains(said), "{}", ran.stderr);
        assert!(!ran.stderr.contains(SECRET), "the password is shown: {}", ran.stderr);
    }
}
