//! Goal: what was one transaction is one on the target too: whoever reads there sees all of it or
//! nothing.
//!
//! Method: money is moved between the collections of a bank in transactions, and recorded. A reader
//! adds it all up on the target, at one moment each time, while a replay runs, and also while the
//! server holds one of the replay's commits for as long as it takes to look. What the replay makes of
//! transactions with missing documents, refused ones, new collections and great size is looked at
//! after it.

pub(crate) mod bank;
mod lost;
mod seen;

use std::path::{Path, PathBuf};
use std::process::Child;

use bson::{Document, doc};
use changetape_testkit::compare::Dump;
use changetape_testkit::{ReplicaSet, Standalone};
use mongodb::Client;
use tempfile::{TempDir, tempdir};

use crate::hold::{Hold, can_hold};
use crate::program::{Ran, ran, run, start, text};
use crate::watched::until;
use bank::Bank;
use seen::Seen;

/// A source, and a tape of it.
struct Recording {
    source: ReplicaSet,
    client: Client,
    directory: TempDir,
}

impl Recording {
    /// Of a source on which nothing has happened yet.
    async fn begin() -> Self {
        let source = ReplicaSet::single().start().await.unwrap();
        let client = source.client().unwrap();
        let recording = Self { source, client, directory: tempdir().unwrap() };
        recording.catch_up();
        recording
    }

    fn tape(&self) -> PathBuf {
        self.directory.path().join("bank.tape")
    }

    fn catch_up(&self) {
        let tape = self.tape();
        run(&["record", &self.source.uri(), text(&tape), "--stop-when-idle", "1s"]).expect_code(0);
    }

    /// Fails the test unless both hold the same.
    async fn compare(&self, target: &Client) {
        let source = Dump::take(&self.client).await.unwrap();
        let differences = source.differences(&Dump::take(target).await.unwrap());
        assert!(differences.is_empty(), "{differences}");
    }
}

fn replay<'a>(tape: &'a Path, target: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["replay", text(tape), target, "--speed", "max", "--format", "json"], more].concat()
}

/// Replays while somebody reads, at least once before it ends; what was seen, and what the replay says.
async fn seen_during(recording: &Recording, target: &ReplicaSet, more: &[&str]) -> (Seen, Ran) {
    let client = target.client().unwrap();
    let Held { mut replay, hold } = Held::start(recording, target, 0, more).await;
    let mut seen = Seen::at(&client).await;
    hold.end().await;
    while replay.try_wait().unwrap().is_none() {
        seen.look(&client).await;
    }
    (seen, ran(replay.wait_with_output().unwrap()).expect_code(0))
}

/// A replay of which a commit is held, behind so many that are not.
struct Held {
    replay: Child,
    hold: Hold,
}

impl Held {
    async fn start(
        recording: &Recording,
        target: &ReplicaSet,
        let_through: i32,
        more: &[&str],
    ) -> Self {
        let skipping = doc! {"skip": let_through};
        let client = target.client().unwrap();
        let hold = Hold::begin(&client, "hangBeforeCommitingTxn", skipping, doc! {}).await;
        let tape = recording.tape();
        let replay = start(&replay(&tape, &target.uri(), more));
        hold.reached().await;
        Self { replay, hold }
    }

    /// Lets it go on to its end.
    async fn end(self) -> Ran {
        self.hold.end().await;
        let ended = tokio::task::spawn_blocking(|| self.replay.wait_with_output().unwrap());
        ran(ended.await.unwrap()).expect_code(0)
    }
}

async fn target() -> ReplicaSet {
    can_hold(ReplicaSet::single()).start().await.unwrap()
}

/// How many transactions a server has committed.
async fn committed(client: &Client) -> i64 {
    let status = client.database("admin").run_command(doc! {"serverStatus": 1}).await.unwrap();
    status.get_document("transactions").unwrap().get_i64("totalCommitted").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_all_of_a_transaction_or_nothing() {
    let recording = Recording::begin().await;
    let mut bank = Bank::open(&recording.client, changetape_testkit::seed()).await;
    bank.move_money(200).await;
    recording.catch_up();
    let mut took = Vec::new();
    for how in ["atomic", "grouped"] {
        let target = target().await;
        let client = target.client().unwrap();
        let more = ["--transactions", how];
        let (seen, ran) = seen_during(&recording, &target, &more).await;
        assert!(seen.times > 0 && seen.broken == 0, "{how}: {seen:?}");
        let told = ran.json();
        assert_eq!((&told["transactions"], &told["tornTransactions"]), (&201.into(), &0.into()));
        recording.compare(&client).await;
        took.push(committed(&client).await);
    }
    assert!(took[0] >= 201 && took[1] < 50, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_in_the_middle_of_it_sees_a_part_only_where_that_was_asked_for() {
    let recording = Recording::begin().await;
    let mut bank = Bank::open(&recording.client, changetape_testkit::seed()).await;
    bank.move_money(50).await;
    recording.catch_up();
    for (how, let_through) in [("atomic", 0), ("atomic", 1), ("atomic", 37), ("grouped", 0)] {
        let target = target().await;
        let more = ["--transactions", how];
        let held = Held::start(&recording, &target, let_through, &more).await;
        let seen = Seen::at(&target.client().unwrap()).await;
        assert_eq!(seen.broken, 0, "{how} {let_through}: {seen:?}");
        held.end().await;
    }
    // Two transactions share what they do: one of them comes to be there, and not the other.
    let target = target().await;
    let client = target.client().unwrap();
    let held = Held::start(&recording, &target, 1, &["--transactions", "off"]).await;
    until("seen", async || {
        let seen = Seen::at(&client).await;
        if seen.broken == 0 { Err(seen) } else { Ok(()) }
    })
    .await;
    assert_eq!(held.end().await.json()["transactions"], 0);
    recording.compare(&client).await;
}

/// More than is held in memory, and more than a window.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_transaction_is_read_from_the_tape_and_still_one() {
    let recording = Recording::begin().await;
    let mut bank = Bank::open(&recording.client, 1).await;
    bank.move_with_papers(12, 1 << 20).await;
    bank.move_with_papers(9_000, 1).await;
    recording.catch_up();
    for (let_through, papers) in [(1, 0), (2, 12)] {
        let target = target().await;
        let client = target.client().unwrap();
        let held = Held::start(&recording, &target, let_through, &[]).await;
        let seen = Seen::at(&client).await;
        assert_eq!((seen.broken, seen.papers), (0, papers), "{let_through}");
        assert_eq!(held.end().await.json()["transactions"], 3);
        recording.compare(&client).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_may_create_collections() {
    let recording = Recording::begin().await;
    let mut bank = Bank::open(&recording.client, 1).await;
    bank.move_into_new("pensions").await;
    recording.catch_up();
    let target = target().await;
    for how in ["atomic", "grouped"] {
        let tape = recording.tape();
        let told = run(&replay(&tape, &target.uri(), &["--transactions", how])).expect_code(0);
        assert_eq!(told.json()["transactions"], 2, "{}", told.stdout);
        recording.compare(&target.client().unwrap()).await;
    }
}

/// A bank on a target with its first transaction applied, and a tape that goes on.
async fn behind_the_first() -> (Recording, ReplicaSet, Document) {
    let recording = Recording::begin().await;
    let mut bank = Bank::open(&recording.client, 1).await;
    recording.catch_up();
    let target = target().await;
    let tape = recording.tape();
    run(&replay(&tape, &target.uri(), &["--resume"])).expect_code(0);
    let moved = bank.move_money(1).await;
    recording.catch_up();
    (recording, target, moved)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_missing_is_named_and_the_rest_of_its_transaction_is_there() {
    let (recording, target, moved) = behind_the_first().await;
    let client = target.client().unwrap();
    let (from, id) = (moved.get_str("from").unwrap(), moved.get_i32("id").unwrap());
    let accounts = client.database("bank").collection::<Document>(from);
    accounts.delete_one(doc! {"_id": id}).await.unwrap();
    let tape = recording.tape();
    let ran = run(&replay(&tape, &target.uri(), &["--resume"])).expect_code(3);
    let told = ran.json();
    assert_eq!((&told["transactions"], &told["divergent"]), (&1.into(), &1.into()), "{told}");
    assert_eq!(told["divergences"][0]["namespace"], format!("bank.{from}"));
    // Put back as it is at the source, it is all that was missing.
    let there = recording.client.database("bank").collection::<Document>(from);
    let there = there.find_one(doc! {"_id": id}).await.unwrap().unwrap();
    accounts.insert_one(there).await.unwrap();
    client.database("changetape").drop().await.unwrap();
    recording.compare(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_transaction_that_is_refused_nothing_is_there() {
    let (recording, target, moved) = behind_the_first().await;
    let client = target.client().unwrap();
    let to = moved.get_str("to").unwrap();
    let accounts = client.database("bank").collection::<Document>(to);
    // What the transaction gives to another account.
    let value = moved.get_i64("arrived").unwrap();
    accounts.insert_one(doc! {"_id": "foreign", "money": value}).await.unwrap();
    let index = doc! {"key": {"money": 1}, "name": "money", "unique": true,
    "partialFilterExpression": {"money": value}};
    let created = doc! {"createIndexes": to, "indexes": [index]};
    client.database("bank").run_command(created).await.unwrap();
    let before = Dump::take(&client).await.unwrap();
    let tape = recording.tape();
    let ran = run(&replay(&tape, &target.uri(), &["--resume"])).expect_code(1);
    let sentence = ran.sentence();
    assert!(sentence.contains(&format!("on bank.{to}: ")), "{sentence}");
    assert!(sentence.contains(", where its transaction begins, is applied"), "{sentence}");
    let differences = before.differences(&Dump::take(&client).await.unwrap());
    assert!(differences.is_empty(), "{differences}");

    // Without what was refused all of it is there, and what comes behind.
    let skip = ["--resume", "--on-error", "skip"];
    let told = run(&replay(&tape, &target.uri(), &skip)).expect_code(3).json();
    let refused = told["refused"].as_u64().unwrap();
    assert!(refused >= 1 && told["transactions"] == 1, "{told}");
    let (from, id) = (moved.get_str("from").unwrap(), moved.get_i32("id").unwrap());
    let account = async |client: &Client| {
        let accounts = client.database("bank").collection::<Document>(from);
        accounts.find_one(doc! {"_id": id}).await.unwrap()
    };
    assert_eq!(account(&client).await, account(&recording.client).await);
    let notes = client.database("bank").collection::<Document>("notes");
    assert_eq!(notes.count_documents(doc! {}).await.unwrap(), 1);
}

/// The transaction is there, and the answer to its commit is lost, twice: the driver asks once more by
/// itself. Executed again, its inserts would find their documents.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_not_done_twice() {
    let recording = Recording::begin().await;
    let mut bank = Bank::open(&recording.client, 1).await;
    bank.move_money(3).await;
    recording.catch_up();
    let (target, tape) = (target().await, recording.tape());
    let client = target.client().unwrap();
    let error = doc! {"code": 91, "errmsg": "so the test has it"};
    let lose = doc! {
        "configureFailPoint": "failCommand", "mode": {"times": 2},
        "data": {"failCommands": ["commitTransaction"], "writeConcernError": error},
    };
    client.database("admin").run_command(lose).await.unwrap();
    let told = run(&replay(&tape, &target.uri(), &[])).expect_code(0).json();
    assert_eq!((&told["transactions"], &told["adapted"]), (&4.into(), &0.into()), "{told}");
    recording.compare(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_transaction_is_to_be_had_that_is_told() {
    let recording = Recording::begin().await;
    let mut bank = Bank::open(&recording.client, 1).await;
    bank.move_money(3).await;
    recording.catch_up();
    let tape = recording.tape();
    let standalone = Standalone::start().await.unwrap();
    let told = run(&replay(&tape, &standalone.uri(), &[])).expect_code(0).json();
    assert_eq!((&told["transactions"], &told["tornTransactions"]), (&0.into(), &4.into()));
    let off = run(&replay(&tape, &standalone.uri(), &["--transactions", "off"])).expect_code(0);
    assert_eq!(off.json()["tornTransactions"], 0, "nobody asked for it");

    let capped = target().await;
    let client = capped.client().unwrap();
    let create = doc! {"create": "savings", "capped": true, "size": 1 << 20};
    client.database("bank").run_command(create).await.unwrap();
    let documents = ["--op", "insert,update,replace,delete"];
    let told = run(&replay(&tape, &capped.uri(), &documents)).expect_code(0).json();
    assert_eq!((&told["transactions"], &told["tornTransactions"]), (&0.into(), &4.into()));
    for coll in ["checking", "savings"] {
        let [there, here] = [&client, &recording.client]
            .map(|client| client.database("bank").collection::<Document>(coll));
        let count = there.count_documents(doc! {}).await.unwrap();
        assert_eq!(count, here.count_documents(doc! {}).await.unwrap(), "{coll}");
    }
}

/// The server ends what takes too long, here since each of its papers takes longer than all may.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_the_target_ends_each_time_is_applied_otherwise() {
    let recording = Recording::begin().await;
    let mut bank = Bank::open(&recording.client, 1).await;
    bank.move_with_papers(1, 1).await;
    recording.catch_up();
    let target = can_hold(ReplicaSet::single());
    let target = target.set_parameter("transactionLifetimeLimitSeconds", "1").start();
    let target = target.await.unwrap();
    let client = target.client().unwrap();
    let slow = doc! {
        "configureFailPoint": "failCommand", "mode": "alwaysOn",
        "data": {
            "failCommands": ["insert"], "namespace": "bank.papers",
            "blockConnection": true, "blockTimeMS": 4_000,
        },
    };
    client.database("admin").run_command(slow).await.unwrap();
    let tape = recording.tape();
    let ran = run(&replay(&tape, &target.uri(), &[])).expect_code(0);
    let told = ran.json();
    let count = |name: &str| told[name].as_u64().unwrap();
    let (whole, torn) = (count("transactions"), count("tornTransactions"));
    // On a busy machine the first one, which opens the accounts, may take too long as well.
    assert!(torn >= 1 && whole + torn == 2, "{told}");
    assert!(ran.stderr.contains("no transaction takes the one that begins at #"), "{}", ran.stderr);
    recording.compare(&client).await;
}
