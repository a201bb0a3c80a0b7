//! Goal: whoever reads a tape while it is recorded sees each event once, in order, and only what
//! is durable, and is told of each gap before what is behind it, however the recording rotates,
//! seals, merges and drops meanwhile; and whatever else is asked of the tape is answered.
//! Method: a writer with logs and segments so small that all of that goes on all the time, and
//! threads that follow it: one that reads in the writer's process, one that opens the tape again
//! and again as another process would. For single moments see `overtaken`.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use changetape_core::Seq;
use changetape_tape::{
    Block, Durability, Error, Gap, Retain, Tail, TapeOptions, TapeReader, TapeWriter,
};

use crate::samples;

/// Longer than any test takes: what is waited for comes, or a recording ends.
const PATIENCE: Duration = Duration::from_secs(1_000_000);

/// How far a reader may be behind; far less than what is kept.
const LAG: u64 = 200;

fn busy() -> TapeOptions {
    TapeOptions {
        segment_size: 12_000,
        durability: Durability::Interval(PATIENCE),
        retain: Retain { age: None, bytes: Some(150_000) },
        ..TapeOptions::default()
    }
}

/// Checks the events of a block from a place on; the place behind it.
fn read_on(block: &Block, mut next: u64) -> u64 {
    assert!(block.first().get() <= next, "{} at {next}", block.first());
    let from = next;
    for recorded in block.events().filter(|recorded| recorded.seq.get() >= from) {
        assert_eq!(recorded.seq.get(), next);
        assert_eq!(recorded.event.as_bytes(), samples::event(next).as_bytes(), "event {next}");
        next += 1;
    }
    assert_eq!(block.end(), Seq::new(next));
    next
}

/// Says that a recording has ended, also where a test fails over it.
struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Follows the live end until the recording ends; how far it got, and which gaps it was told of.
/// Tells how far it is.
fn follow(
    reader: &TapeReader,
    syncing: &AtomicU64,
    seen: &Sender<u64>,
    ended: &AtomicBool,
) -> (u64, Vec<Gap>) {
    let (mut next, mut gaps) = (0, Vec::new());
    let mut blocks = reader.blocks(Seq::ZERO);
    while !ended.load(Ordering::SeqCst) || Seq::new(next) < reader.end() {
        if !reader.wait_for(Seq::new(next), Duration::from_millis(10)) {
            continue;
        }
        while let Some(block) = blocks.next() {
            let from = next;
            next = read_on(&block.unwrap(), next);
            for gap in blocks.crossed() {
                let between = from..next;
                assert!(between.contains(&gap.at.get()), "{gap} among {between:?}");
                gaps.push(gap);
            }
            let durable = syncing.load(Ordering::SeqCst);
            assert!(next <= durable, "{next} was read, and {durable} may be durable");
            // The writer may have ended by now.
            let _ = seen.send(next);
        }
    }
    (next, gaps)
}

/// Opens the tape again and again, and reads what is sealed; counts how often that was while it
/// was recorded.
fn look_again(path: &Path, ended: &AtomicBool, looks: &AtomicU64) {
    let (mut start, mut end) = (0, 0);
    while !ended.load(Ordering::SeqCst) {
        let reader = TapeReader::open(path).unwrap();
        match reader.tail() {
            Tail::BeingRecorded(holder) => {
                assert_eq!(holder.pid, Some(std::process::id()));
                looks.fetch_add(1, Ordering::SeqCst);
            }
            // Closed by now.
            tail => assert_eq!(tail, &Tail::Nothing),
        }
        assert!(reader.start().get() >= start && reader.end().get() >= end, "it only grows");
        (start, end) = (reader.start().get(), reader.end().get());
        let mut next = start;
        for block in reader.blocks(Seq::ZERO) {
            match block {
                Ok(block) => next = read_on(&block, next),
                Err(Error::Dropped { seq, start, .. }) => {
                    assert!(seq.get() == next && start > seq, "{seq} of {start} at {next}");
                    next = end;
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(next >= end);
    }
}

/// Counts what is on the tape again and again, and how often.
fn count_again(reader: &TapeReader, ended: &AtomicBool, counts: &AtomicU64) {
    while !ended.load(Ordering::SeqCst) {
        let summary = match reader.summary() {
            // What was about to be counted may have been dropped.
            Err(Error::Dropped { .. }) => continue,
            summary => summary.unwrap(),
        };
        let counted = Seq::new(summary.start.get() + summary.events);
        let end = reader.end();
        assert!(summary.end <= counted && counted <= end, "{counted} of {} to {end}", summary.end);
        let by_namespace: u64 = summary.namespaces.values().sum();
        assert_eq!(by_namespace, summary.events);
        counts.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn who_follows_sees_each_event_once_in_order_and_only_what_is_durable() {
    let mut random = samples::seeded();
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    let mut writer = busy().create(&path, samples::metadata()).unwrap();
    let (syncing, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    let (looks, counts) = (AtomicU64::new(0), AtomicU64::new(0));
    let (seen, told) = channel();
    let reader = writer.reader();
    std::thread::scope(|scope| {
        let end = EndOnDrop(&ended);
        let (followed, watched, until) = (&reader, &syncing, &ended);
        // It takes the sender with it, so that nobody waits for a reader that has failed.
        let following = scope.spawn(move || follow(followed, watched, &seen, until));
        let looking = scope.spawn(|| look_again(&path, &ended, &looks));
        let counting = scope.spawn(|| count_again(&reader, &ended, &counts));
        let (mut next, mut behind) = (0, 0);
        let (mut rounds, mut gaps) = (0, Vec::new());
        let has_yet_to = |done: &AtomicU64| done.load(Ordering::SeqCst) == 0;
        while rounds < 300
            || (has_yet_to(&looks) && !looking.is_finished())
            || (has_yet_to(&counts) && !counting.is_finished())
            || gaps.len() < 5
            || reader.start() == Seq::ZERO
            || writer.sealed().segments < 20
        {
            rounds += 1;
            for _ in 0..random.u64(1..4) {
                let len = random.u64(1..15);
                samples::append(&mut writer, next..next + len).unwrap();
                next += len;
            }
            assert!(samples::next_of(&writer) <= syncing.load(Ordering::SeqCst));
            syncing.store(next, Ordering::SeqCst);
            if random.u8(..) < 10 {
                let gap = Gap { at: Seq::new(next), ..samples::gap(rounds) };
                samples::append_gap(&mut writer, gap.clone(), &samples::token(next)).unwrap();
                gaps.push(gap);
            } else {
                writer.sync().unwrap();
            }
            assert!(gaps.ends_with(&reader.gaps()), "{gaps:?}");
            while behind + LAG < next {
                behind = told.recv().expect("the reader has ended");
            }
        }
        writer.close().unwrap();
        drop(end);
        // One at the end has nothing behind it.
        gaps.retain(|gap| gap.at < Seq::new(next));
        assert_eq!(following.join().unwrap(), (next, gaps));
        looking.join().unwrap();
        counting.join().unwrap();
        samples::check_holds_on(&reader, next);
        samples::check_holds_on(&TapeReader::open(&path).unwrap(), next);
    });
    samples::check_sound(&path);
}

#[test]
fn a_tape_can_be_opened_whenever_recordings_begin_and_end() {
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    samples::segments_of(&path, [5]);
    let (acknowledged, ended) = (AtomicU64::new(5), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            while !ended.load(Ordering::SeqCst) {
                // All that was sealed when the last recording ended.
                let closed = acknowledged.load(Ordering::SeqCst);
                let reader = TapeReader::open(&path).unwrap();
                assert!(reader.end().get() >= closed, "{} of {closed}", reader.end());
            }
        });
        let end = EndOnDrop(&ended);
        for next in 5..105 {
            let mut writer = TapeWriter::open(&path).unwrap();
            samples::append(&mut writer, next..next + 1).unwrap();
            writer.close().unwrap();
            acknowledged.store(next + 1, Ordering::SeqCst);
            if looking.is_finished() {
                break;
            }
        }
        drop(end);
        looking.join().unwrap();
    });
}

#[test]
fn a_recording_begins_also_while_a_reader_seals_what_a_killed_process_left() {
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    samples::segments_of(&path, [5]);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            while !ended.load(Ordering::SeqCst) {
                TapeReader::open(&path).unwrap();
            }
        });
        let end = EndOnDrop(&ended);
        for next in 5..65 {
            let mut writer = TapeWriter::open(&path).unwrap();
            samples::append(&mut writer, next..next + 1).unwrap();
            // Not closed: as if it were killed.
            drop(writer);
            if looking.is_finished() {
                break;
            }
        }
        drop(end);
        looking.join().unwrap();
    });
}

#[test]
fn what_a_tape_takes_is_told_while_logs_come_and_go() {
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    let mut writer = samples::of_size(1).create(&path, samples::metadata()).unwrap();
    let reader = writer.reader();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            while !ended.load(Ordering::SeqCst) {
                assert!(reader.disk_bytes().unwrap() > 0);
            }
        });
        let end = EndOnDrop(&ended);
        let mut next = 0;
        while writer.sealed().segments < 60 && !asking.is_finished() {
            samples::append(&mut writer, next..next + 1).unwrap();
            next += 1;
        }
        drop(end);
        asking.join().unwrap();
    });
}

#[test]
fn nothing_comes_once_the_recording_has_ended() {
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    let writer = samples::tape_of(&path, [5, 6]);
    let reader = writer.reader();
    assert!(
        reader.wait_for(Seq::new(10), PATIENCE) && !reader.wait_for(Seq::new(11), Duration::ZERO)
    );
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| reader.wait_for(Seq::new(11), PATIENCE));
        writer.close().unwrap();
        assert!(!waiting.join().unwrap());
    });
    samples::check_holds(&reader, 11);
    let sealed = TapeReader::open(&path).unwrap();
    assert!(sealed.wait_for(Seq::new(10), PATIENCE) && !sealed.wait_for(Seq::new(11), PATIENCE));
}
