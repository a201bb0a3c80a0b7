//! Goal: the same text as the `bson` crate's own, for documents of any shape and every type, in both
//! forms.

use bson::spec::BinarySubtype;
use bson::{Binary, DateTime, Decimal128, JavaScriptCodeWithScope, Regex, Timestamp, cstr, doc};

use super::*;

fn ours(document: &[u8]) -> String {
    in_form(Json::Canonical, document)
}

fn in_form(form: Json, document: &[u8]) -> String {
    let mut out = Vec::new();
    append(&mut out, form, document).unwrap();
    String::from_utf8(out).unwrap()
}

fn assert_same(document: &Document) {
    let bytes = document.to_vec().unwrap();
    let whole = Bson::Document(document.clone());
    let canonical = whole.clone().into_canonical_extjson().to_string();
    assert_eq!(in_form(Json::Canonical, &bytes), canonical);
    assert_eq!(in_form(Json::Relaxed, &bytes), whole.into_relaxed_extjson().to_string());
}

#[test]
fn every_type_is_written_as_the_bson_crate_writes_it() {
    let document = doc! {
        "double": [1.5, 1.0, -0.0, 1e300, 5e-324, f64::NAN, f64::INFINITY, f64::NEG_INFINITY],
        "string": "quotes \" back \\ line \n control \u{1} wide \u{1f600} / é",
        "": {"": {}, "a.b": [], "$x": [[]]},
        "binary": Binary { subtype: BinarySubtype::Uuid, bytes: vec![1; 16] },
        "old": Binary { subtype: BinarySubtype::BinaryOld, bytes: vec![1, 2, 3] },
        "undefined": Bson::Undefined,
        "id": bson::oid::ObjectId::from_bytes([0, 1, 2, 0xAB, 0xCD, 0xEF, 6, 7, 8, 9, 10, 11]),
        "bool": [true, false],
        "date": [DateTime::from_millis(-5), DateTime::from_millis(1_772_366_400_120), DateTime::MIN],
        "first and last": [DateTime::from_millis(0), DateTime::from_millis(LAST_TEXT_DATE)],
        "null": null,
        "regex": Bson::RegularExpression(Regex { pattern: cstr!("a\"b").into(), options: cstr!("im").into() }),
        "code": Bson::JavaScriptCode("x(\"1\")".into()),
        "symbol": Bson::Symbol("s".into()),
        "scope": JavaScriptCodeWithScope { code: "y".into(), scope: doc! {"z": [1, 2_i64]} },
        "int": [0, i32::MIN, i32::MAX],
        "time": Timestamp { time: u32::MAX, increment: 7 },
        "long": [i64::MIN, i64::MAX],
        "decimal": "-1.250E+40".parse::<Decimal128>().unwrap(),
        "min": Bson::MinKey,
        "max": Bson::MaxKey,
    };
    assert_same(&document);
}

#[test]
fn random_documents_are_written_as_the_bson_crate_writes_them() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..500 {
        let document = random_document(&mut random, 4);
        assert_same(&document);
    }
}

fn random_document(random: &mut fastrand::Rng, depth: u32) -> Document {
    (0..random.usize(..6))
        .map(|_| {
            let name: String = (0..random.usize(..4)).map(|_| random.char('\u{1}'..)).collect();
            (name, random_value(random, depth))
        })
        .collect()
}

fn random_value(random: &mut fastrand::Rng, depth: u32) -> Bson {
    match random.u32(if depth == 0 { 2..8 } else { 0..8 }) {
        0 => Bson::Document(random_document(random, depth - 1)),
        1 => (0..random.usize(..4)).map(|_| random_value(random, depth - 1)).collect(),
        2 => Bson::Double(f64::from_bits(random.u64(..))),
        3 => Bson::Int32(random.i32(..)),
        4 => Bson::Int64(random.i64(..)),
        5 => Bson::String((0..random.usize(..8)).map(|_| random.char(..)).collect()),
        6 => Bson::DateTime(DateTime::from_millis(
            (random.i64(..) >> random.u32(..64)).min(LAST_TEXT_DATE),
        )),
        _ => Bson::Null,
    }
}

/// The `bson` crate makes the last moment of the year 9999 of them when relaxed.
#[test]
fn a_late_date_stays_what_it_is() {
    for millis in [LAST_TEXT_DATE + 1, i64::MAX] {
        let bytes = doc! {"late": DateTime::from_millis(millis)}.to_vec().unwrap();
        let text = format!(r#"{{"late":{{"$date":{{"$numberLong":"{millis}"}}}}}}"#);
        assert_eq!(in_form(Json::Canonical, &bytes), text);
        assert_eq!(in_form(Json::Relaxed, &bytes), text);
    }
}

#[test]
fn a_name_that_stands_twice_is_written_twice() {
    let mut writer = DocumentWriter::new();
    writer.int32(b"a", 1);
    writer.int32(b"a", 2);
    let text = ours(&writer.into_bytes());
    assert_eq!(text, r#"{"a":{"$numberInt":"1"},"a":{"$numberInt":"2"}}"#);
}

#[test]
fn bytes_that_are_no_text_do_not_break_the_line() {
    let mut writer = DocumentWriter::new();
    writer.string(b"a\xFF", b"b\xFE\n");
    let text = ours(&writer.into_bytes());
    assert_eq!(text, "{\"a\u{fffd}\":\"b\u{fffd}\\n\"}");
}

#[test]
fn a_deep_document_does_not_overflow_the_stack() {
    let mut writer = DocumentWriter::new();
    for _ in 0..200_000 {
        writer.open(kind::DOCUMENT, b"");
    }
    assert!(ours(&writer.into_bytes()).len() > 200_000);
}

#[test]
fn a_document_cut_anywhere_is_refused() {
    let bytes = doc! {"a": "b", "c": [1, {"d": 2.5}], "e": Timestamp { time: 1, increment: 2 }};
    let bytes = bytes.to_vec().unwrap();
    for len in 0..bytes.len() {
        assert!(append(&mut Vec::new(), Json::Canonical, &bytes[..len]).is_err(), "cut to {len}");
    }
}
