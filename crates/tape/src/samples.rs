//! Events for this crate's tests, shaped like a server's.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bson::oid::ObjectId;
use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{DateTime, Timestamp, rawdoc};
use changetape_core::{
    Arrival, ClusterTime, Namespace, NamespaceFilter, OperationType, ResumeToken, Seq, WallTime,
};

use crate::block::{BlockEncoder, Decoder, High, NewBlock, Times};
use crate::catalog::{Catalog, Dropped, Listed};
use crate::layout::LogNumber;
use crate::log::{Appended, Log};
use crate::segment::{Kind, KindCounts, SegmentWriter};
use crate::{
    Batch, Checkpoint, Definition, Edge, Gap, GapCause, Metadata, SourceIdentity, StreamOptions,
    TapeDraft, TapeOptions, TapeWriter, UpdateForm, disk, layout, watermark,
};

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

/// Appends the events of some places as one batch, if there are any.
pub(crate) fn append(writer: &mut TapeWriter, places: Range<u64>) {
    let events: Vec<_> = places.clone().map(event).collect();
    let events: Vec<&RawDocument> = events.iter().map(AsRef::as_ref).collect();
    let (token, arrival) = (token(places.end), arrival(places.start));
    if !events.is_empty() || places.start == 0 {
        writer.append(&Batch { events: &events, token: &token, arrival }).unwrap();
    }
}

/// A tape's files: path in the tape, content. The lock's text is not the tape's content.
pub(crate) fn image(tape: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = disk::files(tape).unwrap().into_iter().filter(|name| name != "lock");
    names.map(|name| (name.clone(), std::fs::read(tape.join(name)).unwrap())).collect()
}

/// A segment as a catalog lists it.
fn listed(first: u64, end: u64) -> Listed {
    let mut times = Times::default();
    (first..end).for_each(|n| times.add_event(&event(n)));
    let (first, end) = (Seq::new(first), Seq::new(end));
    let arrivals = (arrival(first.get()), arrival(end.get()));
    Listed { first, end, len: 1000, raw_bytes: 5000, blocks: 2, arrivals, times }
}

/// A catalog with everything in it.
pub(crate) fn catalog() -> Catalog {
    let dropped = Dropped {
        end: Seq::new(5),
        events: 5,
        segments: 2,
        bytes: 900,
        arrived: WallTime::from_millis(1_772_366_400_000),
        at: WallTime::from_millis(1_772_366_500_000),
    };
    let namespace = Namespace { db: "shop".to_owned(), coll: Some("orders".to_owned()) };
    let kind = Kind { namespace: Some(namespace), operation: Some(OperationType::Insert) };
    let lost = Gap { cause: GapCause::Damaged, places: 5, ..gap(15) };
    Catalog {
        segments: vec![listed(5, 10), listed(15, 40)],
        next: Seq::new(40),
        token: Some(token(40)),
        kinds: KindCounts { list: vec![(kind, 30)], others: 0 },
        gaps: vec![lost, gap(40)],
        dropped: Some(dropped),
    }
}

/// Writes a segment of two blocks, behind a gap.
pub(crate) fn segment(path: &Path) {
    let file = disk::create_file(path).unwrap();
    let mut writer = SegmentWriter::new(file, path, High::default());
    for (first, end) in [(7, 9), (9, 10)] {
        let bytes = block(first, end);
        writer.add(&bytes, &Decoder::new().unwrap().decode(&bytes).unwrap()).unwrap();
    }
    writer.finish(&[gap(7)], &metadata()).unwrap().unwrap();
}

/// A tape with a base of a collection and a view: what the base's file holds.
pub(crate) fn base(tape: &Path) -> Vec<u8> {
    let draft = TapeDraft::begin(tape).unwrap();
    let time = ClusterTime { seconds: 7, increment: 3 };
    let mut writer = draft.begin_base(time, WallTime::from_millis(1_772_366_400_000)).unwrap();
    let orders = Definition {
        db: "shop".into(),
        coll: "orders".into(),
        kind: "collection".into(),
        options: rawdoc! {},
        indexes: vec![rawdoc! {"v": 2, "key": {"_id": 1}, "name": "_id_"}],
    };
    writer.collection(&orders).unwrap();
    writer.document(&rawdoc! {"_id": 1, "text": "some"}).unwrap();
    writer.document(&rawdoc! {"_id": 2, "text": "more"}).unwrap();
    let view = Definition {
        coll: "open_orders".into(),
        kind: "view".into(),
        options: rawdoc! {"viewOn": "orders", "pipeline": []},
        indexes: vec![],
        ..orders
    };
    writer.collection(&view).unwrap();
    writer.finish().unwrap();
    draft.finish(metadata(), TapeOptions::default()).unwrap().close().unwrap();
    std::fs::read(tape.join(layout::BASE)).unwrap()
}

/// A tape in a directory of its own.
pub(crate) struct Made {
    _dir: tempfile::TempDir,
    pub(crate) path: PathBuf,
}

/// One append: blocks as first and end, a gap, and where its checkpoint continues.
pub(crate) type Append<'a> = (&'a [(u64, u64)], Option<u64>, u64);

/// A tape that was not closed: its sealed events, logs of some appends, and the watermark.
pub(crate) fn tape_with(sealed: u64, logs: &[&[Append<'_>]], durable: u64) -> Made {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let mut writer = TapeWriter::create(&path, metadata()).unwrap();
    append(&mut writer, 0..sealed);
    writer.close().unwrap();
    for (number, appends) in (1..).zip(logs) {
        let (log, mut end) = Log::create(&layout::log(&path, LogNumber(number))).unwrap();
        for (blocks, at, next) in *appends {
            let encoded = |(first, end): &(u64, u64)| (Seq::new(*first), block(*first, *end));
            let appended = Appended {
                blocks: blocks.iter().map(encoded).collect(),
                gap: at.map(gap),
                checkpoint: Checkpoint { token: token(next + 1000), next: Seq::new(*next) },
            };
            log.apply(appended, &mut end).unwrap();
            log.sync(&mut end).unwrap();
        }
        log.close().unwrap();
    }
    disk::replace(&path.join(layout::DURABLE), &watermark::encode(Seq::new(durable))).unwrap();
    Made { _dir: dir, path }
}

/// The token after the event before a place.
pub(crate) fn token(n: u64) -> ResumeToken {
    ResumeToken::from_data(&format!("82{:08X}{:08X}2B022C0100296F04", n / 10 + 1, n % 10 + 1))
        .unwrap()
}

/// A gap before a place, over some seconds of cluster time.
pub(crate) fn gap(at: u64) -> Gap {
    let edge = |seconds: u32| Edge {
        token: Some(token(u64::from(seconds) * 10)),
        time: Some(ClusterTime::at_second(seconds)),
    };
    Gap {
        at: Seq::new(at),
        places: 0,
        cause: GapCause::HistoryLost,
        before: edge(4),
        after: edge(10),
        noticed: WallTime::from_millis(1_772_366_400_000),
    }
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
