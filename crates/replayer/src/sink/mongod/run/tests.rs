//! Goal: which events go into one command, and that the command says what was recorded.

use bson::{Document, Timestamp, doc, rawdoc};
use changetape_core::ChangeEvent;

use super::*;
use crate::Transaction;

fn outgoing(seq: u64, event: &Document) -> Outgoing<'static> {
    let event = RawDocumentBuf::try_from(event).unwrap();
    Outgoing {
        seq: Seq::new(seq),
        event: ChangeEvent::from(event),
        transaction: Transaction::None,
        due: crate::clock::Instant::default(),
    }
}

fn event(operation: &str, coll: &str, id: i32, more: Document) -> Document {
    let mut event = doc! {
        "_id": {"_data": "82"}, "operationType": operation,
        "ns": {"db": "shop", "coll": coll}, "documentKey": {"shard": 9, "_id": id},
    };
    event.extend(more);
    event
}

fn insert(coll: &str, id: i32) -> Document {
    event("insert", coll, id, doc! {"fullDocument": {"_id": id, "b": 1, "a": 2}})
}

fn update(coll: &str, id: i32) -> Document {
    let diff = doc! {"$v": 2, "diff": {"u": {"b": id}}};
    event("update", coll, id, doc! {"rawUpdateDescription": diff})
}

fn replace(coll: &str, id: i32) -> Document {
    event("replace", coll, id, doc! {"fullDocument": {"_id": id, "x": 1}})
}

fn delete(coll: &str, id: i32) -> Document {
    event("delete", coll, id, doc! {})
}

fn gather(events: Vec<Document>, form: Form) -> Run {
    let due: Vec<_> = (0..).zip(events).map(|(n, event)| outgoing(n, &event)).collect();
    let namespace = due[0].event.namespace().unwrap().unwrap();
    Run::gather(&due, &namespace, form, 0).unwrap()
}

fn command(mut run: Run) -> Document {
    Document::try_from(run.command(Terms::Alone(Some(7))).unwrap()).unwrap()
}

fn statement(event: Document, form: Form) -> Document {
    let command = command(gather(vec![event], form));
    let field = if command.contains_key("update") { "updates" } else { "deletes" };
    command.get_array(field).unwrap()[0].as_document().unwrap().clone()
}

#[test]
fn inserts_are_one_command() {
    let command = command(gather(vec![insert("a", 1), insert("a", 2)], Form::default()));
    let expected = doc! {
        "insert": "a",
        "documents": [{"_id": 1, "b": 1, "a": 2}, {"_id": 2, "b": 1, "a": 2}],
        "ordered": true,
        "bypassDocumentValidation": true,
        "writeConcern": {"w": "majority", "wtimeout": 10_000},
        "txnNumber": 7_i64,
    };
    assert_eq!(command, expected);
    let names: Vec<_> = command.keys().collect();
    assert_eq!(names[0], "insert", "the server takes the first field for the command");
}

#[test]
fn a_run_ends_where_the_command_or_the_namespace_changes() {
    let len = |events| gather(events, Form::default()).planned().len();
    assert_eq!(len(vec![insert("a", 1), insert("b", 1)]), 1);
    assert_eq!(len(vec![insert("a", 1), update("a", 1)]), 1);
    assert_eq!(len(vec![update("a", 1), replace("a", 3), update("a", 2), delete("a", 4)]), 3);
    assert_eq!(len(vec![delete("a", 1), delete("a", 2), insert("a", 1)]), 2);
    let drop = doc! {"operationType": "drop", "ns": {"db": "shop", "coll": "a"}};
    assert_eq!(len(vec![insert("a", 1), drop, insert("a", 2)]), 1);
    let mut part = insert("a", 2);
    part.insert("splitEvent", doc! {"fragment": 1, "of": 2});
    assert_eq!(len(vec![insert("a", 1), part]), 1);
}

#[test]
fn a_run_of_updates_has_one_statement_for_each_document() {
    let exist = Form { documents_exist: true, ..Form::default() };
    let len = |events, form| gather(events, form).planned().len();
    assert_eq!(len(vec![update("a", 1), update("a", 2), replace("a", 1)], exist), 2);
    assert_eq!(len(vec![insert("a", 1), update("a", 1)], exist), 1);
    let mut moved = update("a", 1);
    moved.insert("documentKey", doc! {"shard": 8, "_id": 1});
    let sharded = Form { sharded: true, ..exist };
    assert_eq!(len(vec![update("a", 1), moved], sharded), 1);
    assert_eq!(len(vec![delete("a", 1), delete("a", 1)], exist), 2);
}

#[test]
fn an_event_of_several_statements_is_as_many_runs() {
    let description = doc! {
        "updatedFields": {"b": 1}, "removedFields": [],
        "truncatedArrays": [{"field": "a", "newSize": 2}],
    };
    let two = event("update", "a", 2, doc! {"updateDescription": description});
    let events = [update("a", 1), two, update("a", 3)];
    let due: Vec<_> = (0..).zip(events).map(|(n, event)| outgoing(n, &event)).collect();
    let effects = |due: &[Outgoing<'_>], prepared| -> Vec<_> {
        let namespace = Namespace::collection("shop", "a");
        let run = Run::gather(due, &namespace, Form::default(), prepared).unwrap();
        run.planned().iter().map(|planned| (planned.event, planned.effect)).collect()
    };
    assert_eq!(effects(&due, 0), [(0, Effect::Update)]);
    assert_eq!(effects(&due[1..], 0), [(0, Effect::Prepare)]);
    assert_eq!(effects(&due[1..], 1), [(0, Effect::Update)]);
    assert_eq!(effects(&due[2..], 0), [(0, Effect::Update)]);
}

#[test]
fn a_run_is_bounded() {
    let many = (0..1500).map(|id| insert("a", id)).collect();
    assert_eq!(gather(many, Form::default()).planned().len(), MAX_STATEMENTS);
    let large =
        |id| event("insert", "a", id, doc! {"fullDocument": {"_id": id, "b": "x".repeat(7 << 20)}});
    let run = gather(vec![large(1), large(2), large(3)], Form::default());
    assert_eq!(run.planned().len(), 2);
    let largest = event("insert", "a", 1, doc! {"fullDocument": {"b": "x".repeat(16 << 20)}});
    assert_eq!(gather(vec![largest.clone(), largest], Form::default()).planned().len(), 1);
}

#[test]
fn a_document_is_found_by_its_id_and_on_a_sharded_cluster_by_its_whole_key() {
    let found_by = |event, sharded| {
        statement(event, Form { sharded, ..Form::default() }).get_document("q").unwrap().clone()
    };
    for event in [update("a", 3), replace("a", 3), delete("a", 3)] {
        assert_eq!(found_by(event.clone(), false), doc! {"_id": 3});
        assert_eq!(found_by(event, true), doc! {"shard": 9, "_id": 3});
    }
}

#[test]
fn each_operation_has_its_statement() {
    let form = Form::default();
    assert_eq!(
        statement(update("a", 3), form),
        doc! {"q": {"_id": 3}, "u": [{"$_internalApplyOplogUpdate": {
            "oplogUpdate": {"$v": 2, "diff": {"u": {"b": 3}}},
        }}]}
    );
    assert_eq!(
        statement(replace("a", 3), form),
        doc! {"q": {"_id": 3}, "u": {"_id": 3, "x": 1}, "upsert": true}
    );
    assert_eq!(statement(delete("a", 3), form), doc! {"q": {"_id": 3}, "limit": 1});
    assert_eq!(
        statement(insert("a", 3), Form { documents_exist: true, ..form }),
        doc! {"q": {"_id": 3}, "u": {"_id": 3, "b": 1, "a": 2}, "upsert": true}
    );
}

#[test]
fn what_the_plain_form_would_change_is_put_literally() {
    let zero = Timestamp { time: 0, increment: 0 };
    for document in [doc! {"_id": 3, "$a": 1}, doc! {"_id": 3, "t": zero}] {
        let replace = event("replace", "a", 3, doc! {"fullDocument": document.clone()});
        let expected =
            doc! {"q": {"_id": 3}, "u": [{"$replaceWith": {"$literal": document}}], "upsert": true};
        assert_eq!(statement(replace, Form::default()), expected);
    }
    let insert = event("insert", "a", 3, doc! {"fullDocument": {"_id": 3, "t": zero}});
    assert!(statement(insert, Form::default()).contains_key("upsert"));
    for document in
        [doc! {"_id": zero}, doc! {"_id": 3, "$a": 1}, doc! {"_id": 3, "s": {"t": zero}}]
    {
        let insert = event("insert", "a", 3, doc! {"fullDocument": document});
        assert!(gather(vec![insert], Form::default()).is_insert());
    }
}

#[test]
fn an_update_without_raw_diff_takes_the_post_image_where_there_is_one() {
    let public = |full_document: Option<Document>| {
        let description =
            doc! {"updatedFields": {"a": 1}, "removedFields": [], "truncatedArrays": []};
        let mut event = event("update", "a", 3, doc! {"updateDescription": description});
        event.extend(full_document.map(|document| ("fullDocument".to_owned(), document.into())));
        event
    };
    let form = Form { post_images: true, ..Form::default() };
    let after = doc! {"_id": 3, "a": 1};
    assert_eq!(
        statement(public(Some(after.clone())), form),
        doc! {"q": {"_id": 3}, "u": after.clone(), "upsert": true}
    );
    let operators = doc! {"q": {"_id": 3}, "u": {"$set": {"a": 1}, "$unset": {}}};
    assert_eq!(statement(public(None), form), operators);
    assert_eq!(statement(public(Some(after)), Form::default()), operators, "perhaps a look-up");
}

#[test]
fn an_event_that_lacks_what_it_needs_is_named() {
    for event in [
        doc! {"operationType": "insert", "ns": {"db": "a", "coll": "b"}},
        doc! {"operationType": "update", "ns": {"db": "a", "coll": "b"}, "documentKey": {"_id": 1}},
        doc! {"operationType": "delete", "ns": {"db": "a", "coll": "b"}, "documentKey": {"k": 1}},
        doc! {"operationType": "delete", "ns": {"db": "a", "coll": "b"}},
    ] {
        let due = [outgoing(41, &event)];
        let failed = Run::gather(&due, &Namespace::collection("a", "b"), Form::default(), 0);
        assert!(matches!(failed, Err(Error::Event { seq, .. }) if seq == Seq::new(41)));
    }
}

#[test]
fn bytes_are_copied_whatever_they_mean() {
    // A name that stands twice survives, which no decoded document could.
    let mut document = DocumentWriter::new();
    document.int32(b"_id", 1);
    document.int32(b"a", 1);
    document.int32(b"a", 2);
    let document = document.finish().unwrap();
    let mut event = rawdoc! {"operationType": "insert", "ns": {"db": "a", "coll": "b"}};
    event.append(bson::cstr!("fullDocument"), document.clone());
    let due = [Outgoing {
        seq: Seq::ZERO,
        event: ChangeEvent::from(event),
        transaction: Transaction::None,
        due: crate::clock::Instant::default(),
    }];
    let mut run = Run::gather(&due, &Namespace::collection("a", "b"), Form::default(), 0).unwrap();
    let command = run.command(Terms::Alone(None)).unwrap();
    let sent = command.get_array("documents").unwrap().get_document(0).unwrap();
    assert_eq!(sent.as_bytes(), document.as_bytes());
    assert!(command.get("txnNumber").unwrap().is_none());
}
