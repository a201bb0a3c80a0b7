//! Goal: a base and the events after it are the source, byte for byte, whatever is written while
//! the base is taken, and however often the recorder is killed over it; and what cannot be is
//! said before anything is written.
//!
//! Method: seeded workloads write to a real server while the program takes a base and records on.
//! The base is restored into an empty server with plain commands and inserts, the events are
//! replayed over it, and everything in both is compared. Killed recorders: SIGKILL at random
//! moments while the base is being written.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
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

use crate::program::{Ran, ran, run, start, tape_events, text};
use crate::stream;

/// The least number of recorders that are killed while they take a base.
const KILLS: u32 = 12;

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
    let replay = ["replay", text(tape), &target.uri(), "--speed", "max", "--format", "json"];
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
    let target = Dump::take(&client).await.unwrap();
    let differences = source.differences(&target);
    assert!(differences.is_empty(), "{differences}");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_base_and_what_follows_are_the_source() {
    let seed = changetape_testkit::seed();
    let source = ReplicaSet::single().start().await.unwrap();
    let client = source.client().unwrap();
    OrderShop::new(seed).steps(100).database("before").run(&client).await.unwrap();
    fill(&client, 20_000).await;

    // Trade with its administration, which makes collections and indexes: a base that meets
    // that begins again.
    let over = Pace::Over(Duration::from_secs(8));
    let shop = OrderShop::new(seed).steps(300).pace(over);
    let random = RandomDocuments::new(seed).operations(800).pace(over);
    let writing = tokio::spawn({
        let client = client.clone();
        async move { tokio::try_join!(shop.run(&client), random.run(&client)) }
    });
    let changing = tokio::spawn(keep_changing(client.clone(), seed, 20_000));
    tokio::time::sleep(Duration::from_millis(1500)).await;

    let directory = tempdir().unwrap();
    let tape = directory.path().join("shop.tape");
    let uri = source.uri();
    let record = ["record", &uri, text(&tape), "--snapshot", "--exclude", "*.visits"];
    let timed = [&record[..], &["--duration", "3s", "--format", "json"]].concat();
    let recorded = run_beside(&timed).await.expect_code(0);
    let base = &recorded.json()["base"];
    assert!(base["documents"].as_u64().unwrap() > 19_000, "{base}");
    writing.await.unwrap().unwrap();
    changing.abort();
    assert!(changing.await.unwrap_err().is_cancelled());
    // The second session goes on behind the first, and knows that the base is there.
    let rest = [&record[..], &["--stop-when-idle", "2s", "--format", "json"]].concat();
    let rest = run_beside(&rest).await.expect_code(0);
    assert!(rest.stderr.contains("the tape has its base"), "{}", rest.stderr);
    assert!(rest.json()["base"].is_null());

    let whole = prove(&client, &tape, |ns| !ns.ends_with(".visits")).await;
    assert_eq!(base["clusterTime"], whole.time.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_killed_over_its_base_begins_it_again() {
    const DOCUMENTS: u32 = 60_000;
    let seed = changetape_testkit::seed();
    let mut rng = fastrand::Rng::with_seed(seed);
    let source = ReplicaSet::single().start().await.unwrap();
    let client = source.client().unwrap();
    fill(&client, DOCUMENTS).await;
    let changing = tokio::spawn(keep_changing(client.clone(), seed, DOCUMENTS));

    let directory = tempdir().unwrap();
    let uri = source.uri();
    let (mut killed, mut finished, mut longest) = (0, 0, 100);
    let mut number = 0;
    let tape = loop {
        let tape = directory.path().join(format!("{number}.tape"));
        let args = ["record", &uri, text(&tape), "--snapshot", "--quiet"];
        let recorder = start(&args);
        wait_for_base(&tape, &recorder);
        tokio::time::sleep(Duration::from_millis(rng.u64(0..longest))).await;
        kill(recorder);
        if changetape_tape::tape_exists(&tape) {
            // Too late for its base: this one is to be killed over its events, the next earlier.
            let base = TapeReader::open(&tape).unwrap().base().unwrap().unwrap();
            assert!(base.collections().all(|c| base.blocks(&c.unwrap()).all(|b| b.is_ok())));
            finished += 1;
            longest = (longest * 3 / 4).max(2);
            number += 1;
        } else {
            assert!(unfinished(&tape).exists());
            killed += 1;
            longest += longest / 8 + 1;
        }
        if killed >= KILLS {
            break tape;
        }
    };
    println!("{killed} killed over their base, {finished} after it");

    let last = ["record", &uri, text(&tape), "--snapshot"];
    let whole = run_beside(&[&last[..], &["--duration", "1s"]].concat()).await.expect_code(0);
    assert!(whole.stdout.contains("took a base of"), "{}", whole.stdout);
    assert!(!unfinished(&tape).exists());
    // Killed and continued once more, behind the base now.
    let recorder = start(&last);
    tokio::time::sleep(Duration::from_millis(700)).await;
    kill(recorder);
    changing.abort();
    assert!(changing.await.unwrap_err().is_cancelled());
    run_beside(&[&last[..], &["--stop-when-idle", "2s"]].concat()).await.expect_code(0);
    prove(&client, &tape, |_| true).await;
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

fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_is_stopped_leaves_nothing() {
    let source = ReplicaSet::single().start().await.unwrap();
    fill(&source.client().unwrap(), 60_000).await;
    let directory = tempdir().unwrap();
    let uri = source.uri();
    for attempt in 0..20 {
        let tape = directory.path().join(format!("{attempt}.tape"));
        let recorder = start(&["record", &uri, text(&tape), "--snapshot"]);
        wait_for_base(&tape, &recorder);
        signal(&recorder, "-INT");
        let ran = ran(recorder.wait_with_output().unwrap());
        if ran.code == Some(0) {
            // It was whole before the signal came: a recording like any other.
            continue;
        }
        let ran = ran.expect_code(130);
        assert!(ran.sentence().contains("before the base was whole"), "{}", ran.stderr);
        assert!(!tape.exists() && !unfinished(&tape).exists());
        return;
    }
    panic!("no base was stopped in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_in_a_base_is_said_before_it_begins() {
    let source = ReplicaSet::single().start().await.unwrap();
    let database = source.client().unwrap().database("shop");
    let creations = [
        doc! {"create": "visits", "capped": true, "size": 4096},
        doc! {"create": "weather", "timeseries": {"timeField": "at"}},
        doc! {"create": "orders"},
    ];
    for command in creations {
        database.run_command(command).await.unwrap();
    }
    let directory = tempdir().unwrap();
    let tape = directory.path().join("shop.tape");
    let uri = source.uri();
    let record = ["record", &uri, text(&tape), "--stop-when-idle", "1s", "--snapshot"];
    let refused = run(&record).expect_code(1);
    let sentence = refused.sentence();
    assert!(sentence.contains("shop.visits (capped"), "{sentence}");
    assert!(sentence.contains("--exclude shop.visits,shop.weather"), "{sentence}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "something was written");
    // What it says to do helps.
    let excluded = [&record[..], &["--exclude", "shop.visits,shop.weather"]].concat();
    run(&excluded).expect_code(0);

    let events_only = directory.path().join("events.tape");
    let mut args = record;
    args[2] = text(&events_only);
    run(&args[..5]).expect_code(0);
    let late = run(&args).expect_code(2);
    assert!(late.sentence().contains("was begun without a base"), "{}", late.stderr);
    let both = run(&[&record[..], &["--since", "1:1"]].concat()).expect_code(2);
    assert!(both.stderr.contains("--since"), "{}", both.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_holds_what_is_asked_for_and_is_shown() {
    let source = ReplicaSet::single().start().await.unwrap();
    let client = source.client().unwrap();
    for (database, documents) in [("shop", 3), ("audit", 5)] {
        let documents = (0..documents).map(|n: i32| doc! {"_id": n, "text": "some"});
        client.database(database).collection("entries").insert_many(documents).await.unwrap();
    }
    let view = doc! {"create": "view", "viewOn": "entries", "pipeline": []};
    client.database("shop").run_command(view).await.unwrap();
    let index = doc! {"createIndexes": "entries", "indexes": [{"key": {"text": 1}, "name": "t"}]};
    client.database("shop").run_command(index).await.unwrap();
    let before = stream::present(&client).await;

    let directory = tempdir().unwrap();
    let tape = directory.path().join("shop.tape");
    let uri = source.uri();
    let record = ["record", &uri, text(&tape), "--snapshot", "--include", "shop"];
    run(&[&record[..], &["--stop-when-idle", "1s"]].concat()).expect_code(0);
    let info = run(&["info", text(&tape), "--format", "json"]).expect_code(0).json();
    let base = &info["base"];
    assert_eq!((&base["collections"], &base["documents"]), (&2.into(), &3.into()), "{base}");
    let reader = TapeReader::open(&tape).unwrap();
    let read = reader.base().unwrap().unwrap();
    assert!(read.summary().time >= before.into());
    let all: Vec<_> = read.collections().map(Result::unwrap).collect();
    let names: Vec<String> = all.iter().map(|c| c.definition.namespace().to_string()).collect();
    assert_eq!(names, ["shop.entries", "shop.view"]);
    assert_eq!((all[0].definition.indexes.len(), all[1].definition.indexes.len()), (2, 0));
    let shown = run(&["info", text(&tape)]).expect_code(0).stdout;
    assert!(shown.contains("base          3 documents"), "{shown}");
    let verified = run(&["verify", text(&tape), "--format", "json"]).expect_code(0).json();
    assert_eq!(verified["base"], info["base"]);

    let file = tape.join("base");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let damaged = run(&["verify", text(&tape)]).expect_code(3).stdout;
    assert!(damaged.contains("base: "), "{damaged}");
    let repaired = run(&["verify", "--repair", text(&tape)]).expect_code(3).stdout;
    assert!(repaired.contains("its base is lost"), "{repaired}");
    run(&["verify", text(&tape)]).expect_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_changes_meanwhile_is_read_again() {
    const DOCUMENTS: u32 = 60_000;
    let source = ReplicaSet::single().start().await.unwrap();
    let client = source.client().unwrap();
    fill(&client, DOCUMENTS).await;
    let shop = client.database("shop");
    shop.collection("orders").insert_one(doc! {"_id": 1, "a": 1}).await.unwrap();
    shop.collection("old").insert_one(doc! {"_id": 1}).await.unwrap();
    let index = doc! {"createIndexes": "orders", "indexes": [{"key": {"a": 1}, "name": "a"}]};
    let rename = doc! {"renameCollection": "shop.orders", "to": "shop.old", "dropTarget": true};
    let changing = tokio::spawn(keep_changing(client.clone(), 7, DOCUMENTS));

    let directory = tempdir().unwrap();
    let uri = source.uri();
    let changes = [
        // What is read is as it was; only the listing tells.
        ("shop", index, "shop.orders was made, changed or dropped meanwhile"),
        // What is to be read is not there any more, or not as it was at that time.
        ("admin", rename, "shop."),
        ("bulk", doc! {"drop": "documents"}, "bulk.documents"),
    ];
    for (number, (database, change, says)) in changes.into_iter().enumerate() {
        let tape = directory.path().join(format!("{number}.tape"));
        let args = ["record", &uri, text(&tape), "--snapshot", "--duration", "1s"];
        let recorder = start(&args);
        wait_for_base(&tape, &recorder);
        signal(&recorder, "-STOP");
        assert!(!changetape_tape::tape_exists(&tape), "the base was whole before the change");
        client.database(database).run_command(change).await.unwrap();
        signal(&recorder, "-CONT");
        let ran = ran(recorder.wait_with_output().unwrap()).expect_code(0);
        assert!(ran.stderr.contains("the base is taken again"), "{}", ran.stderr);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
        if number == 1 {
            changing.abort();
        }
        let rest = ["record", &uri, text(&tape), "--snapshot", "--stop-when-idle", "2s"];
        if number >= 1 {
            run_beside(&rest).await.expect_code(0);
            prove(&client, &tape, |_| true).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_comes_from_any_node_and_outlives_one() {
    const DOCUMENTS: u32 = 40_000;
    let mut source = ReplicaSet::three_with_auth().start().await.unwrap();
    let client = source.client().unwrap();
    fill(&client, DOCUMENTS).await;
    let changing = tokio::spawn(keep_changing(client.clone(), 7, DOCUMENTS));
    let directory = tempdir().unwrap();

    let secondary = directory.path().join("secondary.tape");
    let uri = format!("{}&readPreference=secondary", source.uri());
    let record = ["record", &uri, text(&secondary), "--snapshot"];
    run_beside(&[&record[..], &["--duration", "1s"]].concat()).await.expect_code(0);
    changing.abort();
    assert!(changing.await.unwrap_err().is_cancelled());
    run_beside(&[&record[..], &["--stop-when-idle", "2s"]].concat()).await.expect_code(0);
    prove(&client, &secondary, |_| true).await;

    let tape = directory.path().join("primary.tape");
    let uri = source.uri();
    let record = ["record", &uri, text(&tape), "--snapshot", "--stop-when-idle", "2s"];
    let recorder = start(&record);
    wait_for_base(&tape, &recorder);
    signal(&recorder, "-STOP");
    let primary = source.primary().await.unwrap();
    source.kill(primary);
    source.primary().await.unwrap();
    signal(&recorder, "-CONT");
    let ran = ran(recorder.wait_with_output().unwrap()).expect_code(0);
    assert!(ran.stderr.contains("the base is taken again"), "{}", ran.stderr);
    prove(&client, &tape, |_| true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_being_built_comes_with_its_event() {
    let mut source = ReplicaSet::three_with_auth().start().await.unwrap();
    let client = source.client().unwrap();
    let shop = client.database("shop");
    shop.collection("orders").insert_one(doc! {"_id": 1, "a": 1}).await.unwrap();
    // A build that waits for all nodes does not end while one is down.
    let secondary = (source.primary().await.unwrap() + 1) % source.nodes();
    source.kill(secondary);
    let build = doc! {"createIndexes": "orders", "indexes": [{"key": {"a": 1}, "name": "a"}],
    "commitQuorum": "votingMembers"};
    let building = tokio::spawn({
        let shop = shop.clone();
        async move { shop.run_command(build).await }
    });
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        assert!(Instant::now() < deadline, "no build began");
        let list = doc! {"listIndexes": "orders", "includeBuildUUIDs": true};
        let indexes = shop.run_cursor_command(list).await.unwrap();
        let indexes: Vec<Document> = indexes.try_collect().await.unwrap();
        if indexes.iter().any(|index| index.contains_key("buildUUID")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let directory = tempdir().unwrap();
    let tape = directory.path().join("shop.tape");
    let uri = source.uri();
    let record = ["record", &uri, text(&tape), "--snapshot"];
    run_beside(&[&record[..], &["--duration", "1s"]].concat()).await.expect_code(0);
    let base = TapeReader::open(&tape).unwrap().base().unwrap().unwrap();
    let orders = base.collections().next().unwrap().unwrap();
    assert_eq!(orders.definition.indexes.len(), 1, "{:?}", orders.definition);

    source.restart(secondary).await.unwrap();
    building.await.unwrap().unwrap();
    run_beside(&[&record[..], &["--stop-when-idle", "2s"]].concat()).await.expect_code(0);
    prove(&client, &tape, |_| true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_watch_but_not_list_learns_what_is_missing() {
    let source = ReplicaSet::single().auth(true).start().await.unwrap();
    let client = source.client().unwrap();
    client.database("shop").collection("orders").insert_one(doc! {"_id": 1}).await.unwrap();
    let everywhere = doc! {"db": "", "collection": ""};
    let privilege = doc! {"resource": everywhere, "actions": ["find", "changeStream"]};
    let admin = client.database("admin");
    let role = doc! {"createRole": "watcher", "privileges": [privilege], "roles": []};
    admin.run_command(role).await.unwrap();
    for (user, role) in [("watcher", "watcher"), ("reader", "readAnyDatabase")] {
        let roles = [doc! {"role": role, "db": "admin"}].to_vec();
        let create = doc! {"createUser": user, "pwd": "secret", "roles": roles};
        admin.run_command(create).await.unwrap();
    }
    let directory = tempdir().unwrap();
    let tape = directory.path().join("shop.tape");
    let record = |user| {
        let uri = source.uri_as(user, "secret");
        run(&["record", &uri, text(&tape), "--snapshot", "--stop-when-idle", "1s"])
    };
    let refused = record("watcher").expect_code(1);
    let sentence = refused.sentence();
    assert!(sentence.contains("watcher may not list the collections of"), "{sentence}");
    assert!(sentence.contains("readAnyDatabase"), "{sentence}");
    assert!(!tape.exists() && !unfinished(&tape).exists());
    record("reader").expect_code(0);
    assert_eq!(TapeReader::open(&tape).unwrap().base().unwrap().unwrap().summary().documents, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgets_the_time_is_told_what_to_do() {
    let source = ReplicaSet::single().start().await.unwrap();
    let client = source.client().unwrap();
    fill(&client, 60_000).await;
    let window =
        |seconds: i32| doc! {"setParameter": 1, "minSnapshotHistoryWindowInSeconds": seconds};
    client.database("admin").run_command(window(1)).await.unwrap();
    let directory = tempdir().unwrap();
    let tape = directory.path().join("slow.tape");
    let uri = source.uri();
    let recorder = start(&["record", &uri, text(&tape), "--snapshot"]);
    wait_for_base(&tape, &recorder);
    // Slower than the window: the server moves it on as it writes.
    signal(&recorder, "-STOP");
    let writes = client.database("bulk").collection::<Document>("writes");
    for n in 0..12 {
        writes.insert_one(doc! {"_id": n}).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    signal(&recorder, "-CONT");
    let ran = ran(recorder.wait_with_output().unwrap()).expect_code(1);
    let sentence = ran.sentence();
    assert!(sentence.contains("minSnapshotHistoryWindowInSeconds"), "{sentence}");
    assert!(sentence.contains("bulk.documents"), "{sentence}");
    assert!(!tape.exists() && !unfinished(&tape).exists());
}
