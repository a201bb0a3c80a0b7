//! Goal: what is lost to a recording is never passed over in silence, and nothing that the source
//! still has is lost. A quiet stream outlives its oplog; real loss is one gap on the tape; an event
//! that cannot be sent costs that event alone.
//!
//! Method: a source whose oplog holds a megabyte. It is rolled over by writes to a namespace that
//! is not recorded, until its oldest entry is later than a given cluster time; where a recorder
//! runs meanwhile, only as fast as its tape follows.

use std::path::Path;

use bson::{Document, Timestamp, doc};
use changetape_core::ChangeEvent;
use changetape_tape::{Gap, GapCause, TapeReader};
use changetape_testkit::ReplicaSet;
use mongodb::{Client, Collection};
use tempfile::tempdir;

use crate::program::{Ran, run, tape_events, text};
use crate::watched::{Recorder, until};
use crate::{large, stream};

/// Where the recorder that is quiet looks.
const QUIET: &str = "quiet.*";

async fn insert(client: &Client, id: i32) {
    let coll = client.database("quiet").collection::<Document>("c");
    coll.insert_one(doc! {"_id": id}).await.unwrap();
}

/// The `_id`s of the documents whose inserts are on a tape.
fn ids(tape: &Path) -> Vec<i32> {
    let id = |raw: &bson::raw::RawDocumentBuf| {
        let event = ChangeEvent::from(raw.as_ref());
        event.full_document().unwrap()?.get_i32("_id").ok()
    };
    tape_events(tape).iter().filter_map(id).collect()
}

/// Writes a quarter of the oplog elsewhere.
async fn write_elsewhere(client: &Client) {
    let noise = client.database("noise").collection::<Document>("c");
    let padding = "x".repeat(50_000);
    for _ in 0..5 {
        noise.insert_one(doc! {"padding": &padding}).await.unwrap();
    }
}

/// Whether the oplog begins later than a cluster time.
async fn begins_after(client: &Client, past: Timestamp) -> bool {
    let oplog = client.database("local").collection::<Document>("oplog.rs");
    let oldest = oplog.find_one(doc! {}).await.unwrap().unwrap();
    oldest.get_timestamp("ts").unwrap() > past
}

/// Writes elsewhere until the oplog begins later than a cluster time.
pub(crate) async fn roll_over(client: &Client, past: Timestamp) {
    while !begins_after(client, past).await {
        write_elsewhere(client).await;
    }
}

/// Waits until a tape reaches beyond everything that has been written. How far it reaches is told
/// in whole seconds, so something has to happen in a later one.
pub(crate) async fn caught_up(client: &Client, recorder: &Recorder) {
    let noise = client.database("noise").collection::<Document>("c");
    let written = stream::present(client).await;
    let later = until("a later second", async || {
        noise.insert_one(doc! {}).await.unwrap();
        let now = stream::present(client).await;
        if now.time > written.time { Ok(now.time) } else { Err(now) }
    })
    .await;
    recorder.until("caught up", |figures| {
        figures.get("reached_timestamp_seconds") >= Some(&f64::from(later))
    });
}

fn gaps(tape: &Path) -> Vec<Gap> {
    TapeReader::open(tape).unwrap().gaps()
}

fn record(uri: &str, tape: &Path, more: &[&str]) -> Ran {
    let args = ["record", uri, text(tape), "--include", QUIET, "--stop-when-idle", "2s"];
    run(&[&args[..], more].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_stream_goes_on_after_the_oplog_has_rolled_past_its_last_event() {
    let source = ReplicaSet::single().oplog_mib(1).start().await.unwrap();
    let (client, uri) = (source.client().unwrap(), source.uri());
    let directory = tempdir().unwrap();
    let tape = directory.path().join("quiet.tape");
    let begin = stream::present(&client).await;
    let since = stream::since(begin);
    insert(&client, 1).await;
    let last_event = stream::present(&client).await;
    let recorder = Recorder::start(&uri, &tape, &["--include", QUIET, "--since", &since]);
    caught_up(&client, &recorder).await;
    while !begins_after(&client, last_event).await {
        write_elsewhere(&client).await;
        // However slow the recorder is, the oplog must not overtake it.
        caught_up(&client, &recorder).await;
    }
    recorder.stop().expect_code(0);
    assert_eq!(ids(&tape), [1]);
    // Its last event is gone from the oplog; its last token is not.
    insert(&client, 2).await;
    record(&uri, &tape, &[]).expect_code(0);
    assert_eq!((ids(&tape), gaps(&tape).len()), (vec![1, 2], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_is_told_to_go_on_elsewhere_leaves_a_gap() {
    let source = ReplicaSet::single().start().await.unwrap();
    let (client, uri) = (source.client().unwrap(), source.uri());
    let directory = tempdir().unwrap();
    let tape = directory.path().join("reset.tape");
    let begin = stream::since(stream::present(&client).await);
    insert(&client, 1).await;
    record(&uri, &tape, &["--since", &begin]).expect_code(0);
    insert(&client, 2).await;
    // Back to what is on it already: refused.
    let refused = record(&uri, &tape, &["--reset", "--since", &begin]).expect_code(2);
    assert!(refused.sentence().contains("would be on it twice"), "{}", refused.stderr);
    assert_eq!((ids(&tape), gaps(&tape).len()), (vec![1], 0));
    let behind = stream::present(&client).await;
    let behind = stream::since(Timestamp { increment: behind.increment + 1, ..behind });
    insert(&client, 3).await;
    record(&uri, &tape, &["--reset", "--since", &behind]).expect_code(3);
    insert(&client, 4).await;
    record(&uri, &tape, &[]).expect_code(0);
    assert_eq!(ids(&tape), [1, 3, 4]);
    let [gap] = gaps(&tape).try_into().unwrap();
    assert_eq!(gap.cause, GapCause::Reset);
    assert!(gap.before.token.is_some() && gap.after.token.is_some(), "{gap:?}");
    assert!(gap.before.time < gap.after.time, "{gap:?}");
    run(&["cat", text(&tape)]).expect_code(1);
    // From the present on, by default.
    insert(&client, 5).await;
    record(&uri, &tape, &["--reset"]).expect_code(3);
    assert_eq!((ids(&tape).len(), gaps(&tape).len()), (3, 2));
    // A new tape is begun as ever.
    let new = directory.path().join("new.tape");
    record(&uri, &new, &["--reset", "--since", &behind]).expect_code(0);
    assert_eq!((ids(&new), gaps(&new).len()), (vec![3, 4, 5], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn history_that_is_lost_is_one_gap() {
    let source = ReplicaSet::single().oplog_mib(1).auth(true).start().await.unwrap();
    let client = source.client().unwrap();
    // One user may read the oplog, and is told where it begins; the other finds out.
    let admin = client.database("admin");
    for (user, roles) in [
        ("reader", vec![doc! {"role": "readAnyDatabase", "db": "admin"}]),
        (
            "monitor",
            vec![
                doc! {"role": "readAnyDatabase", "db": "admin"},
                doc! {"role": "clusterMonitor", "db": "admin"},
            ],
        ),
    ] {
        let create = doc! {"createUser": user, "pwd": "secret", "roles": roles};
        admin.run_command(create).await.unwrap();
    }
    let directory = tempdir().unwrap();
    for (number, user) in ["reader", "monitor"].into_iter().enumerate() {
        let uri = source.uri_as(user, "secret");
        let tape = directory.path().join(format!("{user}.tape"));
        let id = i32::try_from(number).unwrap() * 10;
        // The stream begins with it, for its time is the present.
        client.database("noise").collection("c").insert_one(doc! {"user": user}).await.unwrap();
        let begin = stream::present(&client).await;
        let since = stream::since(begin);
        insert(&client, id + 1).await;
        record(&uri, &tape, &["--since", &since]).expect_code(0);
        assert_eq!(ids(&tape), [id + 1]);
        // Lost: nobody records, and the oplog rolls over.
        insert(&client, id + 2).await;
        roll_over(&client, stream::present(&client).await).await;
        for _ in 0..2 {
            let stopped = record(&uri, &tape, &[]).expect_code(3);
            assert!(stopped.sentence().contains("--on-gap continue"), "{}", stopped.stderr);
        }
        assert_eq!((ids(&tape), gaps(&tape).len()), (vec![id + 1], 0));

        // This one the server still has: it goes on at the oldest point, and not at the newest.
        insert(&client, id + 3).await;
        let went_on = record(&uri, &tape, &["--on-gap", "continue", "--format", "json"]);
        let went_on = went_on.expect_code(3);
        assert_eq!(went_on.json()["gaps"], 1, "{}", went_on.stderr);
        insert(&client, id + 4).await;
        record(&uri, &tape, &["--on-gap", "continue"]).expect_code(0);
        assert_eq!(ids(&tape), [id + 1, id + 3, id + 4], "{user}");

        let [gap] = gaps(&tape).try_into().unwrap();
        assert_eq!((gap.cause, gap.places), (GapCause::HistoryLost, 0));
        assert!(gap.before.token.is_some() && gap.after.token.is_some(), "{gap:?}");
        assert!(gap.before.time < gap.after.time, "{gap:?}");
        let info = run(&["info", text(&tape)]).expect_code(0);
        assert!(info.stdout.contains("the oplog no longer reached back"), "{}", info.stdout);

        // A replay stands still in front of it.
        let refused = run(&["cat", text(&tape)]).expect_code(1);
        assert!(refused.sentence().contains("--cross-gaps"), "{}", refused.stderr);
        let crossed = run(&["replay", text(&tape), "null:", "--speed", "max", "--cross-gaps"]);
        let crossed = crossed.expect_code(3);
        assert!(crossed.stdout.contains("crossed a gap"), "{}", crossed.stdout);
        let behind = format!("{}", gap.at);
        run(&["cat", text(&tape), "--start", &behind]).expect_code(0);
        run(&["cat", text(&tape), "--end", &behind]).expect_code(0);
    }
}

/// The collection where the recorder looks, with pre-images and a large document, 2; and a flag
/// that has it recorded from its beginning.
async fn with_images(client: &Client) -> (Collection<Document>, String) {
    let begin = stream::present(client).await;
    let coll = large::with_images(&client.database("quiet")).await;
    insert(client, 1).await;
    large::insert(&coll, 2, "a").await;
    (coll, format!("--since={}", stream::since(begin)))
}

const WITH_IMAGES: [&str; 4] =
    ["--full-document-before-change", "required", "--on-gap", "continue"];

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_sent_costs_itself_alone() {
    let source = ReplicaSet::single().start().await.unwrap();
    let client = source.client().unwrap();
    let (coll, since) = with_images(&client).await;
    large::replace(&coll, 2, "b").await;
    insert(&client, 3).await;
    large::replace(&coll, 2, "c").await;
    insert(&client, 4).await;

    let directory = tempdir().unwrap();
    let tape = directory.path().join("large.tape");
    let uri = source.uri();
    let flags = [&[since.as_str()], &WITH_IMAGES[..]].concat();
    let recorded = record(&uri, &tape, &[&flags[..], &["-v"]].concat());
    if recorded.code == Some(0) {
        // A server that sends such events in fragments: nothing is lost.
        assert_eq!(gaps(&tape), []);
        return;
    }
    let recorded = recorded.expect_code(3);
    assert_eq!(ids(&tape), [1, 2, 3, 4], "{}", recorded.stderr);
    let causes: Vec<GapCause> = gaps(&tape).iter().map(|gap| gap.cause).collect();
    assert_eq!(causes, [GapCause::EventTooLarge, GapCause::EventTooLarge]);
    // Once more: nothing new.
    record(&uri, &tape, &flags).expect_code(0);
    assert_eq!((ids(&tape).len(), gaps(&tape).len()), (4, 2));
}

/// Events come one by one up to the large one; then the source is away, and the stream is opened
/// with full replies again. The next refusal is of a whole reply, not of the event that is next.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_before_one_that_cannot_be_sent_is_kept_though_the_source_is_away() {
    let source = ReplicaSet::single().set_parameter("enableTestCommands", "1");
    let source = source.start().await.unwrap();
    let client = source.client().unwrap();
    if stream::splits(&client).await {
        return;
    }
    let (coll, since) = with_images(&client).await;
    insert(&client, 3).await;
    large::replace(&coll, 2, "b").await;
    insert(&client, 4).await;
    let away = doc! {
        "configureFailPoint": "failCommand",
        "mode": {"times": 1},
        "data": {"failCommands": ["getMore"], "closeConnection": true},
    };
    client.database("admin").run_command(away).await.unwrap();

    let directory = tempdir().unwrap();
    let tape = directory.path().join("large.tape");
    let flags = [&[since.as_str(), "-v"], &WITH_IMAGES[..]].concat();
    let recorded = record(&source.uri(), &tape, &flags);
    assert!(recorded.stderr.contains("lost the source"), "{}", recorded.stderr);
    assert_eq!(ids(&tape), [1, 2, 3, 4], "{}", recorded.stderr);
    assert!(gaps(&tape).len() <= 1, "{:?}", gaps(&tape));
}
