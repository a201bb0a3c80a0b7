//! Goal: a gap that was appended stays where it is, once, until retention drops what is before
//! it; the recording goes on behind it; and who reads the live end is told of it before what is
//! behind it.
//! Method: gaps among batches, over reopening, killing (a writer that is never closed), sealing
//! and merging; at the beginning and the end of a tape, and several at one place. A reader in the
//! writer's process follows by turns with it; for one beside it see `live`.

use std::path::Path;

use changetape_core::{ResumeToken, Seq};
use changetape_tape::{
    Edge, Gap, GapCause, Retain, Tail, TapeOptions, TapeReader, TapeWriter, repair, verify,
};

use crate::samples;

/// A token that no batch has.
fn token_behind(n: u32) -> ResumeToken {
    samples::token(u64::from(n) * 10 + 1_000_007)
}

/// A gap as the tape tells it.
fn told(at: u64, seconds: u32) -> Gap {
    Gap { at: Seq::new(at), ..samples::gap(seconds) }
}

/// Checks a tape's gaps as a reader, its summary and verifying tell them.
#[track_caller]
fn check_gaps(path: &Path, expected: &[Gap]) {
    let reader = TapeReader::open(path).unwrap();
    assert_eq!(reader.gaps(), expected);
    assert_eq!(reader.summary().unwrap().gaps, expected);
    let verified = verify(path, &mut |_, _| ()).unwrap();
    assert_eq!((verified.gaps.as_slice(), verified.damages), (expected, vec![]));
}

/// Whether the recording ended cleanly or the process was killed.
fn end(writer: TapeWriter, cleanly: bool) {
    if cleanly { writer.close().unwrap() } else { drop(writer) }
}

#[test]
fn gaps_stay_over_openings_and_the_recording_goes_on_behind_them() {
    for cleanly in [true, false] {
        let dir = samples::in_memory_dir();
        let path = dir.path().join("orders.tape");
        let mut writer = samples::tape_of(&path, []);
        let mut expected = Vec::new();
        let mut next = 0;
        for n in 1..=4 {
            // Before any event, between two, twice at one place, and at the end.
            let gap = samples::gap(n);
            samples::append_gap(&mut writer, gap, &token_behind(n)).unwrap();
            expected.push(told(next, n));
            assert_eq!(writer.checkpoint().unwrap().token, token_behind(n));
            end(writer, cleanly);
            check_gaps(&path, &expected);
            writer = samples::of_size(1).open(&path).unwrap();
            let checkpoint = writer.checkpoint().unwrap();
            assert_eq!((checkpoint.next.get(), checkpoint.token), (next, token_behind(n)));
            if n != 2 {
                samples::append(&mut writer, next..next + 5).unwrap();
                next += 5;
                end(writer, cleanly);
                check_gaps(&path, &expected);
                writer = samples::of_size(1).open(&path).unwrap();
            }
        }
        samples::append_gap(&mut writer, samples::gap(9), &token_behind(9)).unwrap();
        expected.push(told(next, 9));
        end(writer, cleanly);
        check_gaps(&path, &expected);
        samples::check_holds(&TapeReader::open(&path).unwrap(), next);
    }
}

#[test]
fn what_is_known_of_a_gap_is_kept_as_it_was_told() {
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    let mut writer = samples::tape_of(&path, [3]);
    let edges = [Edge::default(), Edge::at(samples::token(77))];
    let causes = [GapCause::HistoryLost, GapCause::EventTooLarge, GapCause::Reset];
    let mut expected = Vec::new();
    for (cause, n) in causes.into_iter().zip(1..) {
        for [before, after] in [[0, 1], [1, 0], [0, 0]].map(|pair| pair.map(|n| edges[n].clone())) {
            // Where it lies is the tape's to say.
            let (at, places) = (Seq::new(99), 7);
            let gap = Gap { at, places, cause, before, after, ..samples::gap(n) };
            expected.push(Gap { at: Seq::new(3), places: 0, ..gap.clone() });
            samples::append_gap(&mut writer, gap, &token_behind(n)).unwrap();
        }
    }
    writer.close().unwrap();
    check_gaps(&path, &expected);
}

#[test]
fn gaps_stay_where_they_are_when_logs_are_sealed_and_segments_merged() {
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    let mut random = samples::seeded();
    let options = samples::of_size(40_000);
    let mut writer = options.create(&path, samples::metadata()).unwrap();
    let (mut next, mut expected, mut openings) = (0, Vec::new(), 0);
    while openings < 12 {
        if random.u8(..) < 40 {
            let n = u32::try_from(expected.len()).unwrap();
            samples::append_gap(&mut writer, samples::gap(n), &token_behind(n)).unwrap();
            expected.push(told(next, n));
        }
        let len = random.u64(1..40);
        samples::append(&mut writer, next..next + len).unwrap();
        next += len;
        if random.u8(..) < 10 {
            openings += 1;
            end(writer, random.bool());
            writer = options.open(&path).unwrap();
        }
    }
    // Gaps that are sealed are seen beside the recording, and all of them in it.
    let beside = TapeReader::open(&path).unwrap();
    assert!(matches!(beside.tail(), Tail::BeingRecorded(_)));
    assert!(expected.starts_with(&beside.gaps()));
    assert_eq!(writer.reader().gaps(), expected);
    writer.close().unwrap();
    check_gaps(&path, &expected);
    // Small segments are merged as soon as there are some of one size.
    let segments = || TapeReader::open(&path).unwrap().summary().unwrap().segments;
    let before = segments();
    for _ in 0..8 {
        let mut writer = options.open(&path).unwrap();
        samples::append(&mut writer, next..next + 1).unwrap();
        writer.close().unwrap();
        next += 1;
    }
    assert!(before > 2 && segments() < before + 8, "{before}, then {}", segments());
    check_gaps(&path, &expected);
    samples::check_holds(&TapeReader::open(&path).unwrap(), next);
}

#[test]
fn segments_tell_of_gaps_where_the_catalog_is_lost() {
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    samples::segments_of(&path, [5]);
    let open = || samples::of_size(1).open(&path).unwrap();
    let mut writer = open();
    samples::append_gap(&mut writer, samples::gap(1), &token_behind(1)).unwrap();
    samples::append(&mut writer, 5..10).unwrap();
    // The last thing of one recording, before the first of another.
    samples::append_gap(&mut writer, samples::gap(2), &token_behind(2)).unwrap();
    writer.close().unwrap();
    let mut writer = open();
    samples::append(&mut writer, 10..15).unwrap();
    writer.close().unwrap();
    let expected = [told(5, 1), told(10, 2)];
    check_gaps(&path, &expected);
    std::fs::remove_file(path.join("catalog")).unwrap();
    repair(&path, &mut |_, _| ()).unwrap();
    check_gaps(&path, &expected);
}

#[test]
fn a_gap_that_was_recorded_is_no_loss_to_a_repair() {
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    let mut writer = samples::tape_of(&path, [5]);
    samples::append_gap(&mut writer, samples::gap(1), &token_behind(1)).unwrap();
    end(writer, false);
    let repaired = repair(&path, &mut |_, _| ()).unwrap();
    assert_eq!((repaired.damages, repaired.gaps), (vec![], vec![]));
    check_gaps(&path, &[told(5, 1)]);
}

#[test]
fn a_gap_goes_when_what_is_before_it_is_dropped() {
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    samples::of_size(1).create(&path, samples::metadata()).unwrap().close().unwrap();
    let mut expected = Vec::new();
    for n in 1..=5 {
        let mut writer = samples::of_size(1).open(&path).unwrap();
        let first = u64::from(n - 1) * 10;
        samples::append(&mut writer, first..first + 5).unwrap();
        samples::append_gap(&mut writer, samples::gap(n), &token_behind(n)).unwrap();
        expected.push(told(first + 5, n));
        samples::append(&mut writer, first + 5..first + 10).unwrap();
        writer.close().unwrap();
    }
    check_gaps(&path, &expected);
    let reader = TapeReader::open(&path).unwrap();
    let mut kept = reader.summary().unwrap();
    for left in (1..kept.segments).rev() {
        // One byte less than there is: the oldest has to go.
        let segments = std::fs::read_dir(path.join("segments")).unwrap();
        let bytes: u64 = segments.map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        let retain = Retain { age: None, bytes: Some(bytes - 1) };
        let options = TapeOptions { segment_size: 1, retain, ..TapeOptions::default() };
        options.open(&path).unwrap().close().unwrap();
        kept = TapeReader::open(&path).unwrap().summary().unwrap();
        assert_eq!(kept.segments, left);
        expected.retain(|gap| gap.at > kept.start);
        check_gaps(&path, &expected);
    }
    assert!(expected.len() <= 1, "{expected:?}");
    assert_eq!(kept.dropped.unwrap().end, kept.start);
}

#[test]
fn who_reads_the_live_end_is_told_of_each_gap_once_and_before_what_is_behind_it() {
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    let mut writer = samples::tape_of(&path, [5]);
    let reader = writer.reader();
    let mut blocks = reader.blocks(Seq::ZERO);
    assert_eq!(blocks.next().unwrap().unwrap().end(), Seq::new(5));
    assert_eq!(blocks.crossed(), []);
    samples::append_gap(&mut writer, samples::gap(1), &token_behind(1)).unwrap();
    let expected = [told(5, 1)];
    assert_eq!(reader.gaps(), expected);
    assert_eq!(reader.summary().unwrap().gaps, expected);
    // Nothing has been read behind it yet.
    assert!(blocks.next().is_none());
    assert_eq!(blocks.crossed(), []);
    samples::append(&mut writer, 5..8).unwrap();
    assert_eq!(blocks.next().unwrap().unwrap().first(), Seq::new(5));
    assert_eq!((blocks.crossed(), blocks.crossed()), (expected.to_vec(), vec![]));
    // Who begins behind a gap does not cross it; also what is left out is on its other side.
    let all_crossed = |from: u64, keep: bool| {
        let mut blocks = reader.blocks(Seq::new(from)).keeping(|_, _| keep);
        assert_eq!(blocks.by_ref().map(Result::unwrap).count(), usize::from(keep));
        blocks.crossed()
    };
    assert_eq!(all_crossed(5, true), []);
    writer.close().unwrap();
    assert_eq!((reader.gaps(), blocks.crossed()), (expected.to_vec(), vec![]));
    assert_eq!((all_crossed(5, true), all_crossed(4, false)), (vec![], expected.to_vec()));
}

#[test]
fn who_begins_among_places_that_hold_nothing_is_told_so() {
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    samples::segments_of(&path, [5, 3, 4, 2]);
    let lost = [(5, 8), (12, 14)].map(|(first, end)| {
        std::fs::remove_file(path.join(format!("segments/{first:020}-{end:020}.seg"))).unwrap();
        (first, end)
    });
    repair(&path, &mut |_, _| ()).unwrap();
    let reader = TapeReader::open(&path).unwrap();
    for from in 0..14 {
        let mut blocks = reader.blocks(Seq::new(from));
        assert!(blocks.by_ref().all(|block| block.is_ok()));
        let crossed: Vec<u64> = blocks.crossed().iter().map(|gap| gap.at.get()).collect();
        let expected: Vec<u64> =
            lost.iter().map(|(_, end)| *end).filter(|end| *end > from).collect();
        assert_eq!(crossed, expected, "from {from}");
    }
}
