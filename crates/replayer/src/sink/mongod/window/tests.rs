//! Goal: a window is few commands, and what has to keep its order keeps it.

use bson::raw::RawDocumentBuf;
use bson::{Bson, Document, doc};
use changetape_core::{ChangeEvent, Seq};

use super::*;
use crate::page::Outgoing;
use crate::sink::mongod::recorded::Transactions;
use crate::sink::mongod::run::Terms;
use crate::sink::mongod::statement::Form;
use crate::{Error, Transaction};

fn event(operation: &str, coll: &str, id: impl Into<Bson>, more: Document) -> Document {
    let mut event = doc! {
        "operationType": operation, "ns": {"db": "shop", "coll": coll}, "documentKey": {"_id": id},
    };
    event.extend(more);
    event
}

fn insert(coll: &str, id: i32) -> Document {
    event("insert", coll, id, doc! {"fullDocument": {"_id": id}})
}

fn update(coll: &str, id: i32) -> Document {
    let diff = doc! {"$v": 2, "diff": {"u": {"b": id}}};
    event("update", coll, id, doc! {"rawUpdateDescription": diff})
}

fn delete(coll: &str, id: impl Into<Bson>) -> Document {
    event("delete", coll, id, doc! {})
}

fn due(events: Vec<Document>) -> Vec<Outgoing<'static>> {
    let outgoing = |(seq, event): (u64, Document)| {
        let event = ChangeEvent::from(RawDocumentBuf::try_from(&event).unwrap());
        Outgoing {
            seq: Seq::new(seq),
            event,
            transaction: Transaction::None,
            due: crate::clock::Instant::default(),
        }
    };
    (0..).zip(events).map(outgoing).collect()
}

fn rules(order: Order, shares: usize) -> Rules {
    Rules { form: Form::default(), order, recorded: Transactions::Grouped, shares }
}

fn gather(events: Vec<Document>, order: Order, regrouping: Regrouping) -> Window {
    let due = due(events);
    let of = |_: &Namespace| Ok::<_, Error>(regrouping);
    Window::gather(&due, rules(order, 1), of).unwrap()
}

/// Each command and the places of its events.
fn shown(window: &mut Window) -> Vec<String> {
    let groups = window.shares[0].groups.iter_mut().map(|group| {
        let places: Vec<_> = group.run.planned().iter().map(|planned| planned.seq.get()).collect();
        let command = group.run.command(Terms::InTransaction).unwrap();
        let (verb, coll) = command.iter().next().unwrap().unwrap();
        format!("{verb} {} {places:?}", coll.as_str().unwrap())
    });
    groups.collect()
}

fn tape() -> Vec<Document> {
    vec![
        insert("a", 1),
        update("a", 1),
        insert("b", 1),
        insert("a", 2),
        update("a", 1),
        delete("a", 1),
        update("a", 2),
        insert("a", 1),
        insert("a", 3),
    ]
}

#[test]
fn each_documents_events_keep_their_order_and_the_rest_is_brought_together() {
    let mut window = gather(tape(), Order::Document, Regrouping::Free);
    assert_eq!(window.events, 9);
    let expected = [
        "insert a [0, 3, 8]",
        "update a [1, 4, 6]",
        "insert b [2]",
        "delete a [5]",
        "insert a [7]",
    ];
    assert_eq!(shown(&mut window), expected);
}

#[test]
fn a_collections_events_or_all_keep_their_order_if_they_are_told_to() {
    let expected = [
        "insert a [0]",
        "update a [1]",
        "insert b [2]",
        "insert a [3]",
        "update a [4]",
        "delete a [5]",
        "update a [6]",
        "insert a [7, 8]",
    ];
    let mut window = gather(tape(), Order::Namespace, Regrouping::Free);
    assert_eq!(shown(&mut window), expected);
    let mixed = vec![insert("a", 1), insert("b", 1), insert("a", 2)];
    let mut collections = gather(mixed.clone(), Order::Namespace, Regrouping::Free);
    assert_eq!(shown(&mut collections), ["insert a [0, 2]", "insert b [1]"]);
    let mut all = gather(mixed, Order::Global, Regrouping::Free);
    assert_eq!(shown(&mut all), ["insert a [0]", "insert b [1]", "insert a [2]"]);
}

#[test]
fn ids_that_are_equal_to_the_server_are_one_document() {
    let again = event("insert", "a", 1.0, doc! {"fullDocument": {"_id": 1.0}});
    let tape = vec![insert("a", 2), delete("a", 1), again];
    let mut window = gather(tape, Order::Document, Regrouping::Free);
    assert_eq!(shown(&mut window), ["insert a [0]", "delete a [1]", "insert a [2]"]);
}

#[test]
fn a_window_ends_before_what_no_transaction_takes() {
    let events = |event: Document| {
        let tape = vec![insert("a", 1), insert("a", 2), event, insert("a", 3)];
        gather(tape, Order::Document, Regrouping::Free).events
    };
    assert_eq!(events(doc! {"operationType": "drop", "ns": {"db": "shop", "coll": "b"}}), 2);
    let mut part = insert("a", 9);
    part.insert("splitEvent", doc! {"fragment": 1, "of": 2});
    assert_eq!(events(part), 2);
    assert_eq!(gather(tape(), Order::Document, Regrouping::Alone).events, 0);
}

#[test]
fn what_makes_no_sense_is_told_when_it_is_its_turn() {
    let broken = event("insert", "a", 3, doc! {});
    let gather = |tape| {
        let of = |_: &Namespace| Ok::<_, Error>(Regrouping::Free);
        Window::gather(&due(tape), rules(Order::Document, 2), of)
    };
    assert_eq!(gather(vec![insert("a", 1), insert("a", 2), broken.clone()]).unwrap().events, 2);
    assert!(matches!(gather(vec![broken]), Err(Error::Event { .. })));
}

/// Marks those from one on, so many, as one transaction.
fn recorded(mut due: Vec<Outgoing<'static>>, from: usize, events: usize) -> Vec<Outgoing<'static>> {
    for outgoing in &mut due[from..from + events] {
        outgoing.transaction = Transaction::Continues;
    }
    due[from + events - 1].transaction = Transaction::Ends;
    due
}

#[test]
fn a_recorded_transaction_is_in_a_window_as_a_whole_or_not() {
    let events = |due: &[Outgoing<'_>], recorded| {
        let of = |_: &Namespace| Ok::<_, Error>(Regrouping::Free);
        let window = Window::gather(due, Rules { recorded, ..rules(Order::Document, 4) }, of);
        let window = window.unwrap();
        (window.events, window.shares.len())
    };
    let drop = doc! {"operationType": "drop", "ns": {"db": "shop", "coll": "b"}};
    let mut tape: Vec<_> = (0..20).map(|id| insert("a", id)).collect();
    tape.insert(15, drop);
    let tape = recorded(due(tape), 12, 5);
    assert_eq!(events(&tape, Transactions::Grouped), (12, 1));
    assert_eq!(events(&tape, Transactions::Off), (15, 4));
    // A window has its bounds, unless a transaction begins it.
    let tape: Vec<_> = (0..5_000).map(|id| insert("a", id)).collect();
    let behind = recorded(due(tape.clone()), 4_000, 100);
    assert_eq!(events(&behind, Transactions::Grouped), (4_000, 1));
    let at_front = recorded(due(tape), 0, 4_500);
    assert_eq!(events(&at_front, Transactions::Grouped), (4_500, 1));
    assert_eq!(events(&at_front, Transactions::Off), (MAX_EVENTS, 4));
}

#[test]
fn a_command_has_room_for_a_thousand_statements() {
    let tape: Vec<_> = (0..2_500).map(|id| insert("a", id)).collect();
    let window = gather(tape, Order::Document, Regrouping::Free);
    let sizes: Vec<_> =
        window.shares[0].groups.iter().map(|group| group.run.planned().len()).collect();
    assert_eq!((window.events, sizes), (2_500, vec![1000, 1000, 500]));
    let tape: Vec<_> = (0..5_000).map(|id| insert("a", id)).collect();
    let window = gather(tape, Order::Document, Regrouping::Free);
    assert_eq!(window.events, MAX_EVENTS);
}

/// The collections and documents that each transaction has.
fn shares(order: Order, regrouping: Regrouping) -> Vec<Vec<(String, i32)>> {
    let tape = (0..400).flat_map(|n| [insert("a", n), insert("b", n), update("a", n)]);
    let due = due(tape.collect());
    let of = |_: &Namespace| Ok::<_, Error>(regrouping);
    let window = Window::gather(&due, rules(order, 4), of).unwrap();
    assert_eq!(window.events, due.len());
    let document = |at: &usize| {
        let event = &due[*at].event;
        let coll = event.namespace().unwrap().unwrap().coll.unwrap();
        (coll, event.document_key().unwrap().unwrap().get_i32("_id").unwrap())
    };
    let share = |share: &Share| share.events.iter().map(document).collect();
    window.shares.iter().map(share).collect()
}

#[test]
fn transactions_share_a_window_by_its_documents() {
    let shares = shares(Order::Document, Regrouping::Free);
    assert_eq!(shares.len(), 4);
    for (at, share) in shares.iter().enumerate() {
        assert!(share.len() > 200, "about a quarter of 1200: {}", share.len());
        let others = shares.iter().enumerate().filter(|(other, _)| *other != at);
        for (_, other) in others {
            assert!(share.iter().all(|document| !other.contains(document)));
        }
    }
}

#[test]
fn what_has_to_stay_together_is_in_one_transaction() {
    for (order, regrouping) in
        [(Order::Document, Regrouping::Together), (Order::Namespace, Regrouping::Free)]
    {
        let shares = shares(order, regrouping);
        assert_eq!(shares.iter().map(Vec::len).collect::<Vec<_>>(), [800, 400]);
        assert!(shares[0].iter().all(|(coll, _)| coll == "a"));
    }
    assert_eq!(shares(Order::Global, Regrouping::Free).len(), 1);
}
