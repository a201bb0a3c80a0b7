//! `replay --verify`: what was just played is compared, no more and no less.

use std::time::Duration;

use bson::doc;

use super::*;
use crate::program::{ran, signal, start};

/// A collection of ten documents, then ten updates of them.
async fn orders() -> Replayed {
    let change = async |client: &Client| {
        let orders = client.database("shop").collection::<Document>("orders");
        orders.insert_many((0..10).map(|n| doc! {"_id": n, "n": 0})).await.unwrap();
        for n in 0..10 {
            orders.update_one(doc! {"_id": n}, doc! {"$set": {"n": n + 1}}).await.unwrap();
        }
    };
    Replayed::start(async |_| {}, change).await
}

impl Replayed {
    /// What a replay with `--verify` tells.
    #[track_caller]
    fn replay_and_verify(&self, code: i32, args: &[&str]) -> Value {
        let (tape, uri) = (self.tape(), self.target.uri());
        let replay = ["replay", text(&tape), &uri, "--speed", "max", "--verify"];
        run(&[&replay[..], args, &["--format", "json"]].concat()).expect_code(code).json()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_compared_as_of_its_end_and_the_rest_with_it() {
    let replayed = orders().await;
    // A create, the inserts, three of the updates.
    let part = ["--resume", "--end", "#14"];
    let told = replayed.replay_and_verify(0, &part);
    let compared = &told["verification"];
    assert_eq!((&compared["same"], &compared["endSeq"]), (&true.into(), &14.into()), "{told}");
    assert_eq!(compared["documents"], 10, "{told}");
    replayed.verify(0, &["--end", "#14"]);
    let whole = replayed.verify(3, &[]);
    assert_eq!(whole["different"], 7, "{whole}");

    // What was applied before is compared along, not only what this replay has applied.
    let told = replayed.replay_and_verify(0, &["--resume"]);
    assert_eq!((&told["startSeq"], &told["delivered"]), (&14.into(), &7.into()), "{told}");
    let compared = &told["verification"];
    assert_eq!((&compared["same"], &compared["startSeq"]), (&true.into(), &0.into()), "{told}");
    assert_eq!(compared["documents"], 10, "{told}");

    // Of events alone, the tape does not say what a document has become that they change.
    let told = replayed.replay_and_verify(0, &["--start", "#20"]);
    let compared = &told["verification"];
    assert_eq!((&compared["documents"], &compared["unknown"]), (&0.into(), &1.into()), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_selection_are_those_of_the_replay() {
    let replayed = orders().await;
    let other = replayed.source.client().unwrap().database("other").collection("left_out");
    other.insert_one(doc! {"_id": 1}).await.unwrap();
    replayed.record();
    let told = replayed.replay_and_verify(0, &["--map-ns", "shop=test_shop", "--include", "shop"]);
    let compared = &told["verification"];
    assert_eq!((&compared["same"], &compared["collections"]), (&true.into(), &1.into()), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_after_a_replay_is_named() {
    let replayed = orders().await;
    let orders = replayed.client().database("shop").collection::<Document>("orders");
    orders.insert_one(doc! {"_id": "stray"}).await.unwrap();
    let told = replayed.replay_and_verify(3, &[]);
    assert_eq!(told["divergent"], 0, "the replay itself noticed nothing: {told}");
    assert_eq!(lines(&told["verification"]), ["shop.orders document \"stray\" extra"], "{told}");

    let (tape, uri) = (replayed.tape(), replayed.target.uri());
    let replay = ["replay", text(&tape), &uri, "--speed", "max", "--verify"];
    let told = run(&replay).expect_code(3).stdout;
    assert!(told.contains("replayed 21 events"), "{told}");
    assert!(told.contains("shop.orders: document \"stray\" is extra"), "{told}");

    // Where more are listed is told by a name that the user can type.
    orders.insert_many((100..160).map(|n| doc! {"_id": n})).await.unwrap();
    let told = run(&replay).expect_code(3).stdout;
    assert!(told.contains("  and 11 more (verify --against … --limit)"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_come_to_its_end_is_not_compared_and_says_so() {
    let replayed = orders().await;
    let (tape, uri) = (replayed.tape(), replayed.target.uri());
    // Years, but for the first event.
    let replay = ["replay", text(&tape), &uri, "--speed", "0.000001x", "--verify"];
    let replay = start(&replay);
    let shop = replayed.client().database("shop");
    while shop.list_collection_names().await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    signal(&replay, "-INT");
    let stopped = ran(replay.wait_with_output().unwrap()).expect_code(130);
    let says = "not compared with the tape: the replay did not come to its end";
    assert!(stopped.stdout.contains(says), "{}", stopped.stdout);

    // Documents cannot be inserted into a view.
    shop.drop().await.unwrap();
    command(&replayed.client(), "shop", doc! {"create": "orders", "viewOn": "none"}).await;
    let replay = ["replay", text(&tape), &uri, "--speed", "max", "--verify"];
    let failed = run(&replay).expect_code(1);
    assert!(failed.stderr.contains("was not compared with the tape"), "{}", failed.stderr);
}

#[test]
fn what_cannot_be_compared_is_refused_before_anything_is_opened() {
    // Neither the tape nor the database is there.
    let database = "mongodb://127.0.0.1:1";
    for (sink, args, says) in [
        ("null:", &[][..], "give a mongodb:// sink"),
        ("-", &[], "give a mongodb:// sink"),
        (database, &["--op", "insert"], "leave out --op"),
        (database, &["--skip-damage"], "leave out --skip-damage"),
    ] {
        let replay = ["replay", "/no/such.tape", sink, "--verify"];
        let refused = run(&[&replay[..], args].concat()).expect_code(2);
        assert!(refused.sentence().contains(says), "{sink} {args:?}: {}", refused.stderr);
    }
}
