//! Goal: an event that the target refuses is named, with the target's answer and what can be done;
//! and with `--on-error skip` it alone is left out, counted and listed, wherever it is.
//!
//! Method: a tape by hand is replayed into a real server that has what is in the way of some of its
//! events: documents with a value that only one may have, too few privileges. Everything else has to
//! be there afterwards.

mod terminal;

use bson::raw::RawDocumentBuf;
use bson::{Document, doc};
use changetape_testkit::ReplicaSet;
use futures_util::TryStreamExt as _;
use mongodb::Client;
use tempfile::tempdir;

use crate::by_hand::{Taped, define, delete, elsewhere, insert, update};
use crate::program::{run, text};

/// Seats, of which each is for one, and as many guests in between, who may be anywhere.
fn seats() -> Vec<RawDocumentBuf> {
    let mut events = Vec::new();
    for n in 0..20 {
        events.push(insert("seats", doc! {"_id": n, "seat": n}));
        events.push(insert("guests", doc! {"_id": n}));
    }
    events.extend((0..20).filter(|&n| n != 7).map(|n| update("seats", n, doc! {"paid": n})));
    events.push(update("seats", 5, doc! {"seat": 107}));
    events.push(delete("seats", 3));
    events.push(update("guests", 19, doc! {"last": true}));
    events
}

/// Where what is refused is: the insert of 7, and the update of 5 that asks for 107.
const REFUSED: [u64; 2] = [14, 59];

/// What of it is there when the two are left out.
fn seats_without_refused() -> Vec<Document> {
    let kept = (0..20).filter(|n| ![3, 7].contains(n));
    kept.map(|n| doc! {"_id": n, "seat": n, "paid": n}).collect()
}

/// Puts two into the way of the seats.
async fn occupy(target: &Client) {
    let index = doc! {"key": {"seat": 1}, "name": "seat", "unique": true};
    command(target, "shop", doc! {"createIndexes": "seats", "indexes": [index]}).await;
    let taken = [doc! {"_id": "x", "seat": 7}, doc! {"_id": "y", "seat": 107}];
    target.database("shop").collection("seats").insert_many(taken).await.unwrap();
}

async fn command(client: &Client, db: &str, command: Document) {
    let shown = command.to_string();
    let answer = client.database(db).run_command(command).await;
    answer.unwrap_or_else(|error| panic!("{shown}: {error}"));
}

/// The documents of the tape that are there.
async fn there(client: &Client, coll: &str) -> Vec<Document> {
    let coll = client.database("shop").collection::<Document>(coll);
    let numbered = coll.find(doc! {"_id": {"$type": "int"}}).sort(doc! {"_id": 1});
    numbered.await.unwrap().try_collect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_left_out_alone_in_every_order() {
    let target = ReplicaSet::single().start().await.unwrap();
    let client = target.client().unwrap();
    let taped = Taped::of(&seats());
    for more in [
        &["--order", "document"][..],
        &["--order", "namespace"],
        &["--order", "global"],
        &["--workers", "1"],
        &["--resume"],
    ] {
        client.database("shop").drop().await.unwrap();
        occupy(&client).await;
        let more = [more, &["--on-error", "skip"]].concat();
        let ran = taped.run(&target.uri(), &more).expect_code(3);
        let told = ran.json();
        assert_eq!(told["refused"], 2, "{told}");
        assert_eq!(told["delivered"], seats().len() - 2, "{told}");
        assert_eq!((&told["divergent"], &told["adapted"]), (&0.into(), &0.into()), "{told}");
        for (refusal, (seq, operation)) in told["refusals"]
            .as_array()
            .unwrap()
            .iter()
            .zip([(REFUSED[0], "insert"), (REFUSED[1], "update")])
        {
            assert_eq!(refusal["seq"], seq, "{told}");
            assert_eq!(refusal["operation"], operation, "{told}");
            assert_eq!(refusal["namespace"], "shop.seats", "{told}");
            assert_eq!(refusal["code"], 11000, "{told}");
            assert!(refusal["errmsg"].as_str().unwrap().contains("E11000"), "{told}");
        }
        assert!(ran.stderr.contains("left out the insert at #14 on shop.seats"), "{}", ran.stderr);
        assert_eq!(there(&client, "seats").await, seats_without_refused(), "{more:?}");
        assert_eq!(there(&client, "guests").await.len(), 20);
    }
    // The progress that is kept is behind them.
    let again = taped.run(&target.uri(), &["--resume"]).expect_code(0).json();
    assert_eq!(again["startSeq"], seats().len(), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_transaction_misses_before_what_is_refused_is_named_too() {
    let target = ReplicaSet::single().start().await.unwrap();
    occupy(&target.client().unwrap()).await;
    let number = |event: &RawDocumentBuf| {
        let mut event = Document::try_from(event.as_ref()).unwrap();
        event.extend(doc! {"lsid": {"id": 1}, "txnNumber": 1_i64});
        RawDocumentBuf::try_from(&event).unwrap()
    };
    // Of two that are refused the second is found when all before it is executed once more.
    let events = [
        update("guests", 1, doc! {"is": "missing"}),
        insert("guests", doc! {"_id": 2}),
        insert("seats", doc! {"_id": 3, "seat": 7}),
        update("guests", 4, doc! {"is": "missing"}),
        insert("seats", doc! {"_id": 5, "seat": 107}),
        update("guests", 6, doc! {"is": "missing"}),
    ];
    let taped = Taped::of(&events.each_ref().map(number));
    let told = taped.run(&target.uri(), &["--on-error", "skip"]).expect_code(3).json();
    assert_eq!((&told["refused"], &told["transactions"]), (&2.into(), &1.into()), "{told}");
    let missed = told["divergences"].as_array().unwrap().iter().map(|missed| &missed["seq"]);
    assert_eq!(missed.collect::<Vec<_>>(), [0, 3, 5], "{told}");
    assert_eq!(told["divergent"], 3, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_says_what_can_be_done_and_the_replay_goes_on_as_it_says() {
    let target = ReplicaSet::single().start().await.unwrap();
    let client = target.client().unwrap();
    let taped = Taped::of(&seats());
    occupy(&client).await;
    let ended = taped.run(&target.uri(), &[]).expect_code(1);
    let sentence = ended.sentence();
    assert!(sentence.contains("refused the insert at #14 on shop.seats: E11000"), "{sentence}");
    let says = "everything before #14 is applied, --on-error skip leaves out what is refused, and \
                --start '#15' goes on behind it";
    assert!(sentence.ends_with(says), "{sentence}");
    taped.run(&target.uri(), &["--start", "#15"]).expect_code(1);
    // Whatever stands in the way of the rest goes away.
    client
        .database("shop")
        .collection::<Document>("seats")
        .delete_one(doc! {"_id": "y"})
        .await
        .unwrap();
    taped.run(&target.uri(), &["--start", "#15"]).expect_code(0);
    let mut expected = seats_without_refused();
    expected
        .iter_mut()
        .find(|seat| seat.get("_id") == Some(&5.into()))
        .unwrap()
        .insert("seat", 107);
    assert_eq!(there(&client, "seats").await, expected);

    let text = run(&taped.replay(&target.uri(), &["--on-error", "skip"])).expect_code(3).stdout;
    let says =
        "left out 1 event that the target refused\n  the insert at #14 on shop.seats: E11000";
    assert!(text.contains(says), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_is_refused_is_left_out() {
    let target = ReplicaSet::single().start().await.unwrap();
    let client = target.client().unwrap();
    let twice = [doc! {"_id": "x", "seat": 1}, doc! {"_id": "y", "seat": 1}];
    client.database("shop").collection("seats").insert_many(twice).await.unwrap();
    let index = doc! {"v": 2, "key": {"seat": 1}, "name": "seat", "unique": true};
    let taped = Taped::of(&[
        insert("seats", doc! {"_id": 1}),
        define("createIndexes", "seats", doc! {"indexes": [index]}),
        insert("seats", doc! {"_id": 2}),
    ]);
    let told = taped.run(&target.uri(), &["--on-error", "skip"]).expect_code(3).json();
    assert_eq!((&told["refused"], &told["delivered"]), (&1.into(), &2.into()), "{told}");
    assert_eq!(told["refusals"][0]["seq"], 1, "{told}");
    assert_eq!(told["refusals"][0]["operation"], "createIndexes", "{told}");
    assert_eq!(told["refusals"][0]["codeName"], "DuplicateKey", "{told}");
    assert_eq!(there(&client, "seats").await, [doc! {"_id": 1}, doc! {"_id": 2}]);
}

/// No document can be as deep as that, so that the server refuses the whole command, without a word
/// about which of its documents it is.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_command_that_is_refused_as_a_whole_only_what_is_at_fault_is_left_out() {
    let target = ReplicaSet::single().start().await.unwrap();
    let deep = (0..220).fold(doc! {}, |inner, _| doc! {"a": inner});
    let document = |n: i32| {
        if n == 33 {
            doc! {"_id": n, "deep": &deep}
        } else {
            doc! {"_id": n}
        }
    };
    let events: Vec<_> = (0..50).map(|n| insert("guests", document(n))).collect();
    let taped = Taped::of(&events);
    let told = taped.run(&target.uri(), &["--on-error", "skip"]).expect_code(3).json();
    assert_eq!(told["refused"], 1, "{told}");
    assert_eq!(told["refusals"][0]["seq"], 33, "{told}");
    let expected: Vec<_> = (0..50).filter(|n| *n != 33).map(|n| doc! {"_id": n}).collect();
    assert_eq!(there(&target.client().unwrap(), "guests").await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_may_not_write_is_named_with_the_roles_that_it_takes() {
    let target = ReplicaSet::single().auth(true).start().await.unwrap();
    let client = target.client().unwrap();
    let roles = ["readWrite", "dbAdmin"].map(|role| doc! {"role": role, "db": "shop"});
    let user = doc! {"createUser": "shop", "pwd": "p", "roles": roles.to_vec()};
    command(&client, "admin", user).await;
    let uri = target.uri_as("shop", "p");
    let mut events = seats();
    for (n, event) in (0..).zip(&mut events) {
        if n % 3 == 0 {
            *event = elsewhere("other", event);
        }
    }
    let taped = Taped::of(&events);
    let ended = taped.run(&uri, &[]).expect_code(1);
    let sentence = ended.sentence();
    assert!(sentence.contains("refused the insert at #0 on other.seats: not auth"), "{sentence}");
    assert!(sentence.contains("dbAdminAnyDatabase"), "{sentence}");
    let only = ["--on-error", "skip", "--exclude", "shop"];
    let told = taped.run(&uri, &only).expect_code(3).json();
    assert_eq!(told["refused"], events.len().div_ceil(3), "{told}");
    assert_eq!(told["refusals"].as_array().unwrap().len(), 10, "only the first are listed");
    assert_eq!(told["delivered"], 0, "{told}");
}

#[test]
fn nobody_is_asked_where_there_is_no_terminal() {
    let directory = tempdir().unwrap();
    let out = directory.path().join("out.ndjson");
    let sink = format!("file:{}", text(&out));
    let ran = run(&["replay", "/nonexistent", &sink, "--on-error", "ask"]).expect_code(2);
    assert!(ran.sentence().contains("needs a terminal"), "{}", ran.stderr);
    assert!(!out.exists());
}
