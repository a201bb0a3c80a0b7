//! Goal: what is written can be read again, and is the event; an envelope says where the event is, and
//! by how much it was late.
//!
//! Method: events are encoded in each form, what came out is decoded by the `bson` crate and by
//! `serde_json`, and compared with what the crate makes of the public event itself.

use std::iter;

use bson::raw::RawDocumentBuf;
use bson::{Bson, DateTime, Document, rawdoc};
use changetape_core::raw::DocumentWriter;

use super::*;
use crate::Transaction;

/// How many nanoseconds ago each is due.
const LATE: u64 = 1_234_567;

fn outgoing(operations: &[&str]) -> Vec<Outgoing<'static>> {
    let event = |n: i32, operation: &&str| {
        let mut event = rawdoc! {
            "operationType": *operation,
            "wallTime": DateTime::from_millis(1_772_366_400_000),
            "ns": {"db": "shop", "coll": "orders"},
            "collectionUUID": "hidden",
            "documentKey": {"_id": n},
        };
        if *operation == "update" {
            let update = rawdoc! {"$v": 2, "diff": {"u": {"price": 1.5}}};
            event.append(bson::cstr!("rawUpdateDescription"), update);
        }
        event
    };
    let due = Instant::from_nanos(Instant::now().as_nanos() - LATE);
    let transaction = Transaction::None;
    (0..)
        .zip(operations)
        .map(|(n, operation)| {
            let event = ChangeEvent::from(event(n, operation));
            Outgoing { seq: Seq::new(n.unsigned_abs().into()), event, transaction, due }
        })
        .collect()
}

const SHOWN: [&str; 3] = ["insert", "update", "delete"];

fn encoded(form: Form, due: &[Outgoing<'_>]) -> (Encoder, Vec<u8>) {
    let mut encoder = Encoder::new(form);
    encoder.encode(due).unwrap();
    let bytes = encoder.bytes().to_vec();
    (encoder, bytes)
}

/// What the `bson` crate makes of a document.
fn json(encoding: Encoding, document: &Document) -> serde_json::Value {
    let document = Bson::Document(document.clone());
    match encoding {
        Encoding::Relaxed => document.into_relaxed_extjson(),
        _ => document.into_canonical_extjson(),
    }
}

fn public(outgoing: &Outgoing<'_>) -> Document {
    let event = public_event(&outgoing.event, PublicOptions::plain()).unwrap().unwrap();
    Document::try_from(event.as_raw()).unwrap()
}

/// Takes documents apart by the lengths that they begin with.
fn documents(mut bytes: &[u8]) -> Vec<RawDocumentBuf> {
    iter::from_fn(|| (!bytes.is_empty()).then(|| RawDocumentBuf::from_reader(&mut bytes).unwrap()))
        .collect()
}

#[test]
fn each_line_is_a_public_event() {
    let due = outgoing(&SHOWN);
    for encoding in [Encoding::Canonical, Encoding::Relaxed] {
        let (_, bytes) = encoded(Form { encoding, ..Form::default() }, &due);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.ends_with('\n'));
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let expected: Vec<_> = due.iter().map(|due| json(encoding, &public(due))).collect();
        assert_eq!(lines, expected);
        assert!(!text.contains("hidden") && text.contains("updateDescription"), "{text}");
    }
}

#[test]
fn as_bson_nothing_is_changed_or_hidden() {
    let due = outgoing(&["insert", "create", "update"]);
    let (encoder, bytes) = encoded(Form { encoding: Encoding::Bson, ..Form::default() }, &due);
    let all = due.iter().flat_map(|due| due.event.as_bytes().to_vec());
    assert_eq!(bytes, all.collect::<Vec<u8>>());
    assert_eq!(documents(&bytes).len(), 3);
    assert_eq!(encoder.done(bytes.len()), Done { events: 3, hidden: 0 });
}

#[test]
fn an_envelope_says_where_when_due_and_when_sent() {
    let due = outgoing(&SHOWN);
    let envelope = Envelope::Times;
    let form = |encoding| Form { encoding, envelope, ..Form::default() };
    let (_, bytes) = encoded(form(Encoding::Bson), &due);
    let enveloped = documents(&bytes);
    for (enveloped, due) in enveloped.iter().zip(&due) {
        let [seq, at, sent] =
            ["seq", "due", "sent"].map(|name| enveloped.get(name).unwrap().unwrap().as_i64());
        assert_eq!(seq, Some(due.seq.get().cast_signed()));
        assert!(sent.unwrap() - at.unwrap() >= LATE.cast_signed(), "{at:?} {sent:?}");
        let event = enveloped.get_document("event").unwrap();
        assert_eq!(event.as_bytes(), due.event.as_bytes());
        let names: Vec<_> = enveloped.iter().map(|field| field.unwrap().0.as_str()).collect();
        assert_eq!(names, ["seq", "due", "sent", "event"]);
    }
    for encoding in [Encoding::Canonical, Encoding::Relaxed] {
        let (_, bytes) = encoded(form(encoding), &due);
        let text = String::from_utf8(bytes).unwrap();
        for ((line, due), enveloped) in text.lines().zip(&due).zip(&enveloped) {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let mut expected = Document::try_from(enveloped.as_ref()).unwrap();
            expected.insert("event", public(due));
            let mut expected = json(encoding, &expected);
            // When, each run has of its own.
            for name in ["due", "sent"] {
                let same = line[name].is_object() == expected[name].is_object();
                assert!(same && !line[name].is_null(), "{line}");
                expected[name] = line[name].clone();
            }
            assert_eq!(line, expected);
        }
        assert_eq!(text.lines().count(), due.len());
    }
}

#[test]
fn due_and_sent_differ_by_the_lateness_alone() {
    let mut encoder = Encoder::new(Form {
        encoding: Encoding::Bson,
        envelope: Envelope::Times,
        shown: Shown::Plain,
    });
    let due = outgoing(&SHOWN[..1]);
    let before = Instant::now();
    encoder.encode(&due).unwrap();
    let after = Instant::now();
    let event = &documents(encoder.bytes())[0];
    let late = event.get_i64("sent").unwrap() - event.get_i64("due").unwrap();
    let bounds = [before, after].map(|at| i64::try_from(at.since(due[0].due).as_nanos()).unwrap());
    assert!((bounds[0]..=bounds[1]).contains(&late), "{late} {bounds:?}");
}

#[test]
fn what_is_written_as_a_whole_is_done() {
    let due = outgoing(&["create", "insert", "create", "create", "delete", "create"]);
    let (encoder, bytes) = encoded(Form::default(), &due);
    let first = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for (written, events, hidden) in
        [(0, 1, 1), (first - 1, 1, 1), (first, 4, 3), (bytes.len() - 1, 4, 3), (bytes.len(), 6, 4)]
    {
        assert_eq!(encoder.done(written), Done { events, hidden }, "{written}");
    }
    let expanded = Form { shown: Shown::Expanded, ..Form::default() };
    let mut encoder = Encoder::new(expanded);
    encoder.begin(&changetape_testkit::samples::metadata());
    encoder.encode(&due).unwrap();
    assert_eq!(encoder.done(usize::MAX), Done { events: 6, hidden: 0 });
}

#[test]
fn what_comes_before_an_event_that_cannot_be_encoded_is_written() {
    let mut due = outgoing(&SHOWN);
    // What is wrong comes to light when a part of it is encoded.
    let mut broken = DocumentWriter::new();
    broken.string(b"operationType", b"insert");
    broken.value(kind::DOCUMENT, b"fullDocument", &[6, 0, 0, 0, 0x55, 0]);
    due[1].event = ChangeEvent::from(broken.finish().unwrap());
    let (encoder, bytes) = encoded(Form::default(), &due);
    assert_eq!(encoder.done(bytes.len()).events, 1);
    assert_eq!(bytes, encoded(Form::default(), &due[..1]).1);
    let mut encoder = Encoder::new(Form::default());
    let error = encoder.encode(&due[1..]).unwrap_err();
    assert!(matches!(error, Error::Event { seq, .. } if seq == Seq::new(1)), "{error}");
}
