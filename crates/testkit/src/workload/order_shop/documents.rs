//! What the shop's documents look like.

use bson::{Bson, DateTime, Decimal128, Document, doc};
use fastrand::Rng;

pub(super) const CUSTOMERS: i32 = 25;
pub(super) const ARTICLES: i32 = 40;

/// When the day begins: fixed, for a run depends on its seed only. 2026-03-02, 08:00 UTC.
const OPENING: i64 = 1_772_438_400_000;

const CITIES: [&str; 6] = ["Łódź", "Genève", "Oslo", "Nairobi", "Osaka", "Quito"];
const TAGS: [&str; 5] = ["gift", "fragile", "express", "b-ware", "preorder"];

pub(super) fn customer(rng: &mut Rng, id: i32) -> Document {
    doc! {
        "_id": id,
        "name": format!("Customer {id}"),
        "email": format!("customer{id}@example.com"),
        "address": address(rng),
        "credit": money(rng, 500),
        "recent_orders": [],
        "flags": 0,
    }
}

pub(super) fn article(rng: &mut Rng, number: i32) -> Document {
    doc! {
        "_id": sku(number),
        "in_stock": rng.i32(50..500),
        "price": money(rng, 200),
        "weight": rng.f64() * 10.0,
        "image": bson::Binary {
            subtype: bson::spec::BinarySubtype::Generic,
            bytes: (0..rng.usize(20..200)).map(|_| rng.u8(..)).collect(),
        },
    }
}

pub(super) fn order(rng: &mut Rng, id: i64) -> Document {
    let items: Vec<Document> = (0..rng.u32(1..=6)).map(|_| item(rng)).collect();
    let placed = OPENING + id * 1_000 + rng.i64(0..1_000);
    doc! {
        "_id": id,
        "customer": rng.i32(0..CUSTOMERS),
        "placed": DateTime::from_millis(placed),
        "status": "placed",
        "items": items,
        "tags": tags(rng),
        "shipping": {"address": address(rng), "days": rng.i32(1..9), "notes": {"gift": rng.bool()}},
        "history": [{"status": "placed", "at": DateTime::from_millis(placed)}],
        "comment": super::super::random_documents::text(rng, 0..=60),
        "reference": bson::oid::ObjectId::from_bytes(id_bytes(rng)),
        "change": 0_i64,
    }
}

pub(super) fn item(rng: &mut Rng) -> Document {
    doc! {
        "sku": sku(rng.i32(0..ARTICLES)),
        "quantity": rng.i32(1..10),
        "price": money(rng, 200),
    }
}

pub(super) fn visit(rng: &mut Rng, order: i64) -> Document {
    let page = format!("/articles/{}", sku(rng.i32(0..ARTICLES)));
    doc! {"order": order, "page": page, "milliseconds": rng.f64() * 1e5}
}

pub(super) fn sku(number: i32) -> String {
    format!("A-{number:04}")
}

pub(super) fn tag(rng: &mut Rng) -> &'static str {
    rng.choice(TAGS).unwrap_or("gift")
}

pub(super) fn city(rng: &mut Rng) -> &'static str {
    rng.choice(CITIES).unwrap_or("Oslo")
}

fn tags(rng: &mut Rng) -> Vec<&'static str> {
    (0..rng.u32(..4)).map(|_| tag(rng)).collect()
}

fn address(rng: &mut Rng) -> Document {
    let (longitude, latitude) = (rng.f64() * 360.0 - 180.0, rng.f64() * 180.0 - 90.0);
    doc! {
        "street": format!("Main Street {}", rng.u32(1..200)),
        "city": city(rng),
        "place": {"type": "Point", "coordinates": [longitude, latitude]},
    }
}

/// An amount below `limit`, with cents.
pub(super) fn money(rng: &mut Rng, limit: u32) -> Bson {
    let cents = rng.u32(1..limit * 100);
    let text = format!("{}.{:02}", cents / 100, cents % 100);
    text.parse::<Decimal128>().map_or(Bson::Null, Bson::Decimal128)
}

fn id_bytes(rng: &mut Rng) -> [u8; 12] {
    let mut bytes = [0; 12];
    rng.fill(&mut bytes);
    bytes
}
