//! Targets that go away: each acknowledged event stays, each is applied once.

use std::num::NonZeroUsize;
use std::time::Duration;

use bson::doc;
use changetape_replayer::sink::mongod::{Order, TargetError};
use changetape_testkit::Standalone;
use changetape_testkit::workload::RandomDocuments;

use super::*;
use crate::watched::until;

/// Longer than a command takes that is answered, also on a busy machine.
const OUTAGE: Duration = Duration::from_secs(10);

const ONE: NonZeroUsize = NonZeroUsize::MIN;

/// A stream in which applying anything twice, or leaving anything out, shows: counters that
/// are set by every event, documents that come and go, arrays that grow.
async fn source() -> (Pair, Vec<RawDocumentBuf>) {
    let pair = Pair::start().await;
    let seed = changetape_testkit::seed();
    RandomDocuments::new(seed).operations(2_000).run(&pair.from).await.unwrap();
    let events = pair.events().await;
    (pair, events)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_outlives_the_primary_of_its_target() {
    let (pair, events) = source().await;
    let is_definition = |raw: &&RawDocumentBuf| {
        !ChangeEvent::from(raw.as_ref()).operation_type().unwrap().is_document_change()
    };
    let definitions = events.iter().filter(is_definition).count() as u64;
    let mut target = ReplicaSet::three_with_auth().start().await.unwrap();
    let to = target.client().unwrap();
    // A part before each change of the primary, and one after all, however fast events are applied.
    let (more, parts) = std::sync::mpsc::channel();
    // An election may take long on a busy machine.
    let sink = sink(&target.uri()).await.with_max_outage(Duration::from_secs(600));
    let applying = tokio::spawn(apply_parts(sink, parts, None));
    let mut parts = events.chunks(events.len().div_ceil(5)).map(<[_]>::to_vec);
    let mut go_on = || more.send(parts.next().unwrap()).unwrap();
    for _ in 0..2 {
        let primary = target.primary().await.unwrap();
        go_on();
        target.kill(primary);
        target.primary().await.unwrap();
        target.restart(primary).await.unwrap();
        target.wait_until_healthy().await.unwrap();
        go_on();
        target.step_down().await.unwrap();
    }
    go_on();
    assert_eq!(parts.next(), None);
    drop(more);
    let tally = applying.await.unwrap().unwrap();
    // A definition is not known again by the new primary: if its answer was lost, it is found to
    // be there already. Commands for documents are known.
    assert!(tally.adapted <= definitions, "{tally:?}");
    assert_plain(&Tally { adapted: 0, ..tally });
    let found = Dump::take(&to).await.unwrap();
    let differences = Dump::take(&pair.from).await.unwrap().differences(&found);
    assert!(differences.is_empty(), "{differences}");
}

fn insert(n: i32) -> RawDocumentBuf {
    let event = doc! {
        "operationType": "insert", "ns": {"db": "shop", "coll": "a"},
        "documentKey": {"_id": n}, "fullDocument": {"_id": n},
    };
    RawDocumentBuf::try_from(&event).unwrap()
}

const ALL: [&str; 4] = ["insert", "update", "delete", "commitTransaction"];

/// A server that answers such commands, once executed, with a write concern error.
async fn unacknowledging(code: i32, mode: Document, commands: &[&str]) -> ReplicaSet {
    let testable = ReplicaSet::single().set_parameter("enableTestCommands", "1");
    let target = testable.start().await.unwrap();
    let fail_point = doc! {
        "configureFailPoint": "failCommand",
        "mode": mode,
        "data": {
            "failCommands": commands,
            "writeConcernError": {"code": code, "errmsg": "so the test has it"},
        },
    };
    run(&target.client().unwrap(), "admin", fail_point).await;
    target
}

/// The server does what it is told and then says that it is shutting down, as it does when
/// nobody can tell any more whether a majority has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_was_executed_and_not_acknowledged_is_not_executed_twice() {
    let (mut pair, events) = source().await;
    pair.target = unacknowledging(91, doc! {"activationProbability": 0.05}, &ALL).await;
    pair.to = pair.target.client().unwrap();
    assert_plain(&apply(pair.sink().await, events, None).await.unwrap());
    pair.compare().await;
}

/// The transaction is there, and the answer to its commit lost: executed again, its inserts would
/// find their documents. The driver asks once more by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_was_committed_and_not_acknowledged_is_not_executed_again() {
    let target = unacknowledging(91, doc! {"times": 2}, &["commitTransaction"]).await;
    let tape = (0..100).map(insert).chain([event("delete", doc! {})]).collect();
    let sink = sink(&target.uri()).await.with_workers(ONE);
    assert_plain(&apply(sink, tape, None).await.unwrap());
    let coll = target.client().unwrap().database("shop").collection::<Document>("a");
    assert_eq!(coll.count_documents(doc! {}).await.unwrap(), 99);
}

fn event(operation: &str, more: Document) -> RawDocumentBuf {
    let mut event = doc! {
        "operationType": operation, "ns": {"db": "shop", "coll": "a"}, "documentKey": {"_id": 1},
    };
    event.extend(more);
    RawDocumentBuf::try_from(&event).unwrap()
}

fn whole(v: i32) -> Document {
    doc! {"fullDocument": {"_id": 1, "v": v}}
}

fn diff(v: i32) -> Document {
    doc! {"rawUpdateDescription": {"$v": 2, "diff": {"u": {"v": v}}}}
}

/// The server remembers only statements that changed something. One that did not is executed
/// again with the command, and what it finds then must be what it found before.
async fn apply_over(there: Option<Document>, tape: Vec<RawDocumentBuf>) -> (Option<i32>, Tally) {
    let target = unacknowledging(91, doc! {"times": 1}, &["update"]).await;
    let coll = target.client().unwrap().database("shop").collection::<Document>("a");
    if let Some(there) = there {
        coll.insert_one(there).await.unwrap();
    }
    let tally = apply(sink(&target.uri()).await, tape, None).await.unwrap();
    let found = coll.find_one(doc! {"_id": 1}).await.unwrap();
    (found.map(|found| found.get_i32("v").unwrap()), tally)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_missed_does_not_find_what_came_later() {
    let tape = vec![event("update", diff(2)), event("replace", whole(3))];
    let (v, tally) = apply_over(None, tape).await;
    assert_eq!((v, tally.divergent, tally.adapted), (Some(3), 1, 1), "{tally:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_was_as_recorded_is_not_put_back() {
    let tape = vec![event("insert", whole(1)), event("update", diff(2))];
    let (v, tally) = apply_over(Some(doc! {"_id": 1, "v": 1}), tape).await;
    assert_eq!((v, tally.divergent, tally.adapted), (Some(2), 0, 1), "{tally:?}");
}

/// How many transactions a server has given up, or was told to.
async fn aborted(client: &Client) -> i64 {
    let status = client.database("admin").run_command(doc! {"serverStatus": 1}).await.unwrap();
    status.get_document("transactions").unwrap().get_i64("totalAborted").unwrap()
}

/// Two transactions share a window, and a third one is in the way of the second. Whoever needs what
/// the first has done may be who ends the third.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_executed_is_given_back_while_another_part_of_its_window_waits() {
    // The server would end the first for its age.
    let target = ReplicaSet::single().set_parameter("transactionLifetimeLimitSeconds", "3600");
    let target = target.start().await.unwrap();
    let client = target.client().unwrap();
    let shop = client.database("shop");
    for coll in ["a", "b"] {
        shop.create_collection(coll).await.unwrap();
    }
    let mut third = client.start_session().await.unwrap();
    third.start_transaction().await.unwrap();
    shop.collection("b").insert_one(doc! {"_id": 1}).session(&mut third).await.unwrap();

    // A share for each collection.
    let sink = sink(&target.uri()).await.with_order(Order::Namespace);
    let sink = sink.with_workers(NonZeroUsize::new(2).unwrap());
    let in_b =
        event("insert", doc! {"ns": {"db": "shop", "coll": "b"}, "fullDocument": {"_id": 1}});
    let before = aborted(&client).await;
    let applying = tokio::spawn(apply(sink, vec![insert(1), in_b], None));
    until("tried twice", async || {
        assert!(!applying.is_finished(), "nothing was in the way");
        // The second share, and the first or once more the second.
        let now = aborted(&client).await;
        if now >= before + 2 { Ok(()) } else { Err(now) }
    })
    .await;
    // It has the collection to itself, and waits for that.
    let change = doc! {"collMod": "a", "validationLevel": "moderate", "maxTimeMS": 60_000};
    run(&client, "shop", change).await;
    third.abort_transaction().await.unwrap();
    assert_plain(&applying.await.unwrap().unwrap());
    for coll in ["a", "b"] {
        let count = shop.collection::<Document>(coll).count_documents(doc! {}).await.unwrap();
        assert_eq!(count, 1, "{coll}");
    }
}

/// A command by itself, and a transaction.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_majority_has_is_not_taken_for_done() {
    for (command, let_through, events, named) in
        [("insert", 0, 1_000, 0), ("commitTransaction", 1, 10_000, 4_096)]
    {
        let target = unacknowledging(64, doc! {"skip": let_through}, &[command]).await;
        let sink = sink(&target.uri()).await.with_max_outage(OUTAGE).with_workers(ONE);
        let error = apply(sink, (0..events).map(insert).collect(), None).await.unwrap_err();
        let Error::Target(error) = error else { panic!("{error}") };
        assert!(matches!(*error, TargetError::Away { .. }), "{error}");
        assert_eq!(error.seq(), Seq::new(named), "{command}");
    }
}

/// A server that wants TLS closes connections too, but it has never answered on one.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_is_not_taken_for_a_server_that_wants_tls() {
    let testable = ReplicaSet::single().set_parameter("enableTestCommands", "1");
    let target = testable.start().await.unwrap();
    let fail_point = doc! {
        "configureFailPoint": "failCommand",
        "mode": "alwaysOn",
        "data": {"failCommands": ["insert"], "closeConnection": true},
    };
    run(&target.client().unwrap(), "admin", fail_point).await;
    let sink = sink(&target.uri()).await.with_max_outage(OUTAGE);
    let error = apply(sink, vec![insert(0)], None).await.unwrap_err();
    let Error::Target(error) = error else { panic!("{error}") };
    let TargetError::Away { source, .. } = *error else { panic!("{error}") };
    assert!(source.to_string().ends_with("the server closed the connection"), "{source}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_stays_away_is_right_up_to_the_event_that_is_named() {
    let mut target = ReplicaSet::single().start().await.unwrap();
    let sink = sink(&target.uri()).await.with_max_outage(OUTAGE);
    let applying = tokio::spawn(apply(sink, (0..1_000_000).map(insert).collect(), None));
    let coll = target.client().unwrap().database("shop").collection::<Document>("a");
    until("applied", async || {
        assert!(!applying.is_finished(), "the replay ended by itself");
        let applied = coll.estimated_document_count().await.unwrap();
        if applied < 5_000 { Err(applied) } else { Ok(()) }
    })
    .await;
    target.kill(0);
    let error = applying.await.unwrap().unwrap_err();
    let Error::Target(error) = error else { panic!("{error}") };
    assert!(matches!(*error, TargetError::Away { .. }), "{error}");
    assert!(error.to_string().contains(&format!("everything before {}", error.seq())));

    target.restart(0).await.unwrap();
    target.primary().await.unwrap();
    let kept = coll.count_documents(doc! {}).await.unwrap();
    let named = error.seq().get();
    // Of the transactions that were under way some may have been committed.
    assert!((named..=named + 4096).contains(&kept), "{named} named, {kept} kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standalone_target_is_enough_while_it_lasts() {
    let (pair, events) = source().await;
    let target = Standalone::start().await.unwrap();
    let tally = apply(sink(&target.uri()).await, events, None).await.unwrap();
    assert_plain(&tally);
    let found = Dump::take(&target.client().await.unwrap()).await.unwrap();
    let differences = Dump::take(&pair.from).await.unwrap().differences(&found);
    assert!(differences.is_empty(), "{differences}");
}
