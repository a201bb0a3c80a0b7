//! Goal: a log finds each of its blocks again, and has sled write it once; and it keeps every gap.
//! Method: blocks of random lengths that carry their number, counted in the database's file.

use super::*;
use crate::samples;

const MARK: &[u8] = b"block number ";

fn mark(n: u64) -> Vec<u8> {
    [MARK, &n.to_be_bytes()].concat()
}

fn block(n: u64, len: usize, random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = mark(n);
    bytes.extend(std::iter::repeat_with(|| random.u8(b'a'..=b'z')).take(len));
    bytes
}

/// A log of so many blocks, appended some at a time.
fn log_of(dir: &Path, blocks: u64, len: std::ops::Range<usize>) -> Log {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (log, mut end) = Log::create(&dir.join("1")).unwrap();
    let mut next = 0;
    while next < blocks {
        let first = next;
        next = blocks.min(first + random.u64(1..25));
        let made = |n| (Seq::new(n), block(n, random.usize(len.clone()), &mut random));
        let checkpoint = Checkpoint { token: samples::token(next), next: Seq::new(next) };
        let appended =
            Appended { blocks: (first..next).map(made).collect(), gap: None, checkpoint };
        log.apply(appended, &mut end).unwrap();
        log.sync(&mut end).unwrap();
    }
    log
}

fn check_finds(log: &Log, blocks: u64) {
    for n in 0..blocks {
        assert!(log.block_at(Seq::new(n)).unwrap().unwrap().starts_with(&mark(n)), "{n}");
    }
}

fn trees(log: &Log) -> usize {
    // Beside those of the blocks: the state, and sled's own.
    log.database().unwrap().db.tree_names().len() - 2
}

#[test]
fn each_block_is_found_and_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_of(dir.path(), 200, 8_000..20_000);
    check_finds(&log, 200);
    let bytes = std::fs::read(dir.path().join("1").join(layout::DB)).unwrap();
    let mut times_written = vec![0; 200];
    for at in (0..bytes.len()).filter(|&at| bytes[at..].starts_with(MARK)) {
        let number = &bytes[at + MARK.len()..][..8];
        let n = u64::from_be_bytes(number.try_into().unwrap());
        times_written[usize::try_from(n).unwrap()] += 1;
    }
    assert_eq!(times_written, vec![1; 200]);
}

#[test]
fn small_blocks_share_trees() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_of(dir.path(), 2_000, 100..150);
    assert!((2..=5).contains(&trees(&log)), "{} trees", trees(&log));
    check_finds(&log, 2_000);
}

#[test]
fn of_several_gaps_at_one_place_each_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (log, mut end) = Log::create(&dir.path().join("1")).unwrap();
    let checkpoint = Checkpoint { token: samples::token(5), next: Seq::new(5) };
    for _ in 0..3 {
        let (gap, checkpoint) = (Some(samples::gap(5)), checkpoint.clone());
        log.apply(Appended { blocks: vec![], gap, checkpoint }, &mut end).unwrap();
    }
    // sled forgets in time what it has in no tree.
    assert_eq!(log.database().unwrap().state.scan_prefix(GAP).count(), 3);
}
