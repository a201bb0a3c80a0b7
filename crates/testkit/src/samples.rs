//! Events shaped like a server's, without a server, and what a tape of them needs.
//!
//! An event's place says what it is: ten to a second of cluster time, from the first second on,
//! and a tenth of a second of wall time apart.

use std::ops::Range;

use bson::raw::RawDocumentBuf;
use bson::{DateTime, Timestamp, rawdoc};
use changetape_core::{ResumeToken, WallTime};
use changetape_tape::{Metadata, SourceIdentity, StreamOptions, TapeWriter, UpdateForm};
use fastrand::Rng;

/// The collections that the events are spread over, in the database `shop`.
pub const COLLECTIONS: [&str; 3] = ["orders", "stock", "customers"];

/// The event at a place: one of five deletes something, the others insert, and each has a text.
#[must_use]
pub fn event(n: u64, text: &str) -> RawDocumentBuf {
    let (seconds, increment) = clock(n);
    let [orders, stock, customers] = COLLECTIONS;
    let id = n.cast_signed();
    rawdoc! {
        "_id": {"_data": token_data(n, 'F')},
        "operationType": if n.is_multiple_of(5) { "delete" } else { "insert" },
        "clusterTime": Timestamp { time: seconds, increment },
        "wallTime": DateTime::from_millis(id * 100),
        "ns": {"db": "shop", "coll": match n % 3 { 0 => orders, 1 => stock, _ => customers }},
        "documentKey": {"_id": id},
        "fullDocument": {"_id": id, "text": text},
    }
}

/// The token behind everything before a place, as a server's `postBatchResumeToken` is.
#[must_use]
pub fn token(n: u64) -> ResumeToken {
    ResumeToken::from_raw(&rawdoc! {"_data": token_data(n, 'E')})
}

/// What is in a token at a place: of its event (`F`), or of the stream before it (`E`).
fn token_data(n: u64, kind: char) -> String {
    let (seconds, increment) = clock(n);
    format!("82{seconds:08X}{increment:08X}2B022C0100296{kind}04")
}

/// The cluster time of a place.
fn clock(n: u64) -> (u32, u32) {
    let part = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    (part(n / 10 + 1), part(n % 10 + 1))
}

/// Letters that do not compress away.
#[must_use]
pub fn letters(random: &mut Rng, len: usize) -> String {
    (0..len).map(|_| random.alphanumeric()).collect()
}

/// Letters that a place determines, and how many of them within a range.
#[must_use]
pub fn text(n: u64, len: Range<usize>) -> String {
    let mut random = Rng::with_seed(n);
    let len = random.usize(len);
    letters(&mut random, len)
}

/// What a tape says that it was recorded from, where nothing was.
#[must_use]
pub fn metadata() -> Metadata {
    Metadata {
        source: SourceIdentity {
            replica_set: "rs0".to_owned(),
            replica_set_id: None,
            server_version: "6.0.5".to_owned(),
        },
        stream: StreamOptions::everything(UpdateForm::Raw),
        created_by: "changetape tests".to_owned(),
        created_at: WallTime::from_millis(1_772_366_400_000),
    }
}

/// The place where the recording of a tape continues.
#[must_use]
pub fn next_of(writer: &TapeWriter) -> u64 {
    writer.checkpoint().map_or(0, |checkpoint| checkpoint.next.get())
}
