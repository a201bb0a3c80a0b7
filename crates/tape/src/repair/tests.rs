//! Goal: a repair loses no gap of what was not sealed, nor a segment that something else covers,
//! and notes a loss once, also when the repair before it was killed.
//! Method: tapes of the states that a kill leaves, with something damaged in them.

use super::*;
use crate::disk::seam::{At, Failure, Script, Then};
use crate::layout::LogNumber;
use crate::samples::{self, Append, Made, block, tape_with};
use crate::{TapeOptions, TapeReader, TapeWriter, gap};

/// Changes a byte behind each place where a log's files hold some bytes.
fn hit(made: &Made, bytes: &[u8], behind: usize) {
    let dir = layout::log(&made.path, LogNumber(1));
    let mut hits = 0;
    for name in disk::files(&dir).unwrap() {
        let file = dir.join(name);
        let mut found = std::fs::read(&file).unwrap();
        let begins = |at: &usize| found[*at..].starts_with(bytes);
        let places: Vec<usize> = (0..found.len()).filter(begins).collect();
        for at in &places {
            found[at + behind] ^= 4;
        }
        hits += places.len();
        std::fs::write(&file, found).unwrap();
    }
    assert!(hits > 0);
}

/// Repairs a tape; the places of the gaps that it has then.
fn gaps_of_repaired(made: &Made) -> Vec<u64> {
    repair(&made.path, &mut |_, _| ()).unwrap();
    assert_eq!(verify::verify(&made.path, &mut |_, _| ()).unwrap().damages, []);
    let gaps = TapeReader::open(&made.path).unwrap().gaps();
    gaps.iter().map(|gap| gap.at.get()).collect()
}

#[test]
fn recorded_gaps_are_kept_from_log_to_log_and_behind_damage() {
    let behind_another: &[&[Append<'_>]] =
        &[&[(&[(5, 9)], None, 9)], &[(&[(9, 12)], None, 12), (&[(12, 15)], Some(12), 15)]];
    assert_eq!(gaps_of_repaired(&tape_with(5, behind_another, 15)), [12]);
    let behind_damage: &[&[Append<'_>]] = &[&[
        (&[(5, 9)], None, 9),
        (&[(9, 12)], None, 12),
        (&[(12, 15)], None, 15),
        (&[(15, 18)], Some(15), 18),
        (&[], Some(18), 18),
    ]];
    let made = tape_with(5, behind_damage, 18);
    let damaged = block(9, 12);
    hit(&made, &damaged, damaged.len() - 3);
    assert_eq!(gaps_of_repaired(&made), [12, 15, 18]);
}

#[test]
fn a_lost_record_of_a_gap_is_noted_once_wherever_a_repair_before_failed() {
    let logs: &[&[Append<'_>]] = &[&[(&[(5, 9)], None, 9), (&[(9, 12)], Some(9), 12)]];
    let damaged = || {
        let made = tape_with(5, logs, 12);
        hit(&made, &gap::MAGIC, 20);
        made
    };
    let made = damaged();
    let script = Script::notes(&made.path);
    assert_eq!(gaps_of_repaired(&made), [5]);
    let calls = script.calls().len();
    drop(script);
    for call in 0..calls {
        let made = damaged();
        let script = Script::at(&made.path, At::Any(call), Then::FailOn(Failure::DiskBroken));
        let failed = repair(&made.path, &mut |_, _| ());
        drop(script);
        let gaps = gaps_of_repaired(&made);
        assert_eq!(gaps, [5], "call {call}: {failed:?}");
    }
}

#[test]
fn what_an_append_that_was_cut_short_left_is_no_loss_of_damage_before_it() {
    let whole: Append<'_> = (&[(9, 12)], None, 12);
    for (appends, end) in [
        // Of one behind the last that was acknowledged there is the end, the beginning, or both.
        ([(&[(5, 9)][..], None, 9), whole, (&[(15, 18)], None, 18)], 12),
        ([(&[(5, 9)], None, 9), whole, (&[(12, 15)], None, 18)], 15),
        ([(&[(5, 9)], None, 9), whole, (&[(12, 15), (18, 21)], None, 21)], 15),
    ] {
        let made = tape_with(5, &[&appends], 12);
        let damaged = block(5, 9);
        hit(&made, &damaged, damaged.len() - 3);
        assert_eq!(gaps_of_repaired(&made), [9], "what was lost is 5 to 8");
        let reader = TapeReader::open(&made.path).unwrap();
        assert_eq!((reader.end(), reader.gaps()[0].places), (Seq::new(end), 4));
    }
}

#[test]
fn what_a_damaged_segment_was_merged_from_does_not_hide_it() {
    const PARTS: u64 = 8;
    const END: u64 = PARTS * 5;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let alone = TapeOptions { segment_size: 1, ..TapeOptions::default() };
    alone.create(&path, samples::metadata()).unwrap().close().unwrap();
    for part in 0..PARTS {
        let mut writer = alone.open(&path).unwrap();
        samples::append(&mut writer, part * 5..part * 5 + 5);
        writer.close().unwrap();
    }
    let segment = |first, end| layout::segment(&path, &(Seq::new(first)..Seq::new(end)));
    let last = segment(END - 5, END);
    let part = std::fs::read(&last).unwrap();
    TapeWriter::open(&path).unwrap().close().unwrap();
    let merged = std::fs::read(segment(0, END)).unwrap();
    let (in_footer, in_block) = (merged.len() - 3, merged.len() / 3);
    for hit_at in [in_footer, in_block] {
        // Killed before the last of them was removed; then more went wrong.
        std::fs::write(&last, &part).unwrap();
        let mut bytes = merged.clone();
        bytes[hit_at] ^= 4;
        std::fs::write(segment(0, END), bytes).unwrap();
        std::fs::remove_file(path.join(layout::CATALOG)).unwrap();
        repair(&path, &mut |_, _| ()).unwrap();
        assert_eq!(verify::verify(&path, &mut |_, _| ()).unwrap().damages, []);
        let reader = TapeReader::open(&path).unwrap();
        let held = |block: Result<crate::Block, Error>| block.unwrap().len() as u64;
        let kept: u64 = reader.blocks(Seq::ZERO).map(held).sum();
        let missing: u64 = reader.gaps().iter().map(|gap| gap.places).sum();
        // All blocks became one: with it everything goes, but for what the part still holds.
        assert_eq!((kept, missing), if hit_at == in_block { (5, END - 5) } else { (END, 0) });
        std::fs::remove_dir_all(path.join(layout::SEGMENTS)).unwrap();
        std::fs::create_dir(path.join(layout::SEGMENTS)).unwrap();
    }
}
