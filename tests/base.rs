//! Goal: a base and the events after it are the source, byte for byte, whatever is written while
//! the base is taken, and however often the recorder is killed over it; and what cannot be is
//! said before anything is written.
//!
//! Method: seeded workloads write to a real server while the program takes a base and records on.
//! The base is restored into an empty server with plain commands and inserts, the events are
//! replayed over it, and everything in both is compared. Killed recorders: SIGKILL at random
//! moments while the base is being written. What is to happen in the middle of a base happens while
//! the server holds the recorder there.

mod hold;
mod interrupted;
mod refused;
mod watched;
mod whole;

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use bson::raw::RawDocumentBuf;
use bson::{Document, doc};
use changetape_core::ChangeEvent;
use changetape_tape::{BaseSummary, TapeReader};
use changetape_testkit::ReplicaSet;
use changetape_testkit::compare::Dump;
use changetape_testkit::workload::{OrderShop, Pace, RandomDocuments};
use futures_util::TryStreamExt as _;
use mongodb::{Client, Collection};
use tempfile::tempdir;

use crate::program::{Ran, ran, run, signal, start, tape_events, text};
use crate::stream;

/// Where a tape is put together before it is there.
fn unfinished(tape: &Path) -> PathBuf {
    let name = tape.file_name().unwrap().to_str().unwrap();
    tape.with_file_name(format!(".{name}.creating"))
}

/// Runs the program while others of this test's tasks go on.
async fn run_beside(args: &[&str]) -> Ran {
    let args: Vec<String> = args.iter().map(ToString::to_string).collect();
    let run = move || run(&args.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// Puts a base into an empty deployment: what it holds.
async fn restore(tape: &Path, client: &Client) -> BaseSummary {
    let base = TapeReader::open(tape).unwrap().base().unwrap().expect("the tape has a base");
    for collection in base.collections() {
        let collection = collection.unwrap();
        let definition = &collection.definition;
        let database = client.database(&definition.db);
        let mut create = doc! {"create": &definition.coll};
        create.extend(Document::try_from(definition.options.as_ref()).unwrap());
        database.run_command(create).await.unwrap();
        let indexes = definition.indexes.iter();
        let indexes: Vec<Document> = indexes
            .map(|index| Document::try_from(index.as_ref()).unwrap())
            .filter(|index| index.get_str("name").unwrap() != "_id_")
            .collect();
        if !indexes.is_empty() {
            let command = doc! {"createIndexes": &definition.coll, "indexes": indexes};
            database.run_command(command).await.unwrap();
        }
        let target: Collection<RawDocumentBuf> = database.collection(&definition.coll);
        for block in base.blocks(&collection) {
            let block = block.unwrap();
            let documents = block.documents().map(ToOwned::to_owned);
            let insert = target.insert_many(documents).bypass_document_validation(true);
            insert.await.unwrap();
        }
    }
    base.summary()
}

/// Restores the base, replays the events, and compares with the source, of which `keep` is what
/// was recorded: what the base holds.
async fn prove(source: &Client, tape: &Path, keep: impl Fn(&str) -> bool) -> BaseSummary {
    let target = ReplicaSet::single().start().await.unwrap();
    let client = target.client().unwrap();
    let base = restore(tape, &client).await;
    let uri = target.uri();
    let replay = ["replay", text(tape), &uri, "--speed", "max", "--format", "json"];
    let replayed = run_beside(&replay).await.expect_code(0).json();
    println!("base: {base:?}, replayed: {}", replayed["delivered"]);
    // An event that the base holds already would have to be adapted, or pass unnoticed.
    assert_eq!((&replayed["adapted"], &replayed["divergent"]), (&0.into(), &0.into()));
    // Each event after the base's time, and none of that time.
    let events = stream::read(source, stream::raw_and_expanded(), base.time.into()).await;
    let follows = |raw: &RawDocumentBuf| {
        let event = ChangeEvent::from(raw.as_ref());
        let time = event.cluster_time().unwrap().unwrap();
        time > base.time && event.namespace().unwrap().is_none_or(|ns| keep(&ns.to_string()))
    };
    let events: Vec<_> = events.into_iter().filter(follows).collect();
    stream::assert_same(&tape_events(tape), &events);
    let source = Dump::take(source).await.unwrap().filtered(|ns| keep(&ns.to_string()));
    let found = Dump::take(&client).await.unwrap();
    let differences = source.differences(&found);
    assert!(differences.is_empty(), "{differences}");
    // And so says the tape itself, of every document.
    let documents = found.documents();
    let verify = ["verify", text(tape), "--against", &uri, "--format", "json"];
    let verified = run_beside(&verify).await.expect_code(0).json();
    let counted = (&verified["documents"], &verified["unknown"]);
    assert_eq!(counted, (&documents.into(), &0.into()), "{verified}");
    base
}

/// Documents that take a while to read.
async fn fill(client: &Client, documents: u32) {
    let bulk: Collection<Document> = client.database("bulk").collection("documents");
    let mut rng = fastrand::Rng::with_seed(7);
    for first in (0..documents).step_by(1000) {
        let noise: String = (0..1500).map(|_| rng.alphanumeric()).collect();
        let document = |n: u32| doc! {"_id": n, "n": 0, "text": &noise};
        let all = (first..documents.min(first + 1000)).map(document);
        bulk.insert_many(all).await.unwrap();
    }
}

/// Changes documents of [`fill`] and beside them, for ever.
async fn keep_changing(client: Client, seed: u64, documents: u32) {
    let bulk: Collection<Document> = client.database("bulk").collection("documents");
    let mut rng = fastrand::Rng::with_seed(seed);
    for next in documents.. {
        let at = doc! {"_id": rng.u32(..documents)};
        match rng.u32(..4) {
            0 => drop(bulk.insert_one(doc! {"_id": next, "n": 0, "text": "new"}).await.unwrap()),
            1 => drop(bulk.delete_one(at).await.unwrap()),
            // Applied twice, or not at all, it shows.
            _ => drop(bulk.update_one(at, doc! {"$inc": {"n": 1}}).await.unwrap()),
        }
    }
}

/// Waits until a recorder writes a base, or has written it. One that was killed before may have
/// left part of another: the lock tells whose it is.
fn wait_for_base(tape: &Path, recorder: &Child) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let pid = format!("pid {}\n", recorder.id());
    let begun = || {
        let new = unfinished(tape);
        let lock = std::fs::read_to_string(new.join("lock"));
        lock.is_ok_and(|text| text.contains(&pid)) && new.join("base.new").exists()
    };
    while !begun() && !changetape_tape::tape_exists(tape) {
        assert!(Instant::now() < deadline, "recorder {pid} takes no base");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn kill(mut recorder: Child) {
    assert_eq!(recorder.try_wait().unwrap(), None, "the recorder ended by itself");
    recorder.kill().unwrap();
    recorder.wait().unwrap();
}
