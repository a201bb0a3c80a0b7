//! Transactions that are lost in their middle: how long a target is waited for then.

use bson::raw::RawDocumentBuf;
use bson::{Document, doc};
use mongodb::Client;
use tokio::task::JoinHandle;

use super::target;
use crate::by_hand::{Taped, delete, insert};
use crate::hold::Hold;
use crate::program::Ran;

/// Each in a collection of its own, and so a command of its own.
const DELETES: i32 = 12;

/// Longer than a command takes that is answered, also on a busy machine; and shorter than all these
/// commands take where each takes a second.
const OUTAGE: [&str; 2] = ["--max-outage", "10s"];

/// So many conflicts take longer than that, with a pause of 50 ms after each.
const CONFLICTS: i32 = 220;

/// A transaction of many commands, of which only the last finds something to do: no attempt at it
/// is in the way of the next one.
fn long_transaction() -> Taped {
    let of_it = |event: &RawDocumentBuf| {
        let mut event = Document::try_from(event.as_ref()).unwrap();
        event.insert("lsid", doc! {"id": 1});
        event.insert("txnNumber", 1_i64);
        RawDocumentBuf::try_from(&event).unwrap()
    };
    let mut events: Vec<_> = (0..DELETES).map(|n| delete(&format!("empty{n}"), 1)).collect();
    events.push(insert("last", doc! {"_id": 1}));
    Taped::of(&events.iter().map(of_it).collect::<Vec<_>>())
}

/// What becomes of each delete from now on.
async fn deletes(client: &Client, data: Document) -> Hold {
    let mut of_deletes = doc! {"failCommands": ["delete"]};
    of_deletes.extend(data);
    Hold::begin(client, "failCommand", "alwaysOn", of_deletes).await
}

fn lost() -> Document {
    doc! {"closeConnection": true}
}

/// A command that has the last collection to itself: a transaction that comes there is lost, so none
/// comes to its end.
struct Barrier {
    hold: Hold,
    change: JoinHandle<Document>,
}

impl Barrier {
    /// A replay has to have looked at the collection before.
    async fn raise(client: &Client) -> Self {
        let shop = client.database("shop");
        shop.create_collection("last").await.unwrap();
        let at = doc! {"nss": "shop.last"};
        let hold = Hold::begin(client, "hangAfterDatabaseLock", "alwaysOn", at).await;
        let change = doc! {"collMod": "last", "validationLevel": "moderate"};
        let change = tokio::spawn(async move { shop.run_command(change).await.unwrap() });
        hold.reached().await;
        Self { hold, change }
    }

    async fn lower(self) {
        self.hold.end().await;
        self.change.await.unwrap();
    }
}

/// Fails the test unless all of it is there after an outage.
#[track_caller]
fn assert_done(ran: Ran) {
    let ran = ran.expect_code(0);
    assert!(ran.stderr.contains("the target is away, waiting for it"), "{}", ran.stderr);
    let told = ran.json();
    assert_eq!((&told["transactions"], &told["adapted"]), (&1.into(), &DELETES.into()), "{told}");
}

/// It goes on for longer than an outage may before it is lost, twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_away_since_its_last_answer() {
    let (target, taped) = (target().await, long_transaction());
    let (client, uri) = (target.client().unwrap(), target.uri());
    let slow = deletes(&client, doc! {"blockConnection": true, "blockTimeMS": 1_000}).await;
    let replaying = tokio::task::spawn_blocking(move || taped.run(&uri, &OUTAGE));
    slow.reached().await;
    let barrier = Barrier::raise(&client).await;
    for lost in 1..=2 {
        slow.reached_times(lost * DELETES + 1).await;
    }
    barrier.lower().await;
    slow.end().await;
    let ran = replaying.await.unwrap();
    assert!(!ran.stderr.contains("no answer came"), "each did: {}", ran.stderr);
    assert_done(ran);
}

/// There are conflicts for longer than an outage may be, and an outage before and after.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_tells_of_a_conflict_is_there() {
    let (target, taped) = (target().await, long_transaction());
    let (client, uri) = (target.client().unwrap(), target.uri());
    let before = deletes(&client, lost()).await;
    let replaying = tokio::task::spawn_blocking(move || taped.run(&uri, &OUTAGE));
    before.reached().await;
    // While a fail point is changed it is off for a moment.
    let barrier = Barrier::raise(&client).await;
    deletes(&client, doc! {"errorCode": 112}).await.reached_times(CONFLICTS).await;
    let after = deletes(&client, lost()).await;
    after.reached().await;
    barrier.lower().await;
    after.end().await;
    assert_done(replaying.await.unwrap());
}

/// Its target is there whenever it is begun once more, and never at its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_lost_each_time_is_given_up() {
    let (target, taped) = (target().await, long_transaction());
    let client = target.client().unwrap();
    let data = doc! {"failCommands": ["insert"], "closeConnection": true};
    // More often than it is tried in that time, and then it would be there.
    let _lost = Hold::begin(&client, "failCommand", doc! {"times": 40}, data).await;
    let ran = taped.run(&target.uri(), &OUTAGE).expect_code(1);
    assert!(ran.sentence().contains(" was away for "), "{}", ran.stderr);
    let last = client.database("shop").collection::<Document>("last");
    assert_eq!(last.count_documents(doc! {}).await.unwrap(), 0);
}
