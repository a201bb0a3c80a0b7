//! Events shaped like a server's, and tapes made of them.

use std::path::Path;

use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{DateTime, Timestamp, rawdoc};
use changetape_core::{Arrival, ResumeToken, Seq, WallTime};
use changetape_tape::{
    Batch, Error, Metadata, SourceIdentity, StreamOptions, TapeReader, TapeWriter, UpdateForm,
};

pub(crate) const NAMESPACES: [&str; 3] = ["orders", "stock", "customers"];

/// The event at a place: ten events to a second.
pub(crate) fn event(n: u64) -> RawDocumentBuf {
    event_at(n, i64::try_from(n).unwrap() * 100)
}

/// The event at a place with a wall time of its own.
pub(crate) fn event_at(n: u64, wall_millis: i64) -> RawDocumentBuf {
    let seconds = u32::try_from(n / 10).unwrap() + 1;
    let increment = u32::try_from(n % 10).unwrap() + 1;
    let id = i64::try_from(n).unwrap();
    rawdoc! {
        "_id": {"_data": format!("82{seconds:08X}{increment:08X}2B022C0100296F04")},
        "operationType": if n.is_multiple_of(5) { "delete" } else { "insert" },
        "clusterTime": Timestamp { time: seconds, increment },
        "wallTime": DateTime::from_millis(wall_millis),
        "ns": {"db": "shop", "coll": NAMESPACES[usize::try_from(n % 3).unwrap()]},
        "documentKey": {"_id": id},
        "fullDocument": {"_id": id, "text": text(n)},
    }
}

/// Letters that do not compress away, so that a few events already fill pages.
fn text(n: u64) -> String {
    let mut random = fastrand::Rng::with_seed(n);
    (0..random.usize(10..120)).map(|_| random.alphanumeric()).collect()
}

/// The token after the event before a place.
pub(crate) fn token(n: u64) -> ResumeToken {
    let (seconds, increment) = (n / 10 + 1, n % 10 + 1);
    ResumeToken::from_data(&format!("82{seconds:08X}{increment:08X}2B022C0100296E04")).unwrap()
}

/// When a batch that begins at a place arrived.
pub(crate) fn arrival(n: u64) -> Arrival {
    Arrival { wall_nanos: 1_772_366_400_000_000_000 + n, monotonic_nanos: 5_000 + n }
}

pub(crate) fn metadata() -> Metadata {
    Metadata {
        source: SourceIdentity {
            replica_set: "rs0".into(),
            replica_set_id: None,
            server_version: "6.0.5".into(),
        },
        stream: StreamOptions::everything(UpdateForm::Raw),
        created_by: "changetape tests".into(),
        created_at: WallTime::from_millis(1_772_366_400_000),
    }
}

/// Appends the events of some places as one batch.
pub(crate) fn append(writer: &mut TapeWriter, places: std::ops::Range<u64>) -> Result<(), Error> {
    let events: Vec<_> = places.clone().map(event).collect();
    append_events(writer, places.start, &events)
}

/// Appends events as one batch.
pub(crate) fn append_events(
    writer: &mut TapeWriter,
    first: u64,
    events: &[RawDocumentBuf],
) -> Result<(), Error> {
    let end = first + events.len() as u64;
    let events: Vec<&RawDocument> = events.iter().map(AsRef::as_ref).collect();
    let batch = Batch { events: &events, token: &token(end), arrival: arrival(first) };
    let places = writer.append(&batch)?;
    assert_eq!(places, Seq::new(first)..Seq::new(end));
    Ok(())
}

/// Makes a tape of batches of some lengths.
pub(crate) fn tape_of(path: &Path, batches: impl IntoIterator<Item = u64>) -> TapeWriter {
    let mut writer = TapeWriter::create(path, metadata()).unwrap();
    let mut next = 0;
    for len in batches {
        append(&mut writer, next..next + len).unwrap();
        next += len;
    }
    writer
}

/// Checks that a tape holds exactly the events of the places before `end`.
pub(crate) fn check_holds(reader: &TapeReader, end: u64) {
    assert_eq!(reader.end(), Seq::new(end));
    let mut next = 0;
    for block in reader.blocks(Seq::ZERO) {
        let block = block.unwrap();
        assert_eq!(block.first(), Seq::new(next));
        for recorded in block.events() {
            assert_eq!(recorded.seq, Seq::new(next));
            assert_eq!(recorded.event.as_bytes(), event(next).as_bytes(), "event {next}");
            next += 1;
        }
        assert_eq!(block.end(), Seq::new(next));
    }
    assert_eq!(next, end);
}
