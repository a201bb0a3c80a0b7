//! Updates by operators, on paths that mostly exist.

use bson::{Bson, Document, doc};
use fastrand::Rng;

use super::{one_of, values};

/// A place in a document that a path can name, and what is there.
#[derive(Debug, Clone)]
struct Place {
    path: String,
    value: Bson,
}

/// One to four changes at places that do not contain one another.
pub(super) fn update(rng: &mut Rng, document: &Document) -> Document {
    let mut places = Vec::new();
    for (name, value) in document.iter().filter(|(name, _)| !is_fixed(name)) {
        collect(name, value, &mut places);
    }
    let mut update = Document::new();
    let mut taken: Vec<String> = Vec::new();
    for _ in 0..rng.usize(1..5) {
        let place = pick(rng, &places);
        if taken.iter().any(|path| overlap(path, &place.path)) {
            continue;
        }
        let (operator, path, operand) = change(rng, place);
        if operator == "$rename" {
            // The new name is a path, too.
            let to = operand.as_str().unwrap_or_default().to_owned();
            if taken.iter().any(|path| overlap(path, &to)) || overlap(&path, &to) {
                continue;
            }
            taken.push(to);
        }
        taken.push(path.clone());
        let operands = update.entry(operator.to_owned()).or_insert(Bson::Document(doc! {}));
        if let Some(operands) = operands.as_document_mut() {
            operands.insert(path, operand);
        }
    }
    update
}

/// `_id` cannot change; the filler keeps the document larger than its diffs.
pub(super) fn is_fixed(name: &str) -> bool {
    name == "_id" || name == "filler"
}

fn collect(path: &str, value: &Bson, places: &mut Vec<Place>) {
    let step = path.rsplit('.').next().unwrap_or_default();
    if step.is_empty() || step.starts_with('$') {
        return;
    }
    places.push(Place { path: path.to_owned(), value: value.clone() });
    match value {
        Bson::Document(document) => {
            for (name, value) in document.iter().filter(|(name, _)| !name.contains('.')) {
                collect(&format!("{path}.{name}"), value, places);
            }
        }
        Bson::Array(array) => {
            for (index, value) in array.iter().enumerate() {
                collect(&format!("{path}.{index}"), value, places);
            }
        }
        _ => {}
    }
}

/// A place that exists, or one in it or beside it that does not.
fn pick(rng: &mut Rng, places: &[Place]) -> Place {
    let new = Place { path: values::plain_name(rng), value: Bson::Null };
    let mut place = one_of(rng, places).filter(|_| rng.u8(..8) > 0).cloned().unwrap_or(new);
    match &place.value {
        Bson::Document(_) if rng.bool() => {
            place.path = format!("{}.{}", place.path, values::plain_name(rng));
            place.value = Bson::Null;
        }
        Bson::Array(array) if rng.u8(..4) == 0 => {
            place.path = format!("{}.{}", place.path, array.len() + rng.usize(..3));
            place.value = Bson::Null;
        }
        _ => {}
    }
    place
}

fn overlap(left: &str, right: &str) -> bool {
    let (short, long) = if left.len() < right.len() { (left, right) } else { (right, left) };
    long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn change(rng: &mut Rng, place: Place) -> (&'static str, String, Bson) {
    let Place { path, value } = place;
    let (operator, operand) = match (&value, rng.u8(..10)) {
        (Bson::Array(array), 0..7) => array_change(rng, array),
        (Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_), 0..5) => number_change(rng),
        (_, 0) => ("$rename", values::plain_name(rng).into()),
        (_, 1..4) => ("$unset", "".into()),
        (_, 4) => ("$currentDate", Bson::Boolean(true)),
        _ => ("$set", values::value(rng, 3)),
    };
    (operator, path, operand)
}

fn number_change(rng: &mut Rng) -> (&'static str, Bson) {
    match rng.u8(..5) {
        0 => ("$mul", 2.into()),
        1 => ("$min", 0.into()),
        2 => ("$max", Bson::Int64(50)),
        3 => ("$bit", doc! {"xor": 5}.into()),
        _ => ("$inc", rng.i32(-5..6).into()),
    }
}

fn array_change(rng: &mut Rng, array: &[Bson]) -> (&'static str, Bson) {
    let some = one_of(rng, array).cloned().unwrap_or(Bson::Null);
    let each: Vec<_> = (0..rng.usize(..4)).map(|_| values::value(rng, 2)).collect();
    match rng.u8(..8) {
        0 => ("$push", values::value(rng, 2)),
        1 => ("$push", doc! {"$each": each, "$slice": rng.i32(-4..5)}.into()),
        2 => ("$push", doc! {"$each": each, "$position": rng.i32(-3..4)}.into()),
        3 => ("$push", doc! {"$each": each, "$sort": 1}.into()),
        4 => ("$addToSet", doc! {"$each": each}.into()),
        5 => ("$pop", if rng.bool() { 1.into() } else { Bson::Int32(-1) }),
        6 => ("$pullAll", Bson::Array(vec![some])),
        _ => ("$pull", doc! {"$in": [some]}.into()),
    }
}
