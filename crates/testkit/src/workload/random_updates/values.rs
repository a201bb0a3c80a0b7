//! Names, values of every BSON type, documents.

use bson::oid::ObjectId;
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Decimal128, Document, Regex, Timestamp, bson, doc};
use fastrand::Rng;

use super::one_of;

/// Names that an operator's path can have; few, so that updates meet.
const PLAIN: &[&str] = &["a", "b", "c", "d", "e", "f", "items", "name", "größe", "0", "1", "12"];

/// Names that only an insert or a pipeline can give.
const ODD: &[&str] =
    &["", ".", "a.b", "c.0", "x.", ".y", "$s", "$inc", "$a.b", "007", "-1", "a b", "s", "u1"];

/// How deep values nest.
const DEPTH: usize = 4;

/// A name that may stand in an operator's path.
pub(super) fn plain_name(rng: &mut Rng) -> String {
    one_of(rng, PLAIN).copied().unwrap_or_default().to_owned()
}

/// A name of any kind, odd ones now and then.
pub(super) fn name(rng: &mut Rng) -> String {
    match rng.u8(..8) {
        0 => one_of(rng, ODD).copied().unwrap_or_default().to_owned(),
        1 => format!("f{}", rng.u8(..40)),
        _ => plain_name(rng),
    }
}

/// A document to begin with. Half of it is a string nothing touches: a server logs an update
/// that is larger than the document as a replacement.
pub(super) fn document(rng: &mut Rng, id: Bson) -> Document {
    let mut document = doc! {"_id": id};
    for _ in 0..rng.usize(4..14) {
        let value = match rng.u8(..6) {
            0 | 1 => nested(rng, DEPTH),
            2 | 3 => array(rng, DEPTH),
            _ => value(rng, DEPTH),
        };
        document.insert(name(rng), value);
    }
    document.insert("filler", "x".repeat(700));
    document
}

/// A value of any type; embedded ones as far down as `depth` says.
pub(super) fn value(rng: &mut Rng, depth: usize) -> Bson {
    match rng.u8(..10) {
        0 | 1 if depth > 0 => nested(rng, depth - 1),
        2 if depth > 0 => array(rng, depth - 1),
        3..=5 => Bson::Int32(rng.i32(-100..100)),
        6 => Bson::String(text(rng)),
        _ => scalar(rng),
    }
}

fn nested(rng: &mut Rng, depth: usize) -> Bson {
    let mut document = Document::new();
    for _ in 0..rng.usize(..6) {
        document.insert(name(rng), value(rng, depth));
    }
    document.into()
}

/// An array; half of them of documents, which can change inside.
pub(super) fn array(rng: &mut Rng, depth: usize) -> Bson {
    let documents = rng.bool() && depth > 0;
    let len = rng.usize(..9);
    let element =
        |rng: &mut Rng| if documents { nested(rng, depth - 1) } else { value(rng, depth) };
    Bson::Array((0..len).map(|_| element(rng)).collect())
}

fn text(rng: &mut Rng) -> String {
    match rng.u8(..8) {
        0 => String::new(),
        1 => "a\0b".into(),
        2 => "日本語 🎉".into(),
        _ => (0..rng.usize(1..30)).map(|_| rng.alphabetic()).collect(),
    }
}

/// A value of any type but document and array.
fn scalar(rng: &mut Rng) -> Bson {
    match rng.u8(..18) {
        0 => Bson::Double(
            one_of(rng, &[0.0, -0.0, 1.5, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE])
                .copied()
                .unwrap_or_default(),
        ),
        1 => Bson::String(text(rng)),
        2 => binary(rng),
        3 => Bson::Undefined,
        4 => Bson::ObjectId(ObjectId::from_bytes(
            rng.u128(..).to_le_bytes()[..12].try_into().unwrap_or_default(),
        )),
        5 => Bson::Boolean(rng.bool()),
        6 => Bson::DateTime(DateTime::from_millis(rng.i64(..) / 1000)),
        7 => Bson::Null,
        8 => Bson::RegularExpression(Regex {
            pattern: bson::cstr!("^a.*b$").into(),
            options: if rng.bool() { bson::cstr!("im").into() } else { bson::cstr!("").into() },
        }),
        9 => db_pointer(),
        10 => Bson::JavaScriptCode("function() {}".into()),
        11 => Bson::Symbol("symbol".into()),
        12 => Bson::JavaScriptCodeWithScope(bson::JavaScriptCodeWithScope {
            code: "x".into(),
            scope: doc! {"x": rng.i32(..), "": {"$y": 1}},
        }),
        13 => Bson::Timestamp(Timestamp { time: rng.u32(..), increment: rng.u32(..) }),
        14 => Bson::Int64(rng.i64(..)),
        15 => {
            let text = one_of(rng, &["1.25", "-0", "NaN", "1E+6144", "1.000"]);
            text.and_then(|text| text.parse::<Decimal128>().ok()).map_or(Bson::Null, Bson::from)
        }
        16 => Bson::MinKey,
        _ => Bson::MaxKey,
    }
}

fn binary(rng: &mut Rng) -> Bson {
    let subtypes = [
        BinarySubtype::Generic,
        BinarySubtype::Function,
        BinarySubtype::BinaryOld,
        BinarySubtype::Md5,
        BinarySubtype::UserDefined(200),
    ];
    let subtype = one_of(rng, &subtypes).copied().unwrap_or(BinarySubtype::Generic);
    Bson::Binary(Binary { subtype, bytes: (0..rng.usize(..20)).map(|_| rng.u8(..)).collect() })
}

/// The `bson` crate reads this deprecated type but has no way to make one.
fn db_pointer() -> Bson {
    let pointer =
        bson!({"$dbPointer": {"$ref": "db.coll", "$id": {"$oid": "507f1f77bcf86cd799439011"}}});
    Bson::try_from(pointer.into_relaxed_extjson()).unwrap_or(Bson::Null)
}
