//! Updates by pipelines: stages that compute the new document from the old one.

use bson::{Bson, Document, bson, doc};
use fastrand::Rng;

use super::operators::is_fixed;
use super::{one_of, values};

/// More than any array here has elements.
const ALL: i32 = 1000;

/// One to three stages.
pub(super) fn update(rng: &mut Rng, document: &Document) -> Vec<Document> {
    let mut stages = Vec::new();
    for _ in 0..rng.usize(1..4) {
        stages.extend(change(rng, document));
    }
    stages
}

fn change(rng: &mut Rng, document: &Document) -> Vec<Document> {
    let fields: Vec<_> = document.iter().filter(|(name, _)| !is_fixed(name)).collect();
    let (name, value) = match one_of(rng, &fields) {
        Some((name, value)) => ((*name).clone(), (*value).clone()),
        None => ("a".to_owned(), Bson::Null),
    };
    let new = bson!({"$literal": values::value(rng, 3)});
    match (&value, rng.u8(..8)) {
        (Bson::Array(array), 0..6) => {
            let array = array_change(rng, &get(&name), array.len());
            vec![doc! {"$replaceWith": set_field(&name, bson!("$$ROOT"), array)}]
        }
        (Bson::Document(inner), 0..6) => {
            let inner_name = match one_of(rng, &inner.keys().collect::<Vec<_>>()) {
                Some(existing) if rng.bool() => (*existing).clone(),
                _ => values::name(rng),
            };
            let changed = if rng.u8(..3) == 0 {
                unset_field(&inner_name, get(&name))
            } else {
                set_field(&inner_name, get(&name), new)
            };
            vec![doc! {"$replaceWith": set_field(&name, bson!("$$ROOT"), changed)}]
        }
        (_, 0) => vec![doc! {"$replaceWith": unset_field(&name, bson!("$$ROOT"))}],
        // Taken away and set again, a field is last.
        (_, 1 | 2) => vec![doc! {"$replaceWith": {
            "$let": {
                "vars": {"kept": get(&name)},
                "in": set_field(&name, unset_field(&name, bson!("$$ROOT")), bson!("$$kept")),
            },
        }}],
        (_, 3) => {
            let path = [values::plain_name(rng), values::plain_name(rng)].join(".");
            vec![doc! {"$set": {path: new}}]
        }
        (_, 4) => vec![doc! {"$unset": [values::plain_name(rng), values::plain_name(rng) + ".a"]}],
        _ => {
            let name = values::name(rng);
            vec![doc! {"$replaceWith": set_field(&name, bson!("$$ROOT"), new)}]
        }
    }
}

fn array_change(rng: &mut Rng, array: &Bson, len: usize) -> Bson {
    let at = i32::try_from(rng.usize(..=len)).unwrap_or(0);
    let element = bson!({"$literal": values::value(rng, 2)});
    let head = if at == 0 { bson!([]) } else { bson!({"$slice": [array.clone(), at]}) };
    let tail = |from: i32| bson!({"$slice": [array.clone(), from, ALL]});
    match rng.u8(..7) {
        0 => head,
        1 => bson!({"$concatArrays": [array.clone(), [element]]}),
        2 => bson!({"$concatArrays": [head, [element], tail(at)]}),
        3 => bson!({"$concatArrays": [head, [element], tail(at + 1)]}),
        4 => bson!({"$concatArrays": [head, tail(at + 1)]}),
        5 => bson!({"$reverseArray": array.clone()}),
        _ => bson!({"$map": {"input": array.clone(), "in": {"$cond": [
            {"$eq": [{"$type": "$$this"}, "object"]},
            set_field(&values::name(rng), bson!("$$this"), element),
            "$$this",
        ]}}}),
    }
}

/// `$getField` and `$setField` take any name, where paths take only plain ones.
fn get(name: &str) -> Bson {
    bson!({"$getField": {"field": {"$literal": name}, "input": "$$ROOT"}})
}

fn set_field(name: &str, input: Bson, value: Bson) -> Bson {
    bson!({"$setField": {"field": {"$literal": name}, "input": input, "value": value}})
}

fn unset_field(name: &str, input: Bson) -> Bson {
    bson!({"$unsetField": {"field": {"$literal": name}, "input": input}})
}
