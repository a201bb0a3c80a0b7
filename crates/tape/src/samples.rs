//! Events for this crate's tests, shaped like a server's.

use bson::oid::ObjectId;
use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{DateTime, Timestamp, rawdoc};
use changetape_core::{Arrival, NamespaceFilter, OperationType, ResumeToken, Seq, WallTime};

use crate::block::{BlockEncoder, High, NewBlock};
use crate::{Metadata, SourceIdentity, StreamOptions, UpdateForm};

/// The event at a place: one second of cluster time per ten events.
pub(crate) fn event(n: u64) -> RawDocumentBuf {
    event_at(n, i64::try_from(n).unwrap() * 100)
}

/// The event at a place with a wall time of its own.
pub(crate) fn event_at(n: u64, wall_millis: i64) -> RawDocumentBuf {
    let seconds = u32::try_from(n / 10).unwrap() + 1;
    let increment = u32::try_from(n % 10).unwrap() + 1;
    rawdoc! {
        "_id": {"_data": format!("82{seconds:08X}{increment:08X}2B022C0100296F04")},
        "operationType": "insert",
        "clusterTime": Timestamp { time: seconds, increment },
        "wallTime": DateTime::from_millis(wall_millis),
        "ns": {"db": "shop", "coll": if n.is_multiple_of(3) { "orders" } else { "stock" }},
        "documentKey": {"_id": i64::try_from(n).unwrap()},
        "fullDocument": {"_id": i64::try_from(n).unwrap(), "text": "x".repeat((n % 50) as usize)},
    }
}

/// The block of the events of some places, as if nothing came before them.
pub(crate) fn block(first: u64, end: u64) -> Vec<u8> {
    let events: Vec<_> = (first..end).map(event).collect();
    let events: Vec<&RawDocument> = events.iter().map(AsRef::as_ref).collect();
    let new = NewBlock {
        first: Seq::new(first),
        events: &events,
        arrival: arrival(first),
        token: &token(end),
        high: High::default(),
    };
    BlockEncoder::new().unwrap().encode(&new).unwrap().0
}

/// The token after the event before a place.
pub(crate) fn token(n: u64) -> ResumeToken {
    ResumeToken::from_data(&format!("82{:08X}{:08X}2B022C0100296F04", n / 10 + 1, n % 10 + 1))
        .unwrap()
}

/// When a batch that begins at a place arrived.
pub(crate) fn arrival(n: u64) -> Arrival {
    Arrival { wall_nanos: 1_772_366_400_000_000_000 + n, monotonic_nanos: 5_000 + n }
}

/// What a tape could have been recorded from.
pub(crate) fn metadata() -> Metadata {
    let filter = NamespaceFilter {
        include: vec!["shop".parse().unwrap(), "audit".parse().unwrap()],
        exclude: vec!["shop.tmp*".parse().unwrap()],
    };
    Metadata {
        source: SourceIdentity {
            replica_set: "rs0".into(),
            replica_set_id: Some(ObjectId::from_bytes([7; 12])),
            server_version: "6.0.5".into(),
        },
        stream: StreamOptions {
            filter,
            operations: vec![OperationType::Insert, OperationType::Update],
            pipeline: vec![rawdoc! {"$match": {"a": 1}}],
            updates: UpdateForm::Raw,
            full_document: Some("updateLookup".into()),
            full_document_before_change: None,
        },
        created_by: "changetape 0.1.0".into(),
        created_at: WallTime::from_millis(1_772_366_400_000),
    }
}
