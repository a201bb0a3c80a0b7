//! Events shaped like a server's, and tapes made of them.

use std::path::Path;

use bson::raw::{RawDocument, RawDocumentBuf};
use changetape_core::{Arrival, ResumeToken, Seq, WallTime};
use changetape_tape::{
    Batch, Edge, Error, Gap, GapCause, TapeOptions, TapeReader, TapeWriter, verify,
};
pub(crate) use changetape_testkit::SEED;
use changetape_testkit::samples;
pub(crate) use changetape_testkit::samples::{COLLECTIONS, letters, metadata, next_of, token};

/// The event at a place.
pub(crate) fn event(n: u64) -> RawDocumentBuf {
    samples::event(n, &samples::text(n, 10..120))
}

/// When a batch that begins at a place arrived.
pub(crate) fn arrival(n: u64) -> Arrival {
    Arrival { wall_nanos: 1_772_366_400_000_000_000 + n, monotonic_nanos: 5_000 + n }
}

/// Appends the events of some places as one batch.
pub(crate) fn append(writer: &mut TapeWriter, places: std::ops::Range<u64>) -> Result<(), Error> {
    let events: Vec<_> = places.clone().map(event).collect();
    append_events(writer, places.start, &events)
}

/// Appends a gap and an empty batch behind it.
pub(crate) fn append_gap(
    writer: &mut TapeWriter,
    gap: Gap,
    token: &ResumeToken,
) -> Result<(), Error> {
    let batch = Batch { events: &[], token, arrival: Arrival::default() };
    writer.append_behind(gap, &batch).map(drop)
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

/// Appends events one by one; the tape is new.
pub(crate) fn append_each(writer: &mut TapeWriter, events: &[RawDocumentBuf]) {
    for (event, n) in events.iter().zip(0..) {
        append_events(writer, n, std::slice::from_ref(event)).unwrap();
    }
}

/// Options under which a few appends fill a log, and some logs a segment.
pub(crate) fn small() -> TapeOptions {
    of_size(20_000)
}

/// Options with a segment size; 1 keeps segments from being merged.
pub(crate) fn of_size(segment_size: u64) -> TapeOptions {
    TapeOptions { segment_size, ..TapeOptions::default() }
}

/// Makes a tape of batches of some lengths.
pub(crate) fn tape_of(path: &Path, batches: impl IntoIterator<Item = u64>) -> TapeWriter {
    let mut writer = small().create(path, metadata()).unwrap();
    let mut next = 0;
    for len in batches {
        append(&mut writer, next..next + len).unwrap();
        next += len;
    }
    writer
}

/// Makes a closed tape of segments of some lengths, each one block.
pub(crate) fn segments_of(path: &Path, segments: impl IntoIterator<Item = u64>) {
    of_size(1).create(path, metadata()).unwrap().close().unwrap();
    let mut next = 0;
    for len in segments {
        let mut writer = of_size(1).open(path).unwrap();
        append(&mut writer, next..next + len).unwrap();
        writer.close().unwrap();
        next += len;
    }
}

/// A gap that a recorder notices; `at` and `places` are the tape's to fill in.
pub(crate) fn gap(seconds: u32) -> Gap {
    Gap {
        at: Seq::ZERO,
        places: 0,
        cause: GapCause::HistoryLost,
        before: Edge::at(token(u64::from(seconds) * 10)),
        after: Edge::at(token(u64::from(seconds) * 10 + 7)),
        noticed: WallTime::from_millis(i64::from(seconds) * 1_000),
    }
}

/// The places of a tape's gaps.
pub(crate) fn gap_places(reader: &TapeReader) -> Vec<u64> {
    reader.gaps().iter().map(|gap| gap.at.get()).collect()
}

/// Checks that a tape holds exactly the events of the places before `end`.
pub(crate) fn check_holds(reader: &TapeReader, end: u64) {
    assert_eq!(reader.start(), Seq::ZERO);
    check_holds_on(reader, end);
}

/// The same of a tape whose beginning may have been dropped.
pub(crate) fn check_holds_on(reader: &TapeReader, end: u64) {
    assert_eq!(reader.end(), Seq::new(end));
    let mut next = reader.start().get();
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

/// Checks that nothing is wrong with a tape.
#[track_caller]
pub(crate) fn check_sound(path: &Path) {
    assert_eq!(verify(path, &mut |_, _| ()).unwrap().damages, []);
}

/// Where syncing costs nothing: no power is lost here.
pub(crate) fn in_memory_dir() -> tempfile::TempDir {
    changetape_testkit::in_memory_dir().unwrap()
}

/// Random numbers whose seed is printed, and taken from the environment where it is there.
pub(crate) fn seeded() -> fastrand::Rng {
    fastrand::Rng::with_seed(changetape_testkit::seed())
}
