//! Goal: a replay that is killed at any moment goes on where it was, and ends in the same bytes.
//!
//! Method: a tape of seeded workloads is replayed with `--resume` and killed with SIGKILL a random
//! time after it has applied something, again and again until it comes to its end; then the target
//! is compared with the source, emptied, and replayed into once more, until there were enough kills.
//! It plays in time, so that it is killed between many small transactions, and in them; some were
//! recorded as such.

use std::path::Path;
use std::time::Duration;

use bson::{Document, doc};
use changetape_testkit::ReplicaSet;
use changetape_testkit::compare::Dump;
use changetape_testkit::workload::{OrderShop, RandomDocuments};
use mongodb::Client;
use serde_json::json;
use tempfile::{TempDir, tempdir};

use crate::by_hand::{Taped, insert};
use crate::program::{ran, run, start, text};
use crate::replay_transactions::bank::Bank;
use crate::watched::until;

const KILLS: u32 = 100;

/// A replay is killed at most so long after it has applied something.
const LONGEST_LIFE_MILLIS: u64 = 100;

/// A source on which something happened, and its tape.
async fn recorded(seed: u64) -> (ReplicaSet, TempDir) {
    let source = ReplicaSet::single().start().await.unwrap();
    let directory = tempdir().unwrap();
    let tape = directory.path().join("shop.tape");
    let record = ["record", &source.uri(), text(&tape), "--stop-when-idle", "1s"];
    run(&record).expect_code(0);
    let client = source.client().unwrap();
    OrderShop::new(seed).steps(300).run(&client).await.unwrap();
    RandomDocuments::new(seed).operations(1_500).run(&client).await.unwrap();
    Bank::open(&client, seed).await.move_money(50).await;
    run(&record).expect_code(0);
    (source, directory)
}

fn replay<'a>(tape: &'a Path, target: &'a str, speed: &'a str) -> Vec<&'a str> {
    vec!["replay", text(tape), target, "--resume", "--speed", speed, "--format", "json"]
}

/// Where a replay would go on.
async fn next(target: &Client) -> i64 {
    let progress = target.database("changetape").collection::<bson::Document>("progress");
    let found = progress.find_one(doc! {}).await.unwrap();
    found.map_or(0, |found| found.get_i64("next").unwrap())
}

/// Drops what was replayed into a deployment, and not what it keeps of replays.
pub(crate) async fn drop_data(target: &Client) {
    for db in target.list_database_names().await.unwrap() {
        if !["admin", "config", "local", "changetape"].contains(&db.as_str()) {
            target.database(&db).drop().await.unwrap();
        }
    }
}

/// A source may have been a target once.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_target_kept_is_not_replayed() {
    let former = ReplicaSet::single().start().await.unwrap();
    let client = former.client().unwrap();
    let other = Taped::of(&[insert("orders", doc! {"_id": 1}), insert("orders", doc! {"_id": 2})]);
    other.run(&former.uri(), &["--resume"]).expect_code(0);
    let directory = tempdir().unwrap();
    let tape = directory.path().join("former.tape");
    let uri = former.uri();
    let record = ["record", &uri, text(&tape), "--snapshot", "--stop-when-idle", "1s"];
    run(&record).expect_code(0);
    client.database("changetape").drop().await.unwrap();
    client.database("shop").collection("orders").insert_one(doc! {"_id": 3}).await.unwrap();
    run(&record).expect_code(0);

    let target = ReplicaSet::single().start().await.unwrap();
    let uri = target.uri();
    other.run(&uri, &["--resume"]).expect_code(0);
    let replay = ["replay", text(&tape), &uri, "--speed", "max", "--base", "--drop", "--verify"];
    run(&replay).expect_code(0);
    run(&["verify", text(&tape), "--against", &uri]).expect_code(0);
    let told = run(&["replay", text(&tape), &uri, "--dry-run", "--format", "json"]).json();
    assert_eq!(told["namespaces"], json!({"shop.orders": 1}), "{told}");
    let kept = target.client().unwrap().database("changetape").collection::<Document>("progress");
    assert_eq!(kept.count_documents(doc! {}).await.unwrap(), 1, "what is kept of the other tape");
    assert_eq!(other.run(&uri, &["--resume"]).expect_code(0).json()["startSeq"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_killed_at_random_ends_in_the_same_bytes() {
    let seed = changetape_testkit::seed();
    let mut rng = fastrand::Rng::with_seed(seed);
    let (source, directory) = recorded(seed).await;
    let tape = directory.path().join("shop.tape");
    let expected = Dump::take(&source.client().unwrap()).await.unwrap();
    // What a killed replay had not committed the server ends then; a minute would be long here.
    let target = ReplicaSet::single().set_parameter("transactionLifetimeLimitSeconds", "1");
    let target = target.start().await.unwrap();
    let (client, uri) = (target.client().unwrap(), target.uri());
    let (mut kills, mut rounds) = (0, 0);
    while kills < KILLS {
        let mut reached = 0;
        loop {
            let mut replay = start(&replay(&tape, &uri, "2x"));
            let ended = until("applied", async || {
                let status = replay.try_wait().unwrap();
                let now = next(&client).await;
                assert!(now >= reached, "from {reached} back to {now}");
                if status.is_some() || now > reached { Ok(status) } else { Err(now) }
            });
            if ended.await.is_some() {
                ran(replay.wait_with_output().unwrap()).expect_code(0);
                break;
            }
            tokio::time::sleep(Duration::from_millis(rng.u64(0..LONGEST_LIFE_MILLIS))).await;
            replay.kill().unwrap();
            replay.wait().unwrap();
            kills += 1;
            reached = next(&client).await;
        }
        rounds += 1;
        client.database("changetape").drop().await.unwrap();
        let differences = expected.differences(&Dump::take(&client).await.unwrap());
        assert!(differences.is_empty(), "after {kills} kills: {differences}");
        drop_data(&client).await;
    }
    println!("{kills} kills in {rounds} replays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_goes_on_where_it_ended_and_with_nothing_else() {
    let (_source, directory) = recorded(7).await;
    let tape = directory.path().join("shop.tape");
    let target = ReplicaSet::single().start().await.unwrap();
    let uri = target.uri();
    let part =
        run(&[&replay(&tape, &uri, "max")[..], &["--end", "#200"]].concat()).expect_code(0).json();
    assert_eq!(part["delivered"], 200, "{part}");
    assert_eq!(next(&target.client().unwrap()).await, 200);

    let other =
        run(&[&replay(&tape, &uri, "max")[..], &["--include", "shop"]].concat()).expect_code(2);
    let sentence =
        "from the same tape with \"everything\", and this replay is of \"--include shop.*\"";
    assert!(other.stderr.contains(sentence), "{}", other.stderr);
    let printed = run(&["replay", text(&tape), "null:", "--resume"]).expect_code(2);
    assert!(printed.stderr.contains("--resume needs a database"), "{}", printed.stderr);

    let rest = run(&replay(&tape, &uri, "max")).expect_code(0).json();
    assert_eq!(rest["startSeq"], 200, "{rest}");
    assert_eq!(rest["adapted"], 0, "nothing is applied twice: {rest}");
    let again = run(&replay(&tape, &uri, "max")).expect_code(0).json();
    assert_eq!(again["delivered"], 0, "{again}");
    // Nor does one of an earlier part set it back.
    run(&[&replay(&tape, &uri, "max")[..], &["--end", "#200"]].concat()).expect_code(0);
    assert_eq!(again["endSeq"], next(&target.client().unwrap()).await);
}

/// What had nothing to apply was dealt with all the same: it may be dropped from the tape.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_selects_nothing_has_come_to_the_end() {
    let (_source, directory) = recorded(7).await;
    let tape = directory.path().join("shop.tape");
    let target = ReplicaSet::single().start().await.unwrap();
    let uri = target.uri();
    let nothing = ["--include", "nothing.there"];
    let told = run(&[&replay(&tape, &uri, "max")[..], &nothing].concat()).expect_code(0).json();
    assert_eq!(told["delivered"], 0, "{told}");
    assert!(told["endSeq"].as_i64().unwrap() > 1_000, "{told}");
    assert_eq!(told["endSeq"], next(&target.client().unwrap()).await);
}

/// What is applied without keeping it makes what was kept before it untrue.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_without_it_makes_the_target_forget() {
    let (source, directory) = recorded(7).await;
    let tape = directory.path().join("shop.tape");
    let target = ReplicaSet::single().start().await.unwrap();
    let (client, uri) = (target.client().unwrap(), target.uri());
    let part = |end, more: &[&str]| {
        let replay = ["replay", text(&tape), &uri, "--speed", "max", "--end", end];
        run(&[&replay[..], more].concat()).expect_code(0)
    };
    part("#1000", &["--resume"]);
    assert_eq!(next(&client).await, 1000);
    // The same documents are now those of an earlier moment.
    drop_data(&client).await;
    part("#200", &[]);
    assert_eq!(next(&client).await, 0);
    run(&replay(&tape, &uri, "max"));
    client.database("changetape").drop().await.unwrap();
    let expected = Dump::take(&source.client().unwrap()).await.unwrap();
    let differences = expected.differences(&Dump::take(&client).await.unwrap());
    assert!(differences.is_empty(), "{differences}");
}

/// One of them sees that the other has changed what it has kept, and ends.
#[tokio::test(flavor = "multi_thread")]
async fn two_replays_that_go_on_at_the_same_time_are_kept_apart() {
    let (source, directory) = recorded(7).await;
    let tape = directory.path().join("shop.tape");
    let target = ReplicaSet::single().start().await.unwrap();
    let (client, uri) = (target.client().unwrap(), target.uri());
    let mut slow = start(&replay(&tape, &uri, "0.2x"));
    until("applied", async || {
        assert!(slow.try_wait().unwrap().is_none());
        let next = next(&client).await;
        if next > 0 { Ok(()) } else { Err(next) }
    })
    .await;
    let quick = run(&replay(&tape, &uri, "max"));
    let slow = ran(slow.wait_with_output().unwrap());
    let (whole, other) = if quick.code == Some(0) { (quick, slow) } else { (slow, quick) };
    whole.expect_code(0);
    let other = other.expect_code(1);
    assert!(other.sentence().contains("another replay of the tape goes on there"), "{other:?}");
    client.database("changetape").drop().await.unwrap();
    let expected = Dump::take(&source.client().unwrap()).await.unwrap();
    let differences = expected.differences(&Dump::take(&client).await.unwrap());
    assert!(differences.is_empty(), "{differences}");
}
