//! Kinds are counted up to a bound, and sums of counts are counts.

use super::*;
use crate::block::{BlockEncoder, Decoder, High, NewBlock};
use crate::samples;
use changetape_core::Seq;

fn kind(n: usize) -> Kind {
    let namespace = Namespace { db: "shop".to_owned(), coll: Some(format!("c{n}")) };
    Kind { namespace: Some(namespace), operation: Some(OperationType::Insert) }
}

fn counts(list: &[(usize, u64)], others: u64) -> KindCounts {
    KindCounts { list: list.iter().map(|(n, events)| (kind(*n), *events)).collect(), others }
}

/// A block of an event of each kind.
fn block(kinds: impl IntoIterator<Item = usize>) -> Block {
    let event = |n| {
        let ns = bson::rawdoc! {"db": "shop", "coll": format!("c{n}")};
        bson::rawdoc! {"_id": {}, "operationType": "insert", "ns": ns}
    };
    let events: Vec<_> = kinds.into_iter().map(event).collect();
    let events: Vec<_> = events.iter().map(AsRef::as_ref).collect();
    let new = NewBlock {
        first: Seq::ZERO,
        events: &events,
        arrival: samples::arrival(0),
        token: &samples::token(0),
        high: High::default(),
    };
    let (bytes, _) = BlockEncoder::new().unwrap().encode(&new).unwrap();
    Decoder::new().unwrap().decode(&bytes).unwrap()
}

#[test]
fn kinds_beyond_the_bound_are_the_others() {
    let mut kinds = Kinds::default();
    let entry = kinds.add(&block(0..MAX_KINDS + 3));
    assert_eq!(entry.last(), Some(&(KindNumber::OTHER, 3)));
    let counted = kinds.finish();
    assert_eq!((counted.list.len(), counted.others), (MAX_KINDS, 3));
    let mut sum = counts(&[(0, 1)], 0);
    sum.add(&counted);
    assert_eq!((sum.list.len(), sum.others, sum.list[0].1), (MAX_KINDS, 3, 2));
    sum.add(&counts(&[(1000, 7)], 0));
    assert_eq!((sum.list.len(), sum.others), (MAX_KINDS, 10));
    assert!(!sum.agrees_with(&counted) && sum.agrees_with(&sum));
}

#[test]
fn what_was_counted_elsewhere_is_numbered_as_here() {
    let mut there = Kinds::default();
    let entries = [there.add(&block([5, 6, 6])), there.add(&block([6, 7]))];
    let there = there.finish();
    let mut here = Kinds::default();
    here.add(&block([7, 6]));
    let copied = entries.map(|entry| here.add_counted(&entry, &there));
    let mut anew = Kinds::default();
    anew.add(&block([7, 6]));
    assert_eq!(copied, [anew.add(&block([5, 6, 6])), anew.add(&block([6, 7]))]);
    assert_eq!(here.finish(), anew.finish());
}

#[test]
fn what_was_added_can_be_taken_away() {
    let (a, b) = (counts(&[(1, 5), (2, 3), (3, 0)], 4), counts(&[(2, 1), (9, 2)], 1));
    let mut sum = KindCounts::default();
    sum.add(&a);
    sum.add(&b);
    assert_eq!(sum, counts(&[(1, 5), (2, 4), (9, 2)], 5));
    assert!(sum.agrees_with(&counts(&[(9, 2), (2, 4), (1, 5), (3, 0)], 5)));
    sum.subtract(&b);
    assert_eq!(sum, counts(&[(1, 5), (2, 3)], 4));
    sum.subtract(&counts(&[(1, 50), (7, 7)], 0));
    assert_eq!(sum, counts(&[(2, 3)], 0), "no less than none");
}

#[test]
fn counts_that_cannot_be_are_refused() {
    let read = |counts: &KindCounts| {
        let mut document = RawDocumentBuf::new();
        counts.append_to(&mut document);
        KindCounts::from_document(&document)
    };
    let sound = counts(&[(1, 5), (2, 3)], 4);
    assert_eq!(read(&sound), Some(sound));
    assert_eq!(read(&counts(&[(1, u64::MAX), (2, 1)], 0)), None);
    assert_eq!(read(&counts(&[(1, u64::MAX)], 1)), None);
    let many: Vec<_> = (0..=MAX_KINDS).map(|n| (n, 1)).collect();
    assert_eq!(read(&counts(&many, 0)), None);
}
