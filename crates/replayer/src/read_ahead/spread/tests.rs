//! Goal: events of one place are spread evenly, in order, never over the next one's place, and whatever
//! the pages are and however many are held.

use bson::rawdoc;
use changetape_core::{Seq, WallTime};

use super::*;
use crate::Placed;

/// A page of events, each by its place, its resolution and whether its transaction goes on.
fn page(first: u64, events: &[(u64, u32, bool)]) -> Page {
    let mut page = Page::default();
    for (seq, &(offset, resolution, continues)) in (first..).zip(events) {
        let time = WallTime::from_millis(0);
        let placed = Placed { offset: Offset::from_nanos(offset), time, resolution };
        let transaction = if continues { Transaction::Continues } else { Transaction::None };
        page.push(Seq::new(seq), placed, transaction, rawdoc! {"n": 1}.as_bytes());
    }
    page
}

fn offsets(pages: &[Page]) -> Vec<u64> {
    pages.iter().flat_map(Page::items).map(|item| item.offset.as_nanos()).collect()
}

/// All events at the end.
fn spread(limit: usize, pages: Vec<Page>) -> Vec<u64> {
    let mut spreading = Spreading { limit, ..Spreading::new(Spread::Even) };
    let mut ready = Vec::new();
    for page in pages {
        ready.extend(spreading.add(vec![page]));
    }
    ready.extend(spreading.end());
    let seqs = ready.iter().flat_map(Page::items).map(|item| item.seq.get());
    assert!(seqs.eq(0..ready.iter().map(|page| page.items().len() as u64).sum()), "in order");
    offsets(&ready)
}

#[test]
fn those_of_a_millisecond_are_spread_over_it_and_no_further_than_to_the_next() {
    let at = |offset| (offset, 1_000, false);
    let events = [at(0), at(0), at(0), at(0), at(5_000), at(5_000), at(5_600), at(9_000)];
    let expected = [0, 250, 500, 750, 5_000, 5_300, 5_600, 9_000];
    for cut in 0..=events.len() {
        let (front, back) = events.split_at(cut);
        let pages = vec![page(0, front), page(cut as u64, back)];
        assert_eq!(spread(usize::MAX, pages), expected, "cut at {cut}");
    }
    let exact = [(7, 0, false), (7, 0, false)];
    assert_eq!(spread(usize::MAX, vec![page(0, &exact)]), [7, 7]);
}

#[test]
fn a_transaction_counts_as_one() {
    let events =
        [(0, 900, false), (0, 900, true), (0, 900, true), (0, 900, false), (0, 900, false)];
    assert_eq!(spread(usize::MAX, vec![page(0, &events)]), [0, 300, 300, 300, 600]);
}

#[test]
fn bursts_stay_together() {
    let mut spreading = Spreading::new(Spread::Burst);
    let ready = spreading.add(vec![page(0, &[(3, 1_000, false), (3, 1_000, false)])]);
    assert_eq!(offsets(&ready), [3, 3]);
    assert!(spreading.end().is_empty());
}

#[test]
fn what_lies_elsewhere_lets_go_of_what_is_held() {
    let mut spreading = Spreading::new(Spread::Even);
    assert!(spreading.add(vec![page(0, &[(0, 1_000, false)])]).is_empty());
    assert!(spreading.add(vec![page(1, &[(0, 1_000, false)])]).is_empty());
    let ready = spreading.add(vec![page(2, &[(7_000, 1_000, false)])]);
    assert_eq!(offsets(&ready), [0, 500]);
    assert_eq!(offsets(&spreading.end()), [7_000]);
}

#[test]
fn of_more_than_can_be_held_each_part_takes_half_of_what_is_left() {
    let pages = (0..4).map(|n| page(n * 2, &[(0, 800, false), (0, 800, false)])).collect();
    assert_eq!(spread(0, pages), [0, 200, 400, 500, 600, 650, 700, 725]);
    // Of a transaction nothing is let go.
    let cut = vec![page(0, &[(0, 800, true)]), page(1, &[(0, 800, false), (1_000, 800, false)])];
    assert_eq!(spread(0, cut), [0, 0, 1_000]);
}

#[test]
fn random_pages_keep_their_order_and_their_places() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..200 {
        let (mut offset, mut seq, mut pages, mut placed) = (0, 0, Vec::new(), Vec::new());
        for _ in 0..random.usize(1..6) {
            let events: Vec<_> = (0..random.usize(0..30))
                .map(|_| {
                    offset += if random.bool() { 0 } else { random.u64(0..3_000) };
                    placed.push(offset);
                    (offset, 1_000, false)
                })
                .collect();
            pages.push(page(seq, &events));
            seq += events.len() as u64;
        }
        let at = spread(random.usize(0..10_000), pages);
        assert!(at.is_sorted(), "{at:?}");
        for (at, placed) in at.iter().zip(&placed) {
            assert!((*placed..placed + 1_000).contains(at), "{placed} became {at}");
        }
    }
}
