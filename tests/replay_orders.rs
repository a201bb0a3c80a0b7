//! Goal: whatever keeps its order, however many transactions there are at a time, and whatever becomes
//! of the recorded ones, the target comes out the same, byte for byte.
//!
//! Method: a seeded jumble of what may get in each other's way out of order is recorded: random
//! documents, unique values that change hands, `_id`s that are equal though their types or letters
//! differ, transactions, and collections that come, go and are renamed in between. It is replayed into
//! one target again and again, in each order with each number of workers, and each of both with each
//! way of transactions; each time everything is compared with the source.

mod jumble;

use changetape_testkit::ReplicaSet;
use changetape_testkit::compare::Dump;
use tempfile::tempdir;

use crate::program::{run, text};
use crate::replay_resumed::drop_data;
use jumble::Jumble;

const ORDERS: [&str; 3] = ["document", "namespace", "global"];
const WORKERS: [&str; 3] = ["1", "2", "8"];
const TRANSACTIONS: [&str; 3] = ["atomic", "grouped", "off"];

#[tokio::test(flavor = "multi_thread")]
async fn every_order_with_any_number_of_workers_ends_in_the_same_bytes() {
    let set = || ReplicaSet::single().start();
    let (source, target) = tokio::join!(set(), set());
    let (source, target) = (source.unwrap(), target.unwrap());
    let (from, to) = (source.client().unwrap(), target.client().unwrap());
    let directory = tempdir().unwrap();
    let tape = directory.path().join("jumble.tape");
    let record = ["record", &source.uri(), text(&tape), "--stop-when-idle", "1s"];
    run(&record).expect_code(0);
    let recorded = Jumble::begin(&from, changetape_testkit::seed()).await.run().await;
    run(&record).expect_code(0);

    let expected = Dump::take(&from).await.unwrap();
    for (o, order) in ORDERS.into_iter().enumerate() {
        for (w, workers) in WORKERS.into_iter().enumerate() {
            // Each of three meets each of the others once.
            let how = TRANSACTIONS[(o + w) % TRANSACTIONS.len()];
            let combination =
                ["--order", order, "--workers", workers, "--transactions", how].join(" ");
            let uri = target.uri();
            let mut replay =
                vec!["replay", text(&tape), &uri, "--speed", "max", "--format", "json"];
            replay.extend(combination.split(' '));
            let told = run(&replay).expect_code(0).json();
            assert_eq!(told["adapted"], 0, "{combination}: {told}");
            let applied = if how == "off" { 0 } else { recorded };
            let counted = (&told["transactions"], &told["tornTransactions"]);
            assert_eq!(counted, (&applied.into(), &0.into()), "{combination}: {told}");
            let differences = expected.differences(&Dump::take(&to).await.unwrap());
            assert!(differences.is_empty(), "{combination}: {differences}");
            drop_data(&to).await;
        }
    }
}
