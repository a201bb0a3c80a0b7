//! Every kind of update of an order: operators, arrays, pipelines.
//!
//! Each sets `change` to a new number, so that none changes nothing.

use bson::{Document, doc};
use fastrand::Rng;
use mongodb::options::UpdateModifications;

use super::documents::{city, item, money, tag};

/// An update and the array filters that go with it.
pub(super) struct OrderUpdate {
    pub(super) update: UpdateModifications,
    pub(super) array_filters: Vec<Document>,
}

/// How many kinds there are.
pub(super) const KINDS: u32 = 17;

/// An update of one of the [`KINDS`].
pub(super) fn order_update(kind: u32, rng: &mut Rng, change: i64) -> OrderUpdate {
    match kind {
        0..11 => operators(kind, rng, change),
        _ => OrderUpdate { update: pipeline(kind, rng, change).into(), array_filters: vec![] },
    }
}

fn operators(kind: u32, rng: &mut Rng, change: i64) -> OrderUpdate {
    let mut array_filters = Vec::new();
    let mut update = match kind {
        // Fields, nested ones and new ones.
        0 => {
            doc! {"$set": {"status": "paid", "shipping.address.city": city(rng), "paid.by": "card"}}
        }
        1 => doc! {"$unset": {"comment": "", "shipping.notes.gift": ""}},
        2 => doc! {"$rename": {"shipping.notes": "shipping.remarks", "paid": "payment"}},
        3 => doc! {
            "$inc": {"shipping.days": 1}, "$mul": {"weight": 2.5},
            "$min": {"best": rng.i32(..100)}, "$max": {"worst": rng.i32(..100)},
            "$bit": {"flags": {"xor": 5}},
            "$currentDate": {"touched": true, "ticks": {"$type": "timestamp"}},
        },
        // Arrays: grown at both ends, cut, sorted, thinned, changed in place.
        4 => doc! {"$push": {"history": {
            "$each": [{"status": "packed", "change": change}], "$slice": -4,
        }}},
        5 => doc! {"$push": {"items": {"$each": [item(rng), item(rng)], "$position": 0}}},
        6 => doc! {"$push": {"items": {"$each": [], "$sort": {"quantity": 1}, "$slice": 5}}},
        7 => doc! {"$pull": {"items": {"quantity": {"$gt": 6}}}, "$addToSet": {"tags": tag(rng)}},
        8 => doc! {"$pop": {"items": 1, "history": -1}},
        9 => {
            array_filters.push(doc! {"big.quantity": {"$gte": 3}});
            doc! {"$set": {"items.$[big].discount": money(rng, 10)}, "$inc": {"items.$[].seen": 1}}
        }
        _ => doc! {"$set": {"history.7.status": "lost", "shipping.0.1": "numbers as names"}},
    };
    match update.get_document_mut("$set") {
        Ok(fields) => {
            fields.insert("change", change);
        }
        Err(_) => {
            update.insert("$set", doc! {"change": change});
        }
    }
    OrderUpdate { update: update.into(), array_filters }
}

fn pipeline(kind: u32, rng: &mut Rng, change: i64) -> Vec<Document> {
    let mut stages = match kind {
        11 => vec![doc! {"$set": {"total": {"$sum": {"$map": {
            "input": {"$ifNull": ["$items", []]},
            "in": {"$multiply": ["$$this.quantity", {"$toDouble": "$$this.price"}]},
        }}}}}],
        // A field that is taken out and put in again moves to the end.
        12 => vec![
            doc! {"$set": {"kept": "$status"}},
            doc! {"$unset": "status"},
            doc! {"$set": {"status": "$kept"}},
            doc! {"$unset": "kept"},
        ],
        13 => vec![doc! {"$set": {
            "items": {"$reverseArray": "$items"},
            "history": {"$slice": ["$history", 2]},
        }}],
        14 => vec![doc! {"$set": {
            "tags": {"$concatArrays": [{"$ifNull": ["$tags", []]}, [tag(rng), {"nested": [change]}]]},
        }}],
        15 => {
            vec![doc! {"$replaceWith": {"$mergeObjects": ["$$ROOT", {"merged": {"by": change}}]}}]
        }
        // Names that only a pipeline can write: with a dot, with a dollar sign.
        _ => vec![
            doc! {"$replaceWith": {"$setField": {
                "field": "price.net", "input": "$$ROOT", "value": {"$literal": money(rng, 90)},
            }}},
            doc! {"$replaceWith": {"$setField": {
                "field": {"$literal": "$tax"}, "input": "$$ROOT", "value": change,
            }}},
        ],
    };
    stages.push(doc! {"$set": {"change": change}});
    stages
}
