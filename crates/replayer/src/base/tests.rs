//! Goal: what is made of a base, and in which order; and which tapes and selections are refused.
//! Method: small tapes by hand. What servers make of it is tested with one.

use std::slice;

use bson::{Document, doc};
use changetape_core::{
    Arrival, ClusterTime, NamespaceFilter, OperationType, Position, Seq, WallTime,
};
use changetape_tape::{Batch, Edge, Gap, GapCause, TapeDraft, TapeOptions, TapeWriter};
use changetape_testkit::samples;
use tempfile::{TempDir, tempdir};

use super::*;
use crate::sink::Taken;
use crate::sink::null::NullSink;
use crate::{
    AtGap, Ended, Missing, NamespaceMap, Outgoing, Progress, Replay, Selection, Sink, Stop, Tally,
};

fn raw(document: &Document) -> RawDocumentBuf {
    RawDocumentBuf::try_from(document).unwrap()
}

fn definition(coll: &str, options: &Document, indexes: &[Document]) -> Definition {
    let (db, coll, kind) = ("shop".to_owned(), coll.to_owned(), "collection".to_owned());
    Definition { db, coll, kind, options: raw(options), indexes: indexes.iter().map(raw).collect() }
}

fn view(name: &str, on: &str) -> Definition {
    definition(name, &doc! {"viewOn": on, "pipeline": []}, &[])
}

/// A tape that has these, each with a document unless it is a view, and no event yet.
fn tape(definitions: &[Definition]) -> (TempDir, TapeWriter) {
    let directory = tempdir().unwrap();
    let draft = TapeDraft::begin(&directory.path().join("based.tape")).unwrap();
    let time = ClusterTime { seconds: 1, increment: 1 };
    let mut base = draft.begin_base(time, WallTime::from_millis(0)).unwrap();
    for definition in definitions {
        base.collection(definition).unwrap();
        if definition.options.get_str("viewOn").is_err() {
            base.document(&rawdoc! {"_id": 1}).unwrap();
        }
    }
    base.finish().unwrap();
    (directory, draft.finish(samples::metadata(), TapeOptions::default()).unwrap())
}

fn restoration(tape: &TapeWriter, options: &ReplayOptions) -> Result<Restoration, Error> {
    Restoration::of(&tape.reader(), options, Existing::Refuse)
}

fn names(restoration: &Restoration) -> Vec<String> {
    restoration.parts().iter().map(|part| part.namespace().to_string()).collect()
}

#[test]
fn views_come_behind_what_they_are_on() {
    let (_directory, tape) = tape(&[
        view("a", "b"),
        view("b", "z"),
        view("c", "elsewhere"),
        view("d", "a"),
        definition("orders", &doc! {}, &[]),
        view("y", "orders"),
        definition("z", &doc! {}, &[]),
    ]);
    let restoration = restoration(&tape, &ReplayOptions::default()).unwrap();
    let expected = ["orders", "z", "b", "c", "y", "a", "d"].map(|name| format!("shop.{name}"));
    assert_eq!(names(&restoration), expected);
    assert_eq!(restoration.documents(), 2);
}

#[test]
fn views_in_a_circle_are_left_to_the_server() {
    let (_directory, tape) = tape(&[view("a", "b"), view("b", "a")]);
    let restoration = restoration(&tape, &ReplayOptions::default()).unwrap();
    assert_eq!(names(&restoration), ["shop.a", "shop.b"]);
}

#[test]
fn what_is_not_selected_is_left_out_and_the_rest_has_its_new_name() {
    let (_directory, tape) = tape(&[
        definition("audit", &doc! {}, &[]),
        definition("orders", &doc! {}, &[]),
        view("shown", "orders"),
    ]);
    let namespaces = NamespaceFilter {
        include: vec!["shop".parse().unwrap()],
        exclude: vec!["*.audit".parse().unwrap()],
    };
    let operations = vec![OperationType::Delete];
    let selection = Selection { namespaces, operations, ..Selection::default() };
    let map = NamespaceMap::parse(["shop=test"]).unwrap();
    let options = ReplayOptions { selection, map, ..ReplayOptions::default() };
    assert_eq!(names(&restoration(&tape, &options).unwrap()), ["test.orders", "test.shown"]);
}

#[test]
fn indexes_are_made_once_each() {
    let id = doc! {"v": 2, "key": {"_id": 1}, "name": "_id_", "collation": {"locale": "fr"}};
    let other = doc! {"v": 2, "key": {"a": 1}, "name": "a"};
    let by = doc! {"v": 2, "key": {"_id": 1}, "name": "_id_", "unique": true, "clustered": true};
    let options = doc! {"collation": {"locale": "fr"}};
    let (_directory, tape) = tape(&[
        definition("both", &options, &[id.clone(), other.clone()]),
        definition("clustered", &doc! {}, &[by, other.clone()]),
        definition("id", &doc! {}, slice::from_ref(&id)),
    ]);
    let restoration = restoration(&tape, &ReplayOptions::default()).unwrap();
    let others = Some(raw(&doc! {"indexes": [other]}));
    let [both, clustered, alone] = restoration.parts() else { panic!("three") };
    let mut creation = options;
    creation.insert("idIndex", id.clone());
    assert_eq!((both.creation(), both.indexes()), (raw(&creation), others.clone()));
    assert_eq!((clustered.creation(), clustered.indexes()), (raw(&doc! {}), others));
    assert_eq!((alone.creation(), alone.indexes()), (raw(&doc! {"idIndex": id}), None));
}

#[test]
fn a_base_belongs_to_the_beginning() {
    let (_directory, tape) = tape(&[]);
    let start = Some(Position::Seq(Seq::ZERO));
    let selection = Selection { start, ..Selection::default() };
    let options = ReplayOptions { selection, ..ReplayOptions::default() };
    let error = restoration(&tape, &options).unwrap_err();
    assert!(matches!(&error, Error::BaseWithStart) && error.is_usage(), "{error}");
}

fn append(tape: &mut TapeWriter, gap: Option<Gap>) {
    let (event, token) = (samples::event(0, ""), samples::token(1));
    let batch = Batch { events: &[&event], token: &token, arrival: Arrival::default() };
    match gap {
        Some(gap) => tape.append_behind(gap, &batch).unwrap(),
        None => tape.append(&batch).unwrap(),
    };
}

/// Elsewhere a gap before the first event that is played does not matter.
#[test]
fn a_gap_between_the_base_and_the_first_event_is_one() {
    let (_directory, mut tape) = tape(&[]);
    let gap = Gap {
        at: Seq::ZERO,
        places: 0,
        cause: GapCause::HistoryLost,
        before: Edge::default(),
        after: Edge::default(),
        noticed: WallTime::from_millis(0),
    };
    append(&mut tape, Some(gap));
    let play = |gaps, base| {
        let missing = Missing { gaps, ..Missing::default() };
        let options = ReplayOptions { missing, ..ReplayOptions::default() };
        let replay = Replay::new(tape.reader(), options, Box::new(NullSink)).with_base(base);
        replay.run(&Progress::default(), &Stop::default())
    };
    let base = || Some(restoration(&tape, &ReplayOptions::default()).unwrap());
    assert!(matches!(play(AtGap::Refuse, base()).unwrap_err(), Error::Gap { .. }));
    assert!(matches!(play(AtGap::Cross, base()).unwrap_err(), Error::BaseNeedsDatabase));
    assert_eq!(play(AtGap::Refuse, None).unwrap().delivered, 1);
}

/// A sink that is stopped over the base.
struct Interrupted;

impl Sink for Interrupted {
    fn restore(&mut self, _: &Restoration, _: &Progress, _: &Stop) -> Result<Restored, Error> {
        Ok(Restored { extent: Extent::Part, documents: 7, ..Restored::default() })
    }

    fn deliver(&mut self, _: &[Outgoing<'_>], _: &mut Tally, _: &Stop) -> Result<Taken, Error> {
        panic!("an event behind a part of a base")
    }
}

#[test]
fn no_event_follows_a_part_of_a_base() {
    let (_directory, mut tape) = tape(&[]);
    append(&mut tape, None);
    let options = ReplayOptions::default();
    let base = restoration(&tape, &options).unwrap();
    let replay = Replay::new(tape.reader(), options, Box::new(Interrupted)).with_base(Some(base));
    let summary = replay.run(&Progress::default(), &Stop::default()).unwrap();
    assert_eq!(summary.ended, Ended::Stopped);
    assert_eq!((summary.read, summary.delivered, summary.reached), (0, 0, Seq::ZERO));
    assert_eq!(summary.base.map(|base| base.documents), Some(7));
}
