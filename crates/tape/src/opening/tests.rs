//! Goal: a log that sled opens without complaint, but that is not one run of blocks with the
//! checkpoint at its end, is refused; and what a kill leaves beside the log is no damage.
//! Method: logs written block by block, past `TapeWriter`.

use super::*;
use crate::samples::{self, block};
use crate::{TapeReader, TapeWriter};

struct Made {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

/// A tape that was not closed, whose log holds these blocks under these keys.
fn tape_with(blocks: Vec<(u64, Vec<u8>)>, next: u64) -> Made {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    drop(TapeWriter::create(&path, samples::metadata()).unwrap());
    let mut log = Log::open(&path.join(layout::LOG)).unwrap();
    let checkpoint = Checkpoint { token: samples::token(next), next: Seq::new(next) };
    let blocks = blocks.into_iter().map(|(key, block)| (Seq::new(key), block)).collect();
    log.append(blocks, &checkpoint).unwrap();
    log.close().unwrap();
    Made { _dir: dir, path }
}

fn what_is_wrong(made: &Made) -> String {
    match TapeReader::open(&made.path) {
        Ok(_) => String::new(),
        Err(Error::Damaged { damage, .. }) => damage.what,
        Err(error) => error.to_string(),
    }
}

#[test]
fn blocks_in_order_up_to_the_checkpoint_are_a_tape() {
    let made = tape_with(vec![(0, block(0, 5)), (5, block(5, 9))], 9);
    assert_eq!(what_is_wrong(&made), "");
}

#[test]
fn anything_else_is_damage() {
    let swapped = vec![(0, block(0, 5)), (5, block(6, 9))];
    for (blocks, next, expected) in [
        (vec![(0, block(0, 5)), (7, block(7, 9))], 9, "after #5 the log continues at #7"),
        (vec![(3, block(3, 5))], 5, "after #0 the log continues at #3"),
        (vec![(0, block(0, 5))], 7, "the blocks end at #5, the checkpoint at #7"),
        (vec![(0, block(0, 5))], 3, "the blocks end at #5, the checkpoint at #3"),
        (vec![], 3, "the blocks end at #0, the checkpoint at #3"),
        (swapped, 9, "the block of #5 says that it begins at #6"),
        (vec![(0, b"CTBK".to_vec())], 5, "the block at #0: no block begins here"),
    ] {
        assert_eq!(what_is_wrong(&tape_with(blocks, next)), expected);
    }
}

#[test]
fn a_block_of_a_newer_version_is_no_damage() {
    let mut newer = block(5, 9);
    newer[4] = 9;
    let header_len = Header::stated_len(&newer).unwrap();
    let crc = crc32fast::hash(&newer[..header_len - 4]);
    newer[header_len - 4..header_len].copy_from_slice(&crc.to_le_bytes());
    let made = tape_with(vec![(0, block(0, 5)), (5, newer)], 9);
    assert!(what_is_wrong(&made).contains("has block version 9, and this program reads"));
}

#[test]
fn a_body_that_was_damaged_is_found_when_it_is_read() {
    let mut hit = block(5, 9);
    *hit.last_mut().unwrap() ^= 1;
    let made = tape_with(vec![(0, block(0, 5)), (5, hit), (9, block(9, 11))], 11);
    let reader = TapeReader::open(&made.path).unwrap();
    let mut blocks = reader.blocks(Seq::ZERO);
    assert_eq!(blocks.next().unwrap().unwrap().end(), Seq::new(5));
    let Err(Error::Damaged { damage, .. }) = blocks.next().unwrap() else { panic!("not damaged") };
    assert!(damage.what.starts_with("the block at #5: body checksum mismatch (expected "));
    assert_eq!((damage.from, damage.end), (Seq::new(5), Seq::new(11)));
    assert!(blocks.next().is_none(), "ends after the first error");
    assert!(reader.summary(&mut |_| ()).is_err());
}

#[test]
fn a_hole_is_found_at_the_latest_when_it_is_read() {
    for second in [7, 4] {
        let expected = format!("where #5 should be, the log holds #{second} to #9");
        let made = tape_with(vec![(0, block(0, 5)), (second, block(second, 9))], 9);
        // As if it had been closed so.
        settle(&made.path, Seq::new(9)).unwrap();
        let reader = TapeReader::open(&made.path).unwrap();
        let result = reader.blocks(Seq::ZERO).collect::<Result<Vec<_>, _>>();
        match result {
            Err(Error::Damaged { damage, .. }) => assert_eq!(damage.what, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_a_killed_process_left_beside_the_log_is_no_damage() {
    let made = tape_with(vec![(0, block(0, 5))], 5);
    let half = made.path.join("log/snap.7FFFFFFFFFFFFFFF.generating");
    for purpose in [Purpose::Reading, Purpose::Recording] {
        closed::remove(&made.path).unwrap();
        fs::write(&half, "half a snapshot").unwrap();
        fs::create_dir_all(made.path.join("rehearsal/blobs")).unwrap();
        fs::write(made.path.join("rehearsal/db"), "half a copy").unwrap();
        fs::write(made.path.join("closed.new"), "half").unwrap();
        let opened = open(&made.path, purpose).unwrap();
        assert_eq!(opened.end.next(), Seq::new(5));
        assert!(!half.exists() && !made.path.join("rehearsal").exists());
    }
}
