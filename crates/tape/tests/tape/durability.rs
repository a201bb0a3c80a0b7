//! Goal: with [`Durability::Interval`] nothing is acknowledged before it is durable, the writer
//! says when that is due, and what is lost without a close was never acknowledged.
//! Method: appends with intervals that never pass and with one that always has; what the writer,
//! its reader and a copy of its files tell before and after `sync`.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::{Duration, Instant};

use changetape_core::Seq;
use changetape_tape::{Durability, TapeOptions, TapeReader, TapeWriter};

use crate::image::Image;
use crate::samples;

/// An interval that does not pass while a test runs.
const LONG: Duration = Duration::from_secs(1_000_000);

fn options(interval: Duration, segment_size: u64) -> TapeOptions {
    let durability = Durability::Interval(interval);
    TapeOptions { segment_size, durability, ..TapeOptions::default() }
}

/// With segments so large that nothing is sealed meanwhile.
fn large(interval: Duration) -> TapeOptions {
    options(interval, TapeOptions::DEFAULT_SEGMENT_SIZE)
}

/// Checks what the writer and its reader acknowledge.
#[track_caller]
fn check_acknowledged(writer: &TapeWriter, reader: &TapeReader, next: u64) {
    assert_eq!(samples::next_of(writer), next);
    assert_eq!(reader.end(), Seq::new(next));
    assert_eq!(reader.checkpoint(), writer.checkpoint());
    assert!(!reader.wait_for(Seq::new(next), Duration::ZERO));
    assert!(next == 0 || reader.wait_for(Seq::new(next - 1), Duration::ZERO));
    samples::check_holds(reader, next);
}

#[test]
fn nothing_is_acknowledged_before_it_is_synced() {
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    let mut writer = large(LONG).create(&path, samples::metadata()).unwrap();
    let reader = writer.reader();
    assert_eq!((writer.sync_due(), writer.checkpoint()), (None, None));
    let mut next = 0;
    for _ in 0..4 {
        let acknowledged = next;
        let before = Instant::now();
        samples::append(&mut writer, next..next + 5).unwrap();
        let due = writer.sync_due().unwrap();
        assert!((before + LONG..=Instant::now() + LONG).contains(&due));
        samples::append(&mut writer, next + 5..next + 6).unwrap();
        assert_eq!(writer.sync_due(), Some(due), "it counts from the first");
        next += 6;
        check_acknowledged(&writer, &reader, acknowledged);
        let beside = TapeReader::open(&path).unwrap();
        assert!(beside.end() <= Seq::new(acknowledged));
        writer.sync().unwrap();
        assert_eq!(writer.sync_due(), None);
        check_acknowledged(&writer, &reader, next);
        assert_eq!(writer.checkpoint().unwrap().token, samples::token(next));
        writer.sync().unwrap();
    }
    writer.close().unwrap();
    samples::check_holds(&TapeReader::open(&path).unwrap(), next);
}

#[test]
fn an_interval_that_has_passed_is_kept_by_the_append_itself() {
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    let mut writer = large(Duration::ZERO).create(&path, samples::metadata()).unwrap();
    let reader = writer.reader();
    for n in 0..5 {
        samples::append(&mut writer, n..n + 1).unwrap();
        assert_eq!(writer.sync_due(), None);
        check_acknowledged(&writer, &reader, n + 1);
    }
}

#[test]
fn a_gap_is_durable_at_once_and_all_before_it() {
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    let mut writer = large(LONG).create(&path, samples::metadata()).unwrap();
    samples::append(&mut writer, 0..5).unwrap();
    samples::append_gap(&mut writer, samples::gap(3), &samples::token(77)).unwrap();
    assert_eq!(writer.sync_due(), None);
    check_acknowledged(&writer, &writer.reader(), 5);
    assert_eq!(writer.checkpoint().unwrap().token, samples::token(77));
    drop(writer);
    let reader = TapeReader::open(&path).unwrap();
    assert_eq!(samples::gap_places(&reader), [5]);
    samples::check_holds(&reader, 5);
}

#[test]
fn without_a_close_what_was_synced_is_there_and_with_one_all_is() {
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    let mut random = samples::seeded();
    let mut next = 0;
    options(LONG, 1).create(&path, samples::metadata()).unwrap().close().unwrap();
    for round in 0..12 {
        // Nothing is sealed while the files are copied; at other times logs are.
        let copied = round % 4 < 2;
        let segment_size = if copied { TapeOptions::DEFAULT_SEGMENT_SIZE } else { 5_000 };
        let mut writer = options(LONG, segment_size).open(&path).unwrap();
        assert_eq!((samples::next_of(&writer), writer.sync_due()), (next, None));
        let mut synced = next;
        for _ in 0..random.u64(1..20) {
            let len = random.u64(1..30);
            samples::append(&mut writer, next..next + len).unwrap();
            next += len;
            if random.bool() {
                writer.sync().unwrap();
                synced = next;
            }
        }
        if copied {
            // As if it were killed: sled may have written more than was synced, never less.
            let copy = dir.path().join("copy.tape");
            Image::of(&path).restore(&copy);
            check_end(&copy, synced..=next);
        }
        if round % 2 == 0 {
            writer.close().unwrap();
            check_end(&path, next..=next);
        } else {
            drop(writer);
            next = check_end(&path, synced..=next);
        }
    }
}

/// Checks that a tape is whole and ends within a range; where it ends.
#[track_caller]
fn check_end(path: &Path, expected: RangeInclusive<u64>) -> u64 {
    let reader = TapeReader::open(path).unwrap();
    let end = reader.end().get();
    assert!(expected.contains(&end), "{end} of {expected:?}");
    samples::check_holds(&reader, end);
    end
}
