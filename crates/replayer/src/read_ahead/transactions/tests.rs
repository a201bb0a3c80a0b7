//! Goal: no page ends within a transaction, and what is too large to be held is left on the tape.

use bson::rawdoc;
use changetape_core::WallTime;

use super::*;
use crate::Offset;

/// Adds events of ten bytes, each of the transaction that is given, block by block; tells for each
/// page its events, with those that more of a transaction follow marked.
fn pages(limit: usize, blocks: &[&[Option<i64>]]) -> Vec<String> {
    let mut together = Together { limit, ..Together::default() };
    let session = rawdoc! {"id": 1};
    let mut seq = Seq::ZERO;
    let mut pages = Vec::new();
    for block in blocks {
        for number in *block {
            let transaction = number.map(|number| (&*session, number));
            let (offset, time) = (Offset::from_nanos(seq.get()), WallTime::from_millis(0));
            let at = Placed { offset, time, resolution: 0 };
            let placed = together.place(transaction).unwrap_or(at);
            together.push(seq, placed, transaction, &[0; 10]);
            seq = seq.next();
        }
        pages.extend(together.take());
    }
    pages.extend(together.end());
    pages.iter().map(shown).collect()
}

fn shown(page: &Page) -> String {
    if let Some(OnTape { range, events, bytes }) = page.transaction() {
        return format!("{}..{} {events} {bytes}", range.start, range.end);
    }
    let items = page.items().iter().map(|item| {
        let mark = match item.transaction {
            Transaction::None => "",
            Transaction::Continues => "+",
            Transaction::Ends => ".",
        };
        format!("{}@{}{mark}", item.seq, item.offset.as_nanos())
    });
    items.collect::<Vec<_>>().join(" ")
}

const PLAIN: Option<i64> = None;

#[test]
fn a_transaction_ends_with_the_event_before_one_of_another_or_of_none() {
    let one_block = [Some(1), Some(1), Some(2), PLAIN, Some(3), Some(3)];
    assert_eq!(pages(100, &[&one_block]), ["#0@0+ #1@0. #2@2 #3@3", "#4@4+ #5@4."]);
}

#[test]
fn the_end_of_a_block_ends_no_transaction() {
    let blocks: [&[_]; 4] = [&[PLAIN, Some(1)], &[Some(1)], &[], &[Some(1), Some(2)]];
    assert_eq!(pages(100, &blocks), ["#0@0", "#1@1+ #2@1+ #3@1.", "#4@4"]);
}

#[test]
fn another_session_is_another_transaction() {
    let mut together = Together::default();
    let placed =
        Placed { offset: Offset::default(), time: WallTime::from_millis(0), resolution: 0 };
    for session in [rawdoc! {"id": 1}, rawdoc! {"id": 2}] {
        together.push(Seq::ZERO, placed, Some((&session, 7)), &[0]);
    }
    let transactions: Vec<_> =
        together.end()[0].items().iter().map(|item| item.transaction).collect();
    assert_eq!(transactions, [Transaction::None; 2]);
}

#[test]
fn what_is_too_large_to_be_held_is_left_on_the_tape() {
    let blocks: [&[_]; 3] = [&[PLAIN, Some(1), Some(1)], &[Some(1), Some(1)], &[Some(1), PLAIN]];
    assert_eq!(pages(30, &blocks), ["#0@0", "#1..#6 5 50", "#6@6"]);
    assert_eq!(pages(30, &blocks[..2]), ["#0@0", "#1..#5 4 40"]);
    assert_eq!(pages(40, &blocks[..2]), ["#0@0", "#1@1+ #2@1+ #3@1+ #4@1."]);
}

#[test]
fn a_single_event_is_held_whatever_its_size() {
    assert_eq!(pages(5, &[&[Some(1), PLAIN]]), ["#0@0 #1@1"]);
}

#[test]
fn where_a_transaction_begins_is_known_until_it_ends() {
    let mut together = Together { limit: 15, ..Together::default() };
    let placed =
        Placed { offset: Offset::default(), time: WallTime::from_millis(0), resolution: 0 };
    let session = rawdoc! {"id": 1};
    let mut begun = Vec::new();
    // The second is too large to be held.
    for (seq, number) in (0..).zip([PLAIN, Some(1), Some(2), Some(2), Some(2), PLAIN]) {
        let transaction = number.map(|number| (&*session, number));
        together.push(Seq::new(seq), placed, transaction, &[0; 10]);
        together.take();
        begun.push(together.begun().map(Seq::get));
    }
    assert_eq!(begun, [None, Some(1), Some(2), Some(2), Some(2), None]);
}
