//! What it is measured with: events from a file, or made up like those of an order shop.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bson::raw::RawDocumentBuf;
use bson::{DateTime, Timestamp, rawdoc};
use changetape_testkit::samples::letters;

use super::Outcome;

pub(super) fn from_file(path: &Path, events: usize) -> Outcome<Vec<RawDocumentBuf>> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut documents = Vec::new();
    let mut offset = 0;
    while documents.len() < events {
        let mut stated = [0; 4];
        file.read_exact_at(&mut stated, offset)?;
        let mut bytes = vec![0; usize::try_from(u32::from_le_bytes(stated))?];
        file.read_exact_at(&mut bytes, offset)?;
        offset += bytes.len() as u64;
        documents.push(RawDocumentBuf::from_bytes(bytes)?);
        if offset >= len {
            offset = 0;
        }
    }
    Ok(documents)
}

/// Inserts and updates of orders, with a share of text that does not compress.
pub(super) fn made_up(events: usize) -> Vec<RawDocumentBuf> {
    let mut random = fastrand::Rng::with_seed(1);
    (0..events).map(|n| made_up_event(n, &mut random)).collect()
}

fn made_up_event(n: usize, random: &mut fastrand::Rng) -> RawDocumentBuf {
    let seconds = 1_772_366_400 + u32::try_from(n / 500).unwrap_or_default();
    let increment = u32::try_from(n % 500).unwrap_or_default() + 1;
    let signature = letters(random, 115);
    let oid = bson::oid::ObjectId::from_bytes({
        let mut bytes = [0x65; 12];
        random.fill(bytes.split_at_mut(8).1);
        bytes
    });
    let mut event = rawdoc! {
        "_id": {"_data": format!("82{seconds:08X}{increment:08X}2B022C0100296E5A1004\
                                  4724D16CFE464B7AA7193A666486572A46645F69640064{}0004", oid.to_hex())},
        "operationType": if n.is_multiple_of(3) { "update" } else { "insert" },
        "clusterTime": Timestamp { time: seconds, increment },
        "wallTime": DateTime::from_millis(i64::from(seconds) * 1000 + i64::from(increment)),
        "ns": {"db": "shop", "coll": "orders"},
        "documentKey": {"_id": oid},
    };
    if n.is_multiple_of(3) {
        let diff = rawdoc! {"u": {"status": "paid", "signature": signature}, "sdelivery": {"i": {"at": n as i64}}};
        event.append(bson::cstr!("rawUpdateDescription"), rawdoc! {"$v": 2, "diff": diff});
    } else {
        let lines: Vec<bson::raw::RawBson> = (0..random.usize(1..5))
            .map(|_| {
                let (sku, cents) = (random.u32(0..3_000), random.i32(100..20_000));
                rawdoc! {"sku": format!("sku-{sku:05}"), "qty": random.i32(1..9), "cents": cents}
                    .into()
            })
            .collect();
        let lines: bson::raw::RawArrayBuf = lines.into_iter().collect();
        let order = rawdoc! {
            "_id": oid, "customer": random.i32(0..50_000), "status": "new", "signature": signature,
            "address": {"street": "12 Station Road", "zip": random.i32(10_000..99_999), "city": "Springfield"},
            "lines": lines, "total": random.i32(100..99_999),
        };
        event.append(bson::cstr!("fullDocument"), order);
    }
    event
}
