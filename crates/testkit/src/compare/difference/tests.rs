//! Goal: what differs in a byte is found and said in words that lead there.
//! Method: dumps made by hand that differ in one thing each.

use bson::{Document, doc};
use changetape_core::Namespace;

use super::*;

fn bytes(document: &Document) -> RawDocumentBuf {
    RawDocumentBuf::try_from(document).unwrap()
}

fn key(id: i32) -> DocumentKey {
    DocumentKey { kind: 0x10, value: id.to_le_bytes().into() }
}

fn dump(documents: &[(i32, Document)]) -> Dump {
    let contents = Contents {
        kind: "collection".to_owned(),
        options: bytes(&doc! {"capped": true}),
        indexes: [("a_1".to_owned(), bytes(&doc! {"key": {"a": 1}}))].into(),
        documents: documents.iter().map(|(id, document)| (key(*id), bytes(document))).collect(),
        order: Some(documents.iter().map(|(id, _)| key(*id)).collect()),
    };
    Dump { collections: [(Namespace::collection("shop", "orders"), contents)].into() }
}

#[track_caller]
fn check(expected: &Document, found: &Document, message: &str) {
    let differences = dump(&[(7, expected.clone())]).differences(&dump(&[(7, found.clone())]));
    assert_eq!(differences.total(), 1);
    assert_eq!(
        differences.to_string(),
        format!("shop.orders: document {{\"$numberInt\":\"7\"}}: {message}")
    );
}

#[test]
fn equal_dumps_are_identical() {
    let one = dump(&[(1, doc! {"a": f64::NAN})]);
    assert_eq!(one.differences(&one.clone()).to_string(), "identical");
}

#[test]
fn values_types_names_and_order_are_told_apart() {
    check(
        &doc! {"items": [{"n": 1_i32}]},
        &doc! {"items": [{"n": 1_i64}]},
        r#"at "items.0.n": expected {"$numberInt":"1"}, found {"$numberLong":"1"}"#,
    );
    check(
        &doc! {"a": 1, "b": 2},
        &doc! {"b": 2, "a": 1},
        r#"where "a" should be, the field "b" is"#,
    );
    check(&doc! {"a": {"b": 1}}, &doc! {"a": {}}, r#""a.b" is missing: {"$numberInt":"1"}"#);
    check(&doc! {}, &doc! {"a": "x"}, r#""a" is not expected: "x""#);
    check(
        &doc! {"a": 0.0},
        &doc! {"a": -0.0},
        r#"at "a": expected {"$numberDouble":"0.0"}, found {"$numberDouble":"-0.0"}"#,
    );
    let quiet = f64::from_bits(0x7FF8_0000_0000_0001);
    check(
        &doc! {"a": f64::from_bits(0x7FF8_0000_0000_0000)},
        &doc! {"a": quiet},
        "at \"a\": expected NaN [00, 00, 00, 00, 00, 00, f8, 7f], \
         found NaN [01, 00, 00, 00, 00, 00, f8, 7f]",
    );
}

#[test]
fn whatever_else_a_user_sees_is_compared_too() {
    let one = dump(&[(1, doc! {}), (2, doc! {})]);
    let check = |other: &Dump, message: &str| {
        assert_eq!(one.differences(other).to_string(), message);
    };
    check(
        &dump(&[(2, doc! {}), (1, doc! {})]),
        "shop.orders: where {\"$numberInt\":\"1\"} should be in the order, {\"$numberInt\":\"2\"} is",
    );
    check(&dump(&[(1, doc! {})]), "shop.orders: document {\"$numberInt\":\"2\"} is missing");
    check(&Dump::default(), "shop.orders: this collection is missing");
    assert_eq!(Dump::default().differences(&one).to_string(), "shop.orders: not expected to exist");
    let changed = |change: fn(&mut Contents)| {
        let mut other = one.clone();
        other.collections.values_mut().for_each(change);
        other
    };
    check(
        &changed(|contents| contents.kind = "view".to_owned()),
        "shop.orders: expected a collection, found a view",
    );
    check(
        &changed(|contents| contents.options = bytes(&doc! {"capped": false})),
        "shop.orders: options: at \"capped\": expected true, found false",
    );
    check(&changed(|contents| contents.indexes.clear()), "shop.orders: index \"a_1\" is missing");
}

#[test]
fn many_differences_are_counted_and_the_first_described() {
    let documents: Vec<_> = (0..50).map(|id| (id, doc! {})).collect();
    let differences = dump(&documents).differences(&dump(&[]));
    assert_eq!(differences.total(), 50);
    let text = differences.to_string();
    assert_eq!(text.lines().count(), 21);
    assert!(text.ends_with("\nand 30 more"), "{text}");
}

#[test]
fn a_renamed_dump_compares_under_the_new_names() {
    let renamed = dump(&[]).renamed(|namespace| Namespace { db: "copy".to_owned(), ..namespace });
    assert!(!renamed.differences(&dump(&[])).is_empty());
    let back = renamed.renamed(|namespace| Namespace { db: "shop".to_owned(), ..namespace });
    assert!(back.differences(&dump(&[])).is_empty());
    assert!(
        back.filtered(|namespace| namespace.db != "shop").differences(&Dump::default()).is_empty()
    );
}
