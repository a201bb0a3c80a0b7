//! Goal: what a killed process leaves is sealed as far as it was durable, and further where it is
//! whole; what was durable and is gone is damage, and nothing is changed then.
//! Method: logs written append by append, past `TapeWriter`.

use super::*;
use crate::log::{Appended, Log};
use crate::samples::{self, Append, Made, tape_with};
use crate::{Gap, TapeReader, TapeWriter};

/// What an opened tape holds: its end, and the token to go on after.
fn holds(made: &Made) -> (u64, changetape_core::ResumeToken) {
    let reader = TapeReader::open(&made.path).unwrap();
    let events = reader.blocks(Seq::ZERO).map(|block| block.unwrap().len() as u64).sum::<u64>();
    assert_eq!(reader.end().get(), events);
    let tail = layout::logs(&made.path).unwrap();
    assert!(tail.is_empty(), "everything is sealed");
    (events, reader.checkpoint().unwrap().token)
}

fn what_is_wrong(made: &Made) -> String {
    let before = samples::image(&made.path);
    let Err(Error::Damaged { damage, .. }) = TapeReader::open(&made.path) else {
        panic!("it could be opened")
    };
    assert_eq!(samples::image(&made.path), before, "something was changed");
    assert!(matches!(open(&made.path), Err(Error::Damaged { .. })));
    assert_eq!(samples::image(&made.path), before, "something was changed");
    damage.to_string()
}

#[test]
fn what_was_not_sealed_is_sealed() {
    let logs: &[&[Append<'_>]] = &[&[(&[(5, 9)], None, 9), (&[(9, 12), (12, 15)], None, 15)]];
    assert_eq!(holds(&tape_with(5, logs, 15)), (15, samples::token(1015)));
    // The watermark may be behind.
    assert_eq!(holds(&tape_with(5, logs, 9)), (15, samples::token(1015)));
    // One log was being sealed while the next was filled.
    let two: &[&[Append<'_>]] = &[logs[0], &[(&[(15, 20)], None, 20), (&[], None, 20)]];
    assert_eq!(holds(&tape_with(5, two, 20)), (20, samples::token(1020)));
    // A log that nothing was appended to, and one whose token only moved.
    assert_eq!(holds(&tape_with(5, &[&[]], 5)), (5, samples::token(5)));
    assert_eq!(holds(&tape_with(5, &[&[(&[], None, 5)]], 5)), (5, samples::token(1005)));
    assert_eq!(holds(&tape_with(0, &[&[(&[], None, 0)]], 0)), (0, samples::token(1000)));
}

#[test]
fn what_was_sealed_already_is_not_sealed_again() {
    let logs: &[&[Append<'_>]] = &[&[(&[(0, 5)], None, 5)], &[(&[(5, 9)], None, 9)]];
    assert_eq!(holds(&tape_with(5, logs, 9)), (9, samples::token(1009)));
    assert_eq!(holds(&tape_with(9, logs, 9)), (9, samples::token(1009)));
}

#[test]
fn an_append_that_was_not_finished_counts_as_far_as_it_is_whole() {
    // Its second block never reached the disk, nor did its checkpoint: the stream goes on after
    // the first one's last event.
    let logs: &[&[Append<'_>]] = &[&[(&[(5, 9)], None, 9), (&[(9, 12)], None, 15)]];
    assert_eq!(holds(&tape_with(5, logs, 9)), (12, samples::token(12)));
    // Its first one did not.
    let logs: &[&[Append<'_>]] = &[&[(&[(5, 9)], None, 9), (&[(12, 15)], None, 15)]];
    assert_eq!(holds(&tape_with(5, logs, 9)), (9, samples::token(1009)));
    // Nor did it where it was the first into its log, or behind another that did.
    let logs: &[&[Append<'_>]] = &[&[(&[(5, 9)], None, 9)], &[(&[(12, 15)], None, 15)]];
    assert_eq!(holds(&tape_with(5, logs, 9)), (9, samples::token(1009)));
    let second: &[Append<'_>] = &[(&[(9, 10)], None, 10), (&[(12, 15)], None, 15)];
    assert_eq!(holds(&tape_with(5, &[logs[0], second], 10)), (10, samples::token(1010)));
}

#[test]
fn what_was_durable_and_is_gone_is_damage() {
    let logs: &[&[Append<'_>]] = &[&[(&[(5, 9)], None, 9)]];
    let made = tape_with(5, logs, 12);
    let gone = "events #9 to #11 were durable and are gone; events #9 to #11 cannot be read";
    assert_eq!(what_is_wrong(&made), gone);
    assert!(what_is_wrong(&tape_with(5, &[], 6)).starts_with("events #5 to #5 were durable"));
    // A log was begun behind what is not there.
    let logs: &[&[Append<'_>]] = &[&[(&[(5, 9)], None, 9)], &[(&[(12, 15)], None, 15)]];
    assert!(what_is_wrong(&tape_with(5, logs, 12)).starts_with("events #9 to #11 were durable"));
    // A hole.
    let logs: &[&[Append<'_>]] = &[&[(&[(5, 9)], None, 9), (&[(12, 15)], None, 15)]];
    assert!(what_is_wrong(&tape_with(5, logs, 15)).starts_with("events #9 to #14 were durable"));
}

#[test]
fn a_gap_is_kept_once() {
    let gaps = |made: &Made| {
        let reader = TapeReader::open(&made.path).unwrap();
        reader.gaps().iter().map(|gap: &Gap| gap.at.get()).collect::<Vec<_>>()
    };
    let logs: &[&[Append<'_>]] = &[&[(&[], Some(5), 5), (&[(5, 9)], None, 9), (&[], Some(9), 9)]];
    let made = tape_with(5, logs, 9);
    assert_eq!(gaps(&made), [5, 9]);
    assert_eq!(gaps(&made), [5, 9]);
    // The process was killed between writing the catalog and removing the log.
    let (log, mut end) = Log::create(&layout::log(&made.path, LogNumber::FIRST)).unwrap();
    let checkpoint = Checkpoint { token: samples::token(1009), next: Seq::new(9) };
    let appended = Appended { blocks: Vec::new(), gap: Some(samples::gap(9)), checkpoint };
    log.apply(appended, &mut end).unwrap();
    log.sync(&mut end).unwrap();
    drop((log, end));
    assert_eq!(gaps(&made), [5, 9]);
}

#[test]
fn what_a_killed_process_left_beside_is_removed() {
    let made = tape_with(5, &[&[(&[(5, 9)], None, 9)]], 9);
    let left = ["segments/00000007.new", "segments/merge.new", "catalog.new"];
    let stale = layout::segment(&made.path, &(Seq::new(0)..Seq::new(3)));
    std::fs::write(&stale, "merged into another").unwrap();
    for name in left {
        std::fs::write(made.path.join(name), "half").unwrap();
    }
    let opened = open(&made.path).unwrap();
    assert_eq!(opened.catalog.next, Seq::new(9));
    assert!(!stale.exists());
    assert!(!left.iter().any(|name| made.path.join(name).exists()));
}

#[test]
fn where_a_tape_cannot_be_opened_all_its_events_are_named_if_they_are_known() {
    for file in [layout::FORMAT, layout::METADATA] {
        let tape = tape_with(5, &[&[(&[(5, 9)], None, 9)]], 9);
        std::fs::write(tape.path.join(file), "x").unwrap();
        let refused = || {
            let read = Metadata::read(&tape.path).unwrap_err();
            let errors = [
                TapeReader::open(&tape.path).unwrap_err(),
                TapeWriter::open(&tape.path).unwrap_err(),
            ];
            assert_eq!(errors.map(|error| error.to_string()), [0; 2].map(|_| read.to_string()));
            let Error::Damaged { damage, .. } = read else { panic!("{read}") };
            damage.events
        };
        // What is not sealed counts too.
        assert_eq!(refused(), Some(Seq::ZERO..Seq::new(9)), "{file}");
        std::fs::write(tape.path.join(layout::CATALOG), "x").unwrap();
        assert_eq!(refused(), None, "{file}");
    }
}
