//! Goal: merging waits for calm; whatever is being merged, the writer gets what it asks for between
//! two blocks; and what is too old is dropped whenever it asks.
//! Method: a worker without a thread, whose writer is the test. A merge is begun with the writer's
//! requests already waiting; what happens on disk is noted in its order.

use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;

use bson::raw::RawDocument;

use super::*;
use crate::block::{BlockEncoder, High, NewBlock};
use crate::disk::seam::{At, Call, Failure, Script, Then};
use crate::live::Live;
use crate::log::Appended;
use crate::{Checkpoint, TapeOptions, TapeReader, opening, samples, verify};

/// Segments of so many events each, one more than are merged.
const SEGMENTS: u64 = 8;
const EVENTS: u64 = 5;

/// A worker on a tape of segments that should be merged, and its writer's ends.
fn worker(path: &Path) -> (Worker, Sender<Job>, Receiver<Prepared>) {
    let alone = TapeOptions { segment_size: 1, ..TapeOptions::default() };
    alone.create(path, samples::metadata()).unwrap().close().unwrap();
    for segment in 0..SEGMENTS {
        let mut writer = alone.open(path).unwrap();
        samples::append(&mut writer, segment * EVENTS..(segment + 1) * EVENTS);
        writer.close().unwrap();
    }
    let opened = opening::open(path).unwrap();
    let options = TapeOptions::default();
    let work = Work {
        path: path.to_owned(),
        metadata: opened.metadata,
        live: Arc::new(Live::new(opened.catalog)),
        limits: options.limits(),
        retain: options.retain,
    };
    let (jobs, to_do) = channel();
    let (ready, prepared) = channel();
    (Worker::new(work, to_do, ready), jobs, prepared)
}

#[test]
fn what_is_too_old_is_dropped_though_nothing_is_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let (mut worker, jobs, _prepared) = worker(&path);
    worker.work.retain.age = Some(Duration::from_secs(1));
    let live = Arc::clone(&worker.work.live);
    assert_eq!(live.catalog().start(), Seq::ZERO);
    jobs.send(Job::Retain).unwrap();
    drop(jobs);
    worker.run().unwrap();
    assert_eq!(live.catalog().start(), Seq::new((SEGMENTS - 1) * EVENTS), "all but the newest");
}

/// A log that holds the events of some places.
fn full(mut prepared: Prepared, first: u64, end: u64) -> Full {
    let events: Vec<_> = (first..end).map(samples::event).collect();
    let events: Vec<&RawDocument> = events.iter().map(AsRef::as_ref).collect();
    let (token, arrival) = (samples::token(end), samples::arrival(first));
    let first = Seq::new(first);
    let new = NewBlock { first, events: &events, arrival, token: &token, high: High::default() };
    let (block, _) = BlockEncoder::new().unwrap().encode(&new).unwrap();
    let checkpoint = Checkpoint { token: token.clone(), next: Seq::new(end) };
    let blocks = vec![(first, block)];
    let appended = Appended { blocks, gap: None, checkpoint: checkpoint.clone() };
    prepared.log.apply(appended, &mut prepared.end).unwrap();
    prepared.log.sync(&mut prepared.end).unwrap();
    let Prepared { number, log, .. } = prepared;
    Full { number, log: Some(log), checkpoint: Some(checkpoint), gaps: Vec::new() }
}

#[test]
fn what_the_writer_asks_for_does_not_wait_for_a_merge() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let (mut worker, jobs, prepared) = worker(&path);
    let next = SEGMENTS * EVENTS;
    worker.work(Job::Prepare).unwrap();
    let full = full(prepared.recv().unwrap(), next, next + 3);

    let script = Script::notes(dir.path());
    jobs.send(Job::Prepare).unwrap();
    jobs.send(Job::Seal(full)).unwrap();
    assert!(worker.merge_some().unwrap(), "nothing was merged");
    let calls = script.calls();
    let at = |call: Call, file: &Path| {
        let found = calls.iter().position(|(done, at)| *done == call && at == file);
        found.unwrap_or_else(|| panic!("no {call:?} of {}", file.display()))
    };
    let begun = at(Call::Create, &layout::unfinished_merge(&path));
    let segment = |events: Range<u64>| {
        layout::segment(&path, &(Seq::new(events.start)..Seq::new(events.end)))
    };
    let made = at(Call::CreateDir, &layout::log(&path, LogNumber::FIRST.next()));
    let sealed = at(Call::Rename, &segment(next..next + 3));
    let merged = at(Call::Rename, &segment(0..next));
    assert!(begun < made && made < sealed && sealed < merged, "{calls:?}");
    drop(script);
    assert!(prepared.try_recv().is_ok(), "the next log is there");

    // Both are listed.
    let summary = TapeReader::open(&path).unwrap().summary().unwrap();
    assert_eq!((summary.segments, summary.events), (2, next + 3));
    drop(worker);
    let mut places = Vec::new();
    for block in TapeReader::open(&path).unwrap().blocks(Seq::ZERO).map(Result::unwrap) {
        for recorded in block.events() {
            assert_eq!(recorded.event.as_bytes(), samples::event(recorded.seq.get()).as_bytes());
            places.push(recorded.seq.get());
        }
    }
    assert_eq!(places, (0..next + 3).collect::<Vec<_>>());
    assert_eq!(verify(&path, &mut |_, _| ()).unwrap().damages, []);
}

#[test]
fn what_fails_for_the_writer_during_a_merge_is_not_taken_for_the_merges_failure() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let (mut worker, jobs, _prepared) = worker(&path);
    // A merge alone would be put off.
    let _full = Script::at(dir.path(), At::Kind(Call::CreateDir, 0), Then::Fail(Failure::DiskFull));
    jobs.send(Job::Prepare).unwrap();
    let failed = worker.merge_some();
    assert!(matches!(failed, Err(Error::DiskFull { .. })), "{failed:?}");
}

#[test]
fn merging_waits_for_calm_unless_too_much_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let (mut worker, _jobs, prepared) = worker(&path);
    assert_eq!(worker.patience(false), None, "there is nothing to merge");
    assert_eq!(worker.patience(true), Some(Duration::ZERO), "nothing has come yet");
    worker.work(Job::Prepare).unwrap();
    let next = SEGMENTS * EVENTS;
    let full = full(prepared.recv().unwrap(), next, next + 3);
    worker.work(Job::Seal(full)).unwrap();
    let sealed = worker.calm_since;
    let patience = worker.patience(true).unwrap();
    assert!(patience <= CALM && patience + sealed.elapsed() >= CALM, "{patience:?}");
    worker.calm_since = sealed.checked_sub(CALM).unwrap();
    assert_eq!(worker.patience(true), Some(Duration::ZERO), "calm for long enough");

    let long = Duration::from_secs(3600);
    worker.calm_since = Instant::now() + long;
    let mut catalog = Catalog::clone(&worker.work.live.catalog());
    let small = catalog.segments.last().unwrap().clone();
    catalog.segments.resize(MOST_SMALL, small.clone());
    worker.work.live.now_sealed(catalog.clone());
    assert_eq!(worker.patience(true), Some(CALM), "no more small ones than may be");
    catalog.segments.push(small);
    worker.work.live.now_sealed(catalog);
    assert_eq!(worker.patience(true), Some(Duration::ZERO), "crowded");
}

#[test]
fn the_end_of_a_recording_does_not_wait_for_a_large_merge() {
    // As the catalog has it; what is in the files is not looked at before they are merged.
    let (fits, does_not) = (LAST_LEN / SEGMENTS, LAST_LEN / 2 + 1);
    for (len, begun) in [(fits, true), (does_not, false)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders.tape");
        let (mut worker, jobs, _prepared) = worker(&path);
        let mut catalog = Catalog::clone(&worker.work.live.catalog());
        catalog.segments.iter_mut().for_each(|listed| listed.len = len);
        worker.work.live.now_sealed(catalog);
        worker.calm_since = Instant::now() + CALM;
        drop(jobs);
        let script = Script::notes(dir.path());
        worker.run().unwrap();
        let merge = (Call::Create, layout::unfinished_merge(&path));
        assert_eq!(script.calls().contains(&merge), begun, "segments of {len} bytes");
    }
}

#[test]
fn a_merge_under_way_is_put_off_when_the_writer_goes() {
    for (len, merged) in [(None, true), (Some(LAST_LEN), false)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders.tape");
        let (mut worker, jobs, _prepared) = worker(&path);
        let mut catalog = Catalog::clone(&worker.work.live.catalog());
        // Behind a part that is as long as the catalog has it.
        catalog.segments.last_mut().unwrap().len = len.unwrap_or(1000);
        drop(jobs);
        let outcome = worker.merge(&catalog, 0..7).unwrap();
        assert!(matches!(outcome, Outcome::Done(_)), "short ones are merged to the end");
        let outcome = worker.merge(&catalog, 0..8).unwrap();
        assert_eq!(matches!(outcome, Outcome::PutOff), !merged);
        assert!(!layout::unfinished_merge(&path).exists());
    }
}

#[test]
fn what_cannot_be_read_or_has_no_room_is_not_merged_and_ends_no_recording() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let (mut worker, _jobs, _prepared) = worker(&path);
    let before = worker.work.live.catalog();
    {
        let failing = At::Named(Call::Write, "catalog.new", 0);
        let _full = Script::at(dir.path(), failing, Then::Fail(Failure::DiskFull));
        assert!(!worker.merge_some().unwrap(), "no room for a catalog");
        assert_eq!(worker.work.live.catalog(), before);
    }
    let is_listed = |file: &Path| {
        before.segments.iter().any(|listed| layout::segment(&path, &listed.events()) == file)
    };
    let left_over = layout::unlisted(&path, is_listed).unwrap();
    assert_eq!(left_over, Vec::<PathBuf>::new(), "what was merged takes the room");
    let mut catalog = Catalog::clone(&before);
    catalog.segments.iter_mut().for_each(|listed| listed.len = 1 << 56);
    worker.work.limits.len = u64::MAX;
    worker.work.live.now_sealed(catalog);
    let script = Script::notes(dir.path());
    assert!(!worker.merge_some().unwrap() && script.calls().is_empty(), "no room for segments");
    drop(script);

    worker.work.live.now_sealed(Catalog::clone(&before));
    // As a disk answers that cannot read a sector: with an error that is not about the tape.
    let segment = layout::segment(&path, &before.segments[2].events());
    std::fs::remove_file(&segment).unwrap();
    std::fs::create_dir(&segment).unwrap();
    assert!(!worker.merge_some().unwrap(), "one cannot be read");
    assert_eq!(worker.work.live.catalog(), before);
}
