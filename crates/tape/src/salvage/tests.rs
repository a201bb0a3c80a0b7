//! What is sound is found wherever it lies, nothing else counts, and one run is made of it.

use super::*;
use crate::samples::{self, block};

fn salvage(parts: &[&[u8]]) -> Salvage {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), parts.concat()).unwrap();
    Salvage::of_dir(dir.path()).unwrap()
}

fn checkpoint(next: u64, ordinal: u64) -> Vec<u8> {
    let token = samples::token(next * 1000 + ordinal);
    let checkpoint = Checkpoint { token, next: Seq::new(next) };
    Kept { checkpoint, ordinal, gaps: 0 }.encode()
}

fn runs(salvage: &Salvage, from: u64) -> (Vec<u64>, u64) {
    let run = salvage.run(Seq::new(from));
    (run.blocks.iter().map(|found| found.first.get()).collect(), run.end.get())
}

#[test]
fn sound_blocks_are_found_wherever_they_lie() {
    let far = vec![b'C'; CHUNK_LEN - 2];
    let found = salvage(&[&block(5, 9), b"CTBK CTBK CTCP", &far, &block(0, 5), &block(20, 30)]);
    assert_eq!(runs(&found, 0), (vec![0, 5], 9));
    assert_eq!(runs(&found, 5), (vec![5], 9));
    assert_eq!(runs(&found, 9), (vec![], 9));
    assert_eq!(runs(&found, 20), (vec![20], 30));
    assert_eq!(salvage(&[]).blocks().count(), 0);
}

#[test]
fn what_is_found_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, [&b"CT"[..], &block(5, 9), &block(0, 5)].concat()).unwrap();
    let salvage = Salvage::of_file(&path).unwrap();
    for found in salvage.blocks() {
        let (first, end) = (found.first.get(), found.end.get());
        assert_eq!(salvage.read(found).unwrap(), block(first, end));
        assert_eq!(salvage.checkpoint_at(found.end).unwrap().token, samples::token(end));
    }
}

#[test]
fn what_everything_begins_with_is_found_at_every_place() {
    for len in [2, PAGE_LEN - 1, PAGE_LEN, PAGE_LEN + 1, 3 * PAGE_LEN + 2] {
        let mut bytes = vec![0; len];
        assert_eq!(find_prefix(&bytes, 0), None);
        for at in (0..=len - 2).filter(|at| *at < 9 || (at + 9) % PAGE_LEN < 18) {
            bytes[at..at + 2].copy_from_slice(PREFIX);
            assert_eq!(find_prefix(&bytes, 0), Some(at), "of {len}");
            assert_eq!(find_prefix(&bytes, at), Some(at), "of {len}");
            assert_eq!(find_prefix(&bytes, at + 1), None, "of {len}");
            bytes[at..at + 2].fill(0);
        }
    }
}

#[test]
fn what_is_changed_or_cut_does_not_count() {
    let gap = samples::gap(3).encode(0).unwrap();
    for whole in [block(0, 3), checkpoint(0, 7), gap] {
        let count = |bytes: &[u8]| {
            let Salvage { blocks, checkpoints, gaps, .. } = salvage(&[bytes, b"rest"]);
            blocks.len() + checkpoints.len() + gaps.len()
        };
        assert_eq!(count(&whole), 1);
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            assert_eq!(count(&flipped), 0, "flipped at {at}");
            // What follows is not taken for the rest.
            assert_eq!(count(&whole[..at]), 0, "cut to {at}");
        }
    }
}

#[test]
fn what_lies_inside_something_sound_is_not_looked_at() {
    let mut random = fastrand::Rng::with_seed(3);
    let encode = |first, bytes: Vec<u8>| {
        let binary = bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes };
        let event = bson::rawdoc! {"_id": {}, "bytes": binary};
        let new = block::NewBlock {
            first: Seq::new(first),
            events: &[&event],
            arrival: samples::arrival(0),
            token: &samples::token(first + 1),
            high: High::default(),
        };
        block::BlockEncoder::new().unwrap().encode(&new).unwrap().0
    };
    let inner = encode(3, (0..200_000).map(|_| random.u8(..)).collect());
    let outer = encode(7, inner.clone());
    let whole = outer.windows(1000).any(|window| inner.starts_with(window));
    assert!(whole, "zstd leaves what it cannot compress as it is");
    assert_eq!(salvage(&[&outer]).blocks().map(|found| found.first.get()).collect::<Vec<_>>(), [7]);
}

#[test]
fn the_newest_checkpoint_that_fits_the_blocks_counts() {
    let blocks = [block(0, 5), block(5, 9)].concat();
    let newest = |parts: &[&[u8]]| salvage(parts).run(Seq::ZERO).checkpoint.map(|c| c.token);
    let token = |next: u64, ordinal| Some(samples::token(next * 1000 + ordinal));
    assert_eq!(newest(&[&blocks]), None);
    let (old, new, other) = (checkpoint(9, 4), checkpoint(9, 6), checkpoint(9, 5));
    assert_eq!(newest(&[&old, &blocks, &new, &other]), token(9, 6));
    // Appends that were not finished, or are long past.
    assert_eq!(newest(&[&blocks, &checkpoint(12, 9), &checkpoint(5, 2)]), None);
    assert_eq!(newest(&[&blocks, &checkpoint(12, 9), &other]), token(9, 5));
    assert_eq!(newest(&[&checkpoint(0, 1)]), token(0, 1), "no event yet");
}

#[test]
fn a_gap_counts_if_its_append_was_finished() {
    let gap = |at, ordinal| samples::gap(at).encode(ordinal).unwrap();
    let gaps = |parts: &[&[u8]]| {
        let run = salvage(parts).run(Seq::ZERO);
        run.gaps.iter().map(|gap| gap.at.get()).collect::<Vec<_>>()
    };
    let blocks = [block(0, 5), block(5, 9)].concat();
    assert_eq!(gaps(&[&blocks, &gap(5, 1)]), [5], "there are blocks behind it");
    assert_eq!(gaps(&[&blocks, &gap(9, 2)]), [0; 0], "nothing is behind it");
    assert_eq!(gaps(&[&blocks, &gap(9, 2), &checkpoint(9, 1)]), [0; 0]);
    assert_eq!(gaps(&[&blocks, &gap(9, 2), &checkpoint(9, 2)]), [9]);
    assert_eq!(gaps(&[&blocks, &gap(9, 2), &gap(9, 2), &checkpoint(9, 3)]), [9], "once");
    assert_eq!(gaps(&[&gap(0, 0), &checkpoint(0, 0)]), [0]);
    assert_eq!(gaps(&[&blocks, &gap(12, 1), &checkpoint(9, 3)]), [0; 0], "beyond the end");
}
