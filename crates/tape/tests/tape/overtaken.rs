//! Goal: a reading that the recording overtakes goes on as if nothing had happened: each event
//! comes once, whatever it was merged into; and where the next one was dropped, that is said.
//! Method: a reading is begun, then segments are sealed, merged or dropped between two of its
//! blocks, by a recording in the same process or as another process would do it.

use std::ops::Range;
use std::path::Path;

use bson::raw::RawDocumentBuf;
use changetape_core::Seq;
use changetape_tape::{Block, Blocks, Error, Retain, TapeOptions, TapeReader, TapeWriter};

use crate::samples;

/// So long that each event is a block of its own.
fn long_event(n: u64) -> RawDocumentBuf {
    let mut event = samples::event(n);
    event.append(bson::cstr!("pad"), "x".repeat(300_000));
    event
}

fn append_long(writer: &mut TapeWriter, places: Range<u64>) {
    for n in places {
        samples::append_events(writer, n, &[long_event(n)]).unwrap();
    }
}

/// Where a block of one event lies.
fn place(block: Option<Result<Block, Error>>) -> u64 {
    let block = block.unwrap().unwrap();
    assert_eq!(block.len(), 1);
    let n = block.first().get();
    assert_eq!(block.events().next().unwrap().event.as_bytes(), long_event(n).as_bytes());
    n
}

/// So small that no two segments of four such events are merged, and no log of four is full.
const FOUR_LONG: u64 = 2_000;

/// A closed tape of segments of four events, each event a block.
fn long_segments(path: &Path, segments: u64) {
    let options = samples::of_size(FOUR_LONG);
    options.create(path, samples::metadata()).unwrap().close().unwrap();
    for n in 0..segments {
        let mut writer = options.open(path).unwrap();
        append_long(&mut writer, n * 4..n * 4 + 4);
        writer.close().unwrap();
    }
    assert_eq!(TapeReader::open(path).unwrap().summary().unwrap().segments, segments);
}

/// Drops all but the newest segment, as another process would.
fn drop_all_but_one(path: &Path) {
    let retain = Retain { age: None, bytes: Some(0) };
    let options = TapeOptions { segment_size: 1, retain, ..TapeOptions::default() };
    options.open(path).unwrap().close().unwrap();
}

/// Checks that what comes next was dropped.
fn is_dropped(blocks: &mut Blocks<'_>, seq: u64, start: u64) {
    match blocks.next() {
        Some(Err(error @ Error::Dropped { .. })) => {
            let text = error.to_string();
            let (seq, start) = (Seq::new(seq), Seq::new(start));
            assert!(text.starts_with(&format!("event {seq} of ")), "{text}");
            assert!(text.ends_with(&format!("the tape keeps events from {start} on")), "{text}");
        }
        other => panic!("{seq} is gone, and what comes is {other:?}"),
    }
    assert!(blocks.next().is_none(), "it ends after an error");
}

#[test]
fn a_segment_that_is_being_read_is_read_to_its_end_though_it_is_dropped() {
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    long_segments(&path, 3);
    let reader = TapeReader::open(&path).unwrap();
    let mut blocks = reader.blocks(Seq::ZERO);
    assert_eq!([place(blocks.next()), place(blocks.next())], [0, 1]);
    drop_all_but_one(&path);
    assert_eq!([place(blocks.next()), place(blocks.next())], [2, 3]);
    is_dropped(&mut blocks, 4, 8);
    // Who begins now begins where the tape does.
    assert_eq!((reader.start(), reader.dropped().unwrap().end), (Seq::new(8), Seq::new(8)));
    assert_eq!(reader.blocks(Seq::ZERO).map(|block| place(Some(block))).sum::<u64>(), 38);
}

#[test]
fn every_reading_under_way_is_told_that_what_follows_was_dropped() {
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    long_segments(&path, 3);
    let reader = TapeReader::open(&path).unwrap();
    let (mut one, mut other) = (reader.blocks(Seq::ZERO), reader.blocks(Seq::new(2)));
    assert_eq!((place(one.next()), place(other.next())), (0, 2));
    drop_all_but_one(&path);
    assert_eq!(place(other.next()), 3);
    is_dropped(&mut other, 4, 8);
    assert_eq!([place(one.next()), place(one.next()), place(one.next())], [1, 2, 3]);
    is_dropped(&mut one, 4, 8);
}

#[test]
fn who_follows_a_recording_too_slowly_is_told_that_events_were_dropped() {
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    long_segments(&path, 3);
    // More than there is: what has begun to read is overtaken, not the opening.
    let retain = Retain { age: None, bytes: Some(6 * FOUR_LONG) };
    let options = TapeOptions { segment_size: FOUR_LONG, retain, ..TapeOptions::default() };
    let mut writer = options.open(&path).unwrap();
    let reader = writer.reader();
    let mut blocks = reader.blocks(Seq::ZERO);
    assert_eq!(place(blocks.next()), 0);
    let mut next = 12;
    while reader.start() < Seq::new(8) {
        append_long(&mut writer, next..next + 1);
        next += 1;
    }
    writer.close().unwrap();
    assert_eq!([place(blocks.next()), place(blocks.next()), place(blocks.next())], [1, 2, 3]);
    is_dropped(&mut blocks, 4, reader.start().get());
}

#[test]
fn reading_goes_on_in_the_segment_that_others_were_merged_into() {
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    long_segments(&path, 7);
    let reader = TapeReader::open(&path).unwrap();
    let mut blocks = reader.blocks(Seq::ZERO);
    assert_eq!([place(blocks.next()), place(blocks.next())], [0, 1]);
    let mut writer = samples::of_size(1 << 20).open(&path).unwrap();
    append_long(&mut writer, 28..32);
    writer.close().unwrap();
    let now = TapeReader::open(&path).unwrap().summary().unwrap();
    assert_eq!((now.segments, now.blocks), (1, 32), "merged");
    for n in 2..28 {
        assert_eq!(place(blocks.next()), n);
    }
}

#[test]
fn events_come_once_though_blocks_are_merged_while_they_are_read() {
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    samples::segments_of(&path, [5; 7]);
    let reader = TapeReader::open(&path).unwrap();
    let mut blocks = reader.blocks(Seq::ZERO);
    let mut seen: Vec<u64> = Vec::new();
    let mut see = |block: Option<Result<Block, Error>>| {
        let block = block?.unwrap();
        seen.extend(block.events().map(|recorded| recorded.seq.get()));
        Some(block)
    };
    see(blocks.next()).unwrap();
    let mut writer = samples::of_size(1 << 20).open(&path).unwrap();
    samples::append(&mut writer, 35..40).unwrap();
    writer.close().unwrap();
    assert_eq!(TapeReader::open(&path).unwrap().blocks(Seq::ZERO).count(), 1, "merged");
    while see(blocks.next()).is_some() {}
    assert!(seen.starts_with(&(0..35).collect::<Vec<_>>()), "{seen:?}");
}

#[test]
fn events_come_once_though_the_live_end_is_sealed_while_it_is_read() {
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    let writer = samples::tape_of(&path, [2, 3, 4]);
    let reader = writer.reader();
    let mut blocks = reader.blocks(Seq::ZERO);
    let first = blocks.next().unwrap().unwrap();
    let mut seen: Vec<u64> = first.events().map(|recorded| recorded.seq.get()).collect();
    writer.close().unwrap();
    for block in blocks {
        seen.extend(block.unwrap().events().map(|recorded| recorded.seq.get()));
    }
    assert_eq!(seen, (0..9).collect::<Vec<_>>());
}
