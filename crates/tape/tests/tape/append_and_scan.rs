//! Goal: what is appended is what is read, to the byte, in order, with its arrival and token.
//! Method: tapes of random batches, written over several openings with segments of random
//! sizes, so that logs are rotated and segments merged; read whole and in part. The seed is
//! printed.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use bson::rawdoc;
use changetape_core::{Namespace, OperationType, Seq};
use changetape_tape::{
    Batch, Block, Error, Summary, Tail, TapeOptions, TapeReader, TapeWriter, tape_exists,
};

use crate::samples;

#[test]
fn what_is_appended_over_many_openings_is_what_is_read() {
    let mut random = samples::seeded();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let mut writer = samples::tape_of(&path, []);
    let mut next = 0;
    let mut batches = BTreeMap::new();
    for _ in 0..6 {
        for _ in 0..random.u64(1..30) {
            let longest = if random.u8(..) < 16 { 3_000 } else { 40 };
            let len = random.u64(1..longest);
            samples::append(&mut writer, next..next + len).unwrap();
            batches.insert(next, samples::arrival(next));
            next += len;
        }
        let checkpoint = writer.checkpoint();
        assert_eq!(checkpoint.as_ref().unwrap().next, Seq::new(next));
        assert_eq!(checkpoint.as_ref().unwrap().token, samples::token(next));
        if random.bool() {
            writer.close().unwrap();
            let reader = TapeReader::open(&path).unwrap();
            assert_eq!(reader.checkpoint(), checkpoint);
            samples::check_holds(&reader, next);
        } else {
            drop(writer);
        }
        assert!(tape_exists(&path));
        let segment_size = [1, 30_000, 300_000, TapeOptions::DEFAULT_SEGMENT_SIZE];
        writer = samples::of_size(*random.choice(&segment_size).unwrap()).open(&path).unwrap();
        assert_eq!(writer.checkpoint(), checkpoint);
    }
    drop(writer);

    let reader = TapeReader::open(&path).unwrap();
    assert_eq!(reader.metadata(), &samples::metadata());
    samples::check_holds(&reader, next);
    for block in reader.blocks(Seq::ZERO).map(Result::unwrap) {
        for recorded in block.events() {
            let (_, arrival) = batches.range(..=recorded.seq.get()).next_back().unwrap();
            assert_eq!(&recorded.arrival, arrival, "each event has its batch's arrival");
        }
    }
    for _ in 0..100 {
        let from = random.u64(0..next);
        let block = reader.blocks(Seq::new(from)).next().unwrap().unwrap();
        assert!(block.first() <= Seq::new(from) && Seq::new(from) < block.end());
    }
    assert!(reader.blocks(Seq::new(next)).next().is_none());
    assert!(reader.blocks(Seq::new(u64::MAX)).next().is_none());
}

#[test]
fn full_logs_are_sealed_and_small_segments_merged_while_the_recording_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let mut writer = samples::of_size(200_000).create(&path, samples::metadata()).unwrap();
    let mut next = 0;
    while writer.sealed().segments < 4 {
        samples::append(&mut writer, next..next + 200).unwrap();
        next += 200;
    }
    writer.close().unwrap();
    for n in 1..=12 {
        let mut writer = samples::of_size(200_000).open(&path).unwrap();
        samples::append(&mut writer, next..next + n).unwrap();
        next += n;
        writer.close().unwrap();
    }
    let reader = TapeReader::open(&path).unwrap();
    let segments = reader.summary().unwrap().segments;
    assert!((4..10).contains(&segments), "{segments} of 17");
    assert_eq!(fs::read_dir(path.join("segments")).unwrap().count() as u64, segments);
    assert_eq!(fs::read_dir(path.join("log")).unwrap().count(), 0);
    samples::check_holds(&reader, next);
    samples::check_sound(&path);
}

#[test]
fn small_blocks_become_one_when_they_are_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    // However long that takes.
    let seal_after = Duration::from_secs(1_000_000);
    let options = TapeOptions { seal_after, ..TapeOptions::default() };
    let mut writer = options.create(&path, samples::metadata()).unwrap();
    (0..30).for_each(|n| samples::append(&mut writer, n..n + 1).unwrap());
    let reader = writer.reader();
    assert_eq!(reader.summary().unwrap().blocks, 30);
    writer.close().unwrap();
    let summary = reader.summary().unwrap();
    assert_eq!((summary.segments, summary.blocks, summary.events), (1, 1, 30));
    let [block] = &reader.blocks(Seq::ZERO).map(Result::unwrap).collect::<Vec<_>>()[..] else {
        panic!("more than one block");
    };
    assert_eq!(block.token(), &samples::token(30));
    let arrivals: Vec<_> = block.events().map(|recorded| recorded.arrival).collect();
    assert_eq!(arrivals, (0..30).map(samples::arrival).collect::<Vec<_>>());
    samples::check_holds(&reader, 30);
}

#[test]
fn a_new_tape_is_empty_and_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    assert!(!tape_exists(&path));
    samples::tape_of(&path, []).close().unwrap();
    assert!(tape_exists(&path));
    let reader = TapeReader::open(&path).unwrap();
    assert_eq!((reader.end(), reader.checkpoint()), (Seq::ZERO, None));
    assert!(reader.blocks(Seq::ZERO).next().is_none());
    assert_eq!(
        (reader.start(), reader.tail(), reader.dropped()),
        (Seq::ZERO, &Tail::Nothing, None)
    );
    let summary = reader.summary().unwrap();
    assert_eq!((summary.events, summary.wall_times, summary.arrivals), (0, None, None));
    assert_eq!((summary.segments, summary.blocks), (0, 0));
    assert!(reader.disk_bytes().unwrap() > 0);
}

#[test]
fn an_empty_batch_moves_the_token_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let mut writer = samples::tape_of(&path, [5]);
    for n in [100, 200] {
        let token = samples::token(n);
        let batch = Batch { events: &[], token: &token, arrival: samples::arrival(n) };
        assert_eq!(writer.append(&batch).unwrap(), Seq::new(5)..Seq::new(5));
        assert_eq!(writer.checkpoint().unwrap().token, token);
        if n == 100 {
            drop(writer);
        } else {
            writer.close().unwrap();
        }
        writer = TapeWriter::open(&path).unwrap();
        assert_eq!(writer.checkpoint().unwrap().token, token);
    }
    samples::append(&mut writer, 5..9).unwrap();
    writer.close().unwrap();
    samples::check_holds(&TapeReader::open(&path).unwrap(), 9);
}

#[test]
fn an_empty_batch_is_kept_also_where_there_is_no_event_yet() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let mut writer = samples::tape_of(&path, []);
    let token = samples::token(7);
    let batch = Batch { events: &[], token: &token, arrival: samples::arrival(0) };
    writer.append(&batch).unwrap();
    drop(writer);
    let writer = TapeWriter::open(&path).unwrap();
    assert_eq!(writer.checkpoint().unwrap().token, token);
    assert_eq!(writer.checkpoint().unwrap().next, Seq::ZERO);
}

#[test]
fn a_large_batch_becomes_several_blocks_each_with_the_token_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let mut writer = TapeWriter::create(&path, samples::metadata()).unwrap();
    samples::append(&mut writer, 0..5_000).unwrap();
    let live = check_tokens(&writer.reader());
    writer.close().unwrap();
    let sealed = check_tokens(&TapeReader::open(&path).unwrap());
    assert!(3 < live && sealed == live, "{live} blocks, then {sealed}");
}

/// Checks the tokens of a batch of 5000 events; how many blocks it has become.
fn check_tokens(reader: &TapeReader) -> usize {
    let blocks: Vec<Block> = reader.blocks(Seq::ZERO).map(Result::unwrap).collect();
    let (last, others) = blocks.split_last().unwrap();
    assert_eq!(last.token(), &samples::token(5_000), "the batch's own");
    for block in others {
        let event = block.events().last().unwrap();
        assert_eq!(block.token(), &event.event.token().unwrap(), "the last event's own");
    }
    blocks.len()
}

#[test]
fn events_larger_than_any_page_come_back_and_are_durable_beside_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let mut random = fastrand::Rng::with_seed(1);
    let mut large = || {
        let text = samples::letters(&mut random, 3 << 20);
        rawdoc! {"_id": {"_data": "82"}, "fullDocument": {"text": text}}
    };
    let events = [large(), samples::event(1), large()];
    let mut writer = TapeWriter::create(&path, samples::metadata()).unwrap();
    samples::append_events(&mut writer, 0, &events).unwrap();
    let log = fs::read_dir(path.join("log")).unwrap().next().unwrap().unwrap().path();
    let blobs = fs::read_dir(log.join("blobs")).unwrap().count();
    assert!(blobs >= 2, "{blobs} files in blobs/");
    writer.close().unwrap();
    let reader = TapeReader::open(&path).unwrap();
    let blocks: Vec<Block> = reader.blocks(Seq::ZERO).map(Result::unwrap).collect();
    let read = blocks.iter().flat_map(Block::events);
    for (recorded, event) in read.zip(&events) {
        assert_eq!(recorded.event.as_bytes(), event.as_bytes());
    }
}

#[test]
fn an_event_too_large_is_refused_and_the_tape_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let mut writer = samples::tape_of(&path, [3]);
    let huge = rawdoc! {"text": "x".repeat(65 << 20)};
    let error = samples::append_events(&mut writer, 3, &[samples::event(3), huge]).unwrap_err();
    let Error::EventTooLarge { seq, limit, .. } = error else { panic!("{error}") };
    assert_eq!((seq, limit), (Seq::new(4), 64 << 20));
    samples::append(&mut writer, 3..8).unwrap();
    writer.close().unwrap();
    samples::check_holds(&TapeReader::open(&path).unwrap(), 8);
}

#[test]
fn the_summary_counts_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let mut writer = samples::of_size(1).create(&path, samples::metadata()).unwrap();
    samples::append(&mut writer, 0..10).unwrap();
    samples::append(&mut writer, 10..1_010).unwrap();
    let live = writer.reader();
    writer.close().unwrap();
    let mut writer = samples::of_size(1).open(&path).unwrap();
    samples::append(&mut writer, 1_010..1_030).unwrap();
    // Partly sealed, partly not.
    check_summary(&writer.reader());
    writer.close().unwrap();
    assert_eq!(live.summary().unwrap().events, 1_010, "what it knew when it ended");
    let reader = TapeReader::open(&path).unwrap();
    let summary = check_summary(&reader);
    assert!(summary.segments >= 2);
    assert_eq!(summary.disk_bytes, reader.disk_bytes().unwrap());
}

fn check_summary(reader: &TapeReader) -> Summary {
    let summary = reader.summary().unwrap();
    assert_eq!((summary.start, summary.end), (Seq::ZERO, Seq::new(1_030)));
    assert_eq!(summary.blocks, reader.blocks(Seq::ZERO).count() as u64);
    assert_eq!(summary.events, 1_030);
    let raw: usize = (0..1_030).map(|n| samples::event(n).as_bytes().len()).sum();
    assert_eq!(summary.raw_bytes, raw as u64);
    for (n, name) in (0..).zip(samples::COLLECTIONS) {
        let expected = (0..1_030).filter(|i| i % 3 == n).count();
        let namespace = Namespace::collection("shop", name);
        assert_eq!(summary.namespaces[&namespace], expected as u64);
    }
    assert_eq!(summary.operations[&OperationType::Delete], 206);
    assert_eq!(summary.operations[&OperationType::Insert], 824);
    assert_eq!((summary.other_namespaces, summary.without_namespace), (0, 0));
    let (first, last) = summary.wall_times.unwrap();
    assert_eq!((first.as_millis(), last.as_millis()), (0, 102_900));
    let (first, last) = summary.cluster_times.unwrap();
    assert_eq!((first.to_string(), last.to_string()), ("1:1".into(), "103:10".into()));
    assert_eq!(summary.arrivals, Some((samples::arrival(0), samples::arrival(1_010))));
    assert_eq!(summary.checkpoint, reader.checkpoint());
    assert_eq!((&summary.gaps[..], summary.dropped), (&[][..], None));
    assert!(summary.disk_bytes > 0);
    summary
}

#[test]
fn namespaces_and_operations_without_end_are_counted_up_to_a_bound() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let event = |n: u64| {
        let ns = rawdoc! {"db": "shop", "coll": format!("c{n}")};
        rawdoc! {"_id": {}, "operationType": format!("kind{}", n % 150), "ns": ns}
    };
    let mut events: Vec<_> = (0..10_400).map(event).collect();
    events.push(rawdoc! {"_id": {"_data": "82"}, "operationType": "invalidate"});
    let mut writer = samples::tape_of(&path, []);
    let batch_len = 5_000;
    for (n, batch) in (0..).zip(events.chunks(batch_len)) {
        // Several blocks to a batch would need tokens that these events do not have.
        for (m, part) in (0..).zip(batch.chunks(1_000)) {
            samples::append_events(&mut writer, n * 5_000 + m * 1_000, part).unwrap();
        }
    }
    writer.close().unwrap();
    let summary = TapeReader::open(&path).unwrap().summary().unwrap();
    assert_eq!(summary.namespaces.len(), 10_000);
    assert_eq!((summary.other_namespaces, summary.without_namespace), (400, 1));
    assert_eq!(summary.operations.len(), 100);
    let counted: u64 = summary.operations.values().sum();
    assert_eq!(counted + summary.other_operations, 10_401);
}

#[test]
fn writers_and_readers_may_cross_threads() {
    fn send<T: Send>() {}
    send::<TapeWriter>();
    send::<TapeReader>();
    send::<Error>();
}
