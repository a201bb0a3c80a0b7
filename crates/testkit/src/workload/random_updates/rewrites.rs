//! Updates that replace the document by a copy with changes, which can be any: the server
//! finds out what they were.

use bson::{Array, Bson, Document, doc};
use fastrand::Rng;

use super::operators::is_fixed;
use super::values;

/// One stage, with one to five changes.
pub(super) fn update(rng: &mut Rng, document: &Document) -> Vec<Document> {
    let mut copy = document.clone();
    if rng.u8(..10) == 0 {
        // Many small changes at once.
        for _ in 0..rng.usize(9..30) {
            copy.insert(format!("f{}", rng.u8(..40)), rng.i32(..));
        }
    }
    for _ in 0..rng.usize(1..6) {
        change_document(rng, &mut copy, true);
    }
    vec![doc! {"$replaceWith": {"$literal": copy}}]
}

fn change_document(rng: &mut Rng, document: &mut Document, outermost: bool) {
    let names: Vec<_> =
        document.keys().filter(|name| !outermost || !is_fixed(name)).cloned().collect();
    let Some(name) = names.get(rng.usize(..names.len().max(1))) else {
        document.insert(values::name(rng), values::value(rng, 2));
        return;
    };
    // Further down rather than here, where there is a further down.
    match document.get_mut(name) {
        Some(Bson::Document(inner)) if rng.u8(..4) > 0 => {
            return change_document(rng, inner, false);
        }
        Some(Bson::Array(inner)) if rng.u8(..6) > 0 => return change_array(rng, inner),
        _ => {}
    }
    match rng.u8(..6) {
        0 => drop(document.remove(name)),
        1 => {
            // Moved to the end, changed or not.
            let moved = document.remove(name).filter(|_| rng.bool());
            let moved = moved.unwrap_or_else(|| values::value(rng, 2));
            document.insert(name.clone(), moved);
        }
        2 | 3 => drop(document.insert(values::name(rng), values::value(rng, 3))),
        _ => drop(document.insert(name.clone(), values::value(rng, 3))),
    }
}

fn change_array(rng: &mut Rng, array: &mut Array) {
    let at = rng.usize(..array.len().max(1));
    match array.get_mut(at) {
        Some(Bson::Document(inner)) if rng.u8(..4) > 0 => {
            return change_document(rng, inner, false);
        }
        Some(Bson::Array(inner)) if rng.u8(..4) > 0 => return change_array(rng, inner),
        _ => {}
    }
    match rng.u8(..7) {
        0 | 1 => array.truncate(at),
        2 => array.push(values::value(rng, 2)),
        3 => array.insert(at, values::value(rng, 2)),
        4 => array.extend([Bson::Null, Bson::Null, values::value(rng, 1)]),
        5 => array.rotate_left(at),
        _ => {
            if let Some(element) = array.get_mut(at) {
                *element = values::value(rng, 2);
            }
        }
    }
}
