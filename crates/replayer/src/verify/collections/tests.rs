//! Goal: a collection is followed whatever it is called, and two of one name are told apart.
//!
//! Method: definitions as events, one after the other; then the names and what they lead to.

use bson::{Document, RawDocumentBuf, doc};

use super::*;

fn ns(coll: &str) -> Namespace {
    Namespace::collection("shop", coll)
}

fn apply(collections: &mut Collections, operation: &str, coll: &str, more: Document) -> Effect {
    let mut event = doc! {"operationType": operation, "ns": {"db": "shop", "coll": coll}};
    event.extend(more);
    let event = ChangeEvent::from(RawDocumentBuf::try_from(&event).unwrap());
    collections.apply(&event).unwrap()
}

fn create(collections: &mut Collections, coll: &str) -> Lineage {
    apply(collections, "create", coll, doc! {"operationDescription": {}});
    collections.at(&ns(coll)).lineage
}

fn rename(collections: &mut Collections, from: &str, to: &str) -> Effect {
    apply(collections, "rename", from, doc! {"to": {"db": "shop", "coll": to}})
}

fn gone(collections: &Collections) -> Vec<String> {
    collections.gone().map(ToString::to_string).collect()
}

#[test]
fn a_rename_moves_a_collection_over_another_one() {
    let mut collections = Collections::default();
    let (a, b) = (create(&mut collections, "a"), create(&mut collections, "b"));
    assert_eq!(rename(&mut collections, "a", "b"), Effect::Dropped(vec![b]));
    assert_eq!(collections.at(&ns("b")).lineage, a);
    assert_eq!(gone(&collections), ["shop.a"]);
    let again = create(&mut collections, "a");
    assert!(again != a && again != b);
    assert!(gone(&collections).is_empty());
}

#[test]
fn what_is_dropped_is_gone_with_its_documents() {
    let mut collections = Collections::default();
    let (a, b) = (create(&mut collections, "a"), create(&mut collections, "b"));
    assert_eq!(apply(&mut collections, "drop", "a", doc! {}), Effect::Dropped(vec![a]));
    assert_eq!(apply(&mut collections, "dropDatabase", "", doc! {}), Effect::Dropped(vec![b]));
    assert_eq!(gone(&collections), ["shop.a", "shop.b"]);
    assert_eq!(collections.emptied().collect::<Vec<_>>(), ["shop"]);
    assert_eq!(collections.iter().count(), 0);
}

#[test]
fn what_was_there_before_is_not_known_as_a_whole() {
    let mut collections = Collections::default();
    assert!(!collections.at(&ns("a")).whole);
    let lineage = collections.at(&ns("a")).lineage;
    assert_eq!(rename(&mut collections, "a", "b"), Effect::Dropped(vec![]));
    let b = collections.at(&ns("b"));
    assert_eq!((b.lineage, b.whole), (lineage, false));
    apply(&mut collections, "drop", "b", doc! {});
    create(&mut collections, "b");
    assert!(collections.at(&ns("b")).whole);
}

#[test]
fn a_conversion_keeps_the_collection_and_takes_the_copys_definition() {
    let mut collections = Collections::default();
    let a = create(&mut collections, "a");
    let copy = "tmp8Hk2d.convertToCapped.a";
    let capped = doc! {"operationDescription": {"capped": true, "size": 4096}};
    apply(&mut collections, "create", copy, capped);
    let definition = collections.at(&ns(copy)).definition.clone();
    assert_eq!(rename(&mut collections, copy, "a"), Effect::Converted(a));
    let converted = collections.at(&ns("a"));
    assert_eq!((converted.lineage, &converted.definition), (a, &definition));
    assert_eq!(gone(&collections), [format!("shop.{copy}")]);
}
