//! Random names, values, documents, keys and updates.

use std::ops::RangeInclusive;

use bson::oid::ObjectId;
use bson::spec::BinarySubtype;
use bson::{
    Binary, Bson, DateTime, Decimal128, Document, JavaScriptCodeWithScope, Regex, Timestamp, doc,
};
use fastrand::Rng;

/// Names that a server takes anywhere but at the top level of a replacement or in `_id`.
const AWKWARD_NAMES: [&str; 16] = [
    "", "0", "1", "10", "01", "-1", "a.b", ".", "a.", ".a", "$a", "$set", "$$ROOT", "é", "名",
    "a b",
];
const PLAIN_NAMES: [&str; 8] = ["a", "b", "c", "d", "u", "i", "s", "l"];

/// A field's name: often plain, so that names meet again, else awkward.
#[must_use]
pub fn random_name(rng: &mut Rng) -> String {
    let names = if rng.u32(..3) == 0 { AWKWARD_NAMES.as_slice() } else { &PLAIN_NAMES };
    rng.choice(names).map(|&name| name.to_owned()).unwrap_or_default()
}

/// A document of up to eight fields, nesting at most `depth` levels. It has no `_id`.
#[must_use]
pub fn random_document(rng: &mut Rng, depth: u32) -> Document {
    (0..rng.u32(..=8)).map(|_| (random_name(rng), random_value(rng, depth))).collect()
}

/// A value of any BSON type; documents and arrays only while `depth` is not 0.
#[must_use]
pub fn random_value(rng: &mut Rng, depth: u32) -> Bson {
    let nested = if depth == 0 { 0 } else { 8 };
    match rng.u32(..20 + nested) {
        0 => Bson::Double(random_double(rng)),
        1 => Bson::String(text(rng, 0..=30)),
        2 => Bson::Binary(random_binary(rng)),
        3 => Bson::Undefined,
        4 => Bson::ObjectId(random_object_id(rng)),
        5 => Bson::Boolean(rng.bool()),
        6 => {
            Bson::DateTime(DateTime::from_millis(rng.i64(-62_135_596_800_000..253_402_300_800_000)))
        }
        7 => Bson::Null,
        8 => Bson::RegularExpression(Regex {
            pattern: bson::cstr!("^a.*b$").into(),
            options: if rng.bool() { bson::cstr!("im").into() } else { bson::cstr!("").into() },
        }),
        9 => Bson::JavaScriptCode("function () { return 1; }".to_owned()),
        10 => Bson::Symbol(text(rng, 0..=5)),
        11 => Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope {
            code: "x".to_owned(),
            scope: doc! {"x": rng.i32(..)},
        }),
        12 | 13 => Bson::Int32(rng.i32(-3..3)),
        14 => Bson::Timestamp(Timestamp { time: rng.u32(1..), increment: rng.u32(..) }),
        15 => Bson::Int64(if rng.bool() { rng.i64(-3..3) } else { rng.i64(..) }),
        16 => Bson::Decimal128(random_decimal(rng)),
        17 => Bson::MinKey,
        18 => Bson::MaxKey,
        19 => db_pointer(rng),
        20..24 => Bson::Document(random_document(rng, depth - 1)),
        _ => Bson::Array((0..rng.u32(..=6)).map(|_| random_value(rng, depth - 1)).collect()),
    }
}

/// A key: unique by an identifier inside it, of any type that may be one.
pub(super) fn random_key(rng: &mut Rng) -> Bson {
    match rng.u32(..8) {
        0 => Bson::Int64(rng.i64(..)),
        1 => Bson::Double(rng.f64() * 1e15),
        2 => Bson::String(text(rng, 20..=30)),
        3 => Bson::Binary(Binary {
            subtype: BinarySubtype::Uuid,
            bytes: rng.u128(..).to_be_bytes().to_vec(),
        }),
        4 => Bson::DateTime(DateTime::from_millis(rng.i64(0..1 << 50))),
        5 => Bson::Timestamp(Timestamp { time: rng.u32(1..), increment: rng.u32(..) }),
        6 => Bson::Document(doc! {"a.b": {"": rng.i32(..3)}, "unique": rng.i64(..)}),
        _ => Bson::ObjectId(random_object_id(rng)),
    }
}

/// An update with operators or a pipeline that a server takes whatever the document holds.
/// It may change nothing.
pub(super) fn random_update(rng: &mut Rng) -> mongodb::options::UpdateModifications {
    // Operators read dots as paths and may not create a path through a value that is no
    // document, so they get a name that nothing else uses.
    let own = format!("own{}", rng.u32(..4));
    match rng.u32(..5) {
        0 => doc! {"$set": {own: random_value(rng, 2)}}.into(),
        1 => doc! {"$unset": {own: true}}.into(),
        2 => doc! {"$set": {"own4": {random_name(rng): random_value(rng, 1)}}}.into(),
        3 => vec![doc! {"$replaceWith": {"$setField": {
            "field": {"$literal": random_name(rng)},
            "input": "$$ROOT",
            "value": {"$literal": random_value(rng, 2)},
        }}}]
        .into(),
        _ => vec![doc! {"$replaceWith": {"$unsetField": {
            "field": {"$literal": random_name(rng)},
            "input": "$$ROOT",
        }}}]
        .into(),
    }
}

/// Text of so many characters, not all of them one byte long.
pub(crate) fn text(rng: &mut Rng, length: RangeInclusive<usize>) -> String {
    let characters: Vec<char> =
        "abcdefghijklmnopqrstuvwxyz0123456789 .$\u{0}\"\\éß名🦀".chars().collect();
    (0..rng.usize(length)).filter_map(|_| rng.choice(&characters).copied()).collect()
}

fn random_double(rng: &mut Rng) -> f64 {
    let special = [0.0, -0.0, 1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE];
    if rng.bool() {
        return rng.choice(special).unwrap_or_default();
    }
    f64::from_bits(rng.u64(..))
}

fn random_binary(rng: &mut Rng) -> Binary {
    let subtype = match rng.u32(..4) {
        0 => BinarySubtype::Generic,
        1 => BinarySubtype::BinaryOld,
        2 => BinarySubtype::UserDefined(0x80),
        _ => BinarySubtype::Function,
    };
    let bytes = (0..rng.usize(..40)).map(|_| rng.u8(..)).collect();
    Binary { subtype, bytes }
}

fn random_object_id(rng: &mut Rng) -> ObjectId {
    let mut bytes = [0; 12];
    rng.fill(&mut bytes);
    ObjectId::from_bytes(bytes)
}

fn random_decimal(rng: &mut Rng) -> Decimal128 {
    // Any sixteen bytes are a decimal: also NaN, infinities and non-canonical forms.
    let mut bytes = [0; 16];
    rng.fill(&mut bytes);
    Decimal128::from_bytes(bytes)
}

fn db_pointer(rng: &mut Rng) -> Bson {
    // The type has no public constructor; deprecated, it comes out of old data only.
    let mut bytes = vec![0, 0, 0, 0, 0x0C, b'p', 0, 4, 0, 0, 0, b'a', b'.', b'b', 0];
    bytes.extend(random_object_id(rng).bytes());
    bytes.push(0);
    let length = u32::try_from(bytes.len()).unwrap_or_default().to_le_bytes();
    bytes.splice(..4, length);
    Document::from_reader(bytes.as_slice())
        .ok()
        .and_then(|mut document| document.remove("p"))
        .unwrap_or(Bson::Null)
}
