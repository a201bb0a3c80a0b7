//! Which blocks the log's files hold, found without sled and without changing a byte.
//!
//! sled keeps a block's bytes together, in `db` or in a file in `blobs/`, and a block
//! describes itself: so each place where the magic stands is tried, and what has a sound
//! header and a sound body counts. Used to say what a damaged tape still holds; sled's own
//! pages are not looked at, so a block may be found that sled no longer reaches.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use changetape_core::Seq;

use crate::block::{Header, MAGIC};
use crate::bytes::{PAGE_LEN, is_zero};
use crate::{Error, disk, layout};

/// How much of a file is looked through, or summed, at a time.
const CHUNK_LEN: usize = 1 << 20;

/// Enough to see whether a header begins, and how long it is.
const PEEK_LEN: usize = 12;
const _: () = assert!(PEEK_LEN < CHUNK_LEN && MAGIC.len() < PEEK_LEN);

/// The events that a log's files hold, whether or not sled reaches them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// Runs of events by their first; neither touching nor overlapping.
    runs: BTreeMap<Seq, Seq>,
}

impl Survey {
    /// Looks through the files of a tape's log.
    pub(crate) fn of(tape: &Path) -> Result<Self, Error> {
        let log = tape.join(layout::LOG);
        let mut survey = Self::default();
        if !log.is_dir() {
            return Ok(survey);
        }
        for name in disk::files(&log)? {
            let path = log.join(name);
            let file = File::open(&path).map_err(Error::io("open", &path))?;
            survey.add_file(&file).map_err(Error::io("read", &path))?;
        }
        Ok(survey)
    }

    /// The first event at or after `from` that is not there.
    pub(crate) fn first_missing(&self, from: Seq) -> Seq {
        let before = self.runs.range(..=from).next_back();
        before.map(|(_, &end)| end).filter(|&end| end > from).unwrap_or(from)
    }

    /// One past the last event that is there.
    pub(crate) fn end(&self) -> Seq {
        self.runs.last_key_value().map_or(Seq::ZERO, |(_, &end)| end)
    }

    fn add(&mut self, mut first: Seq, mut end: Seq) {
        // What it touches becomes part of it.
        let touched: Vec<Seq> = self
            .runs
            .range(..=end)
            .rev()
            .take_while(|(_, run_end)| **run_end >= first)
            .map(|(&run_first, _)| run_first)
            .collect();
        for run_first in touched {
            first = first.min(run_first);
            end = end.max(self.runs.remove(&run_first).unwrap_or(end));
        }
        self.runs.insert(first, end);
    }

    fn add_file(&mut self, file: &File) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK_LEN];
        let mut offset = 0;
        loop {
            let len = read_up_to(file, &mut chunk, offset)?;
            let bytes = chunk.get(..len).unwrap_or_default();
            let mut at = 0;
            while let Some(found) = find_magic(bytes, at) {
                at = match sound_block(file, offset + found as u64)? {
                    Some(header) => {
                        self.add(header.first, header.end());
                        found.saturating_add(header.block_len())
                    }
                    None => found + 1,
                };
            }
            if len < CHUNK_LEN {
                return Ok(());
            }
            // A block may reach beyond the chunk; the magic may lie across its end.
            offset += at.max(len - MAGIC.len() + 1) as u64;
        }
    }
}

/// Where the magic stands next, at or after `from`.
fn find_magic(bytes: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let rest = bytes.get(from..).filter(|rest| rest.len() >= MAGIC.len())?;
        let page = rest.get(..PAGE_LEN).unwrap_or(rest);
        if !is_zero(page) {
            // The magic may lie across the page's end.
            let reach = rest.get(..PAGE_LEN + MAGIC.len() - 1).unwrap_or(rest);
            let found = reach.windows(MAGIC.len()).position(|window| window == MAGIC);
            if let Some(found) = found {
                return Some(from + found);
            }
        }
        from += page.len();
    }
}

/// The header of the block at an offset, if header and body are sound.
fn sound_block(file: &File, offset: u64) -> io::Result<Option<Header>> {
    let mut peek = [0; PEEK_LEN];
    if read_up_to(file, &mut peek, offset)? < PEEK_LEN {
        return Ok(None);
    }
    let Some(len) = Header::stated_len(&peek) else { return Ok(None) };
    // Bounded by what a header can be long at most; and the file has to have it.
    if offset.saturating_add(len as u64) > file.metadata()?.len() {
        return Ok(None);
    }
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, offset)?;
    let Ok(header) = Header::decode(&bytes) else { return Ok(None) };
    let mut hasher = crc32fast::Hasher::new();
    let mut at = offset + len as u64;
    let end = offset + header.block_len() as u64;
    let mut chunk = vec![0; CHUNK_LEN];
    while at < end {
        let want = usize::try_from(end - at).unwrap_or(CHUNK_LEN).min(CHUNK_LEN);
        let part = chunk.get_mut(..want).unwrap_or_default();
        let len = read_up_to(file, part, at)?;
        if len == 0 {
            return Ok(None);
        }
        hasher.update(part.get(..len).unwrap_or_default());
        at += len as u64;
    }
    Ok((hasher.finalize() == header.body_crc).then_some(header))
}

/// Reads until the buffer is full or the file ends.
fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut len = 0;
    while let Some(rest) = buffer.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + len as u64) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::block;

    fn survey(parts: &[&[u8]]) -> Survey {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&parts.concat(), 0).unwrap();
        let mut survey = Survey::default();
        survey.add_file(&file).unwrap();
        survey
    }

    #[test]
    fn sound_blocks_are_found_wherever_they_lie() {
        let far = vec![b'C'; CHUNK_LEN - 2];
        let found = survey(&[&block(5, 9), b"CTBK CTBK", &far, &block(0, 5), &block(20, 30)]);
        assert_eq!(found.runs.len(), 2);
        assert_eq!(found.first_missing(Seq::ZERO), Seq::new(9));
        assert_eq!(found.first_missing(Seq::new(9)), Seq::new(9));
        assert_eq!(found.first_missing(Seq::new(25)), Seq::new(30));
        assert_eq!(found.end(), Seq::new(30));
        assert_eq!(survey(&[]).end(), Seq::ZERO);
    }

    #[test]
    fn the_magic_is_found_at_every_place() {
        for len in [4, PAGE_LEN - 1, PAGE_LEN, PAGE_LEN + 1, 3 * PAGE_LEN + 2] {
            let mut bytes = vec![0; len];
            assert_eq!(find_magic(&bytes, 0), None);
            for at in (0..=len - 4).filter(|at| *at < 9 || (at + 9) % PAGE_LEN < 18) {
                bytes[at..at + 4].copy_from_slice(&MAGIC);
                assert_eq!(find_magic(&bytes, 0), Some(at), "of {len}");
                assert_eq!(find_magic(&bytes, at), Some(at), "of {len}");
                assert_eq!(find_magic(&bytes, at + 1), None, "of {len}");
                bytes[at..at + 4].fill(0);
            }
        }
    }

    #[test]
    fn a_block_that_is_changed_or_cut_does_not_count() {
        let whole = block(0, 3);
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            assert_eq!(survey(&[&flipped, b"rest"]).end(), Seq::ZERO, "flipped at {at}");
            assert_eq!(survey(&[&whole[..at]]).end(), Seq::ZERO, "cut to {at}");
        }
    }

    #[test]
    fn runs_join_where_they_touch() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..200 {
            let mut survey = Survey::default();
            let mut there = [false; 65];
            for _ in 0..random.usize(1..12) {
                let first = random.usize(0..60);
                let end = random.usize(first + 1..=64);
                survey.add(Seq::new(first as u64), Seq::new(end as u64));
                there[first..end].fill(true);
            }
            for from in 0..64 {
                let missing = (from..65).find(|&n| !there[n]).unwrap();
                assert_eq!(survey.first_missing(Seq::new(from as u64)), Seq::new(missing as u64));
            }
            assert_eq!(survey.end().get(), there.iter().rposition(|&t| t).unwrap() as u64 + 1);
        }
    }
}
