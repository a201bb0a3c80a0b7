//! What files hold, found without whoever wrote them and without changing a byte.
//!
//! Blocks, checkpoints, gaps and totals describe themselves and have checksums, and both sled and
//! segments keep each in one piece: so each place where one begins is tried, and what is sound
//! counts. That is how a live end is sealed, after a crash as at any other time: sled's own
//! structures are never needed to read what sled wrote. And it is how a damaged file gives up
//! what it still holds.
//!
//! A file may hold more than was acknowledged: what an append had written before its process
//! was killed, and older copies of anything. [`Salvage::run`] makes one run of it:
//!
//! - Blocks follow one another from the place asked for, over gaps where there are any.
//! - The checkpoint is the newest that continues at their end. A newer one continues further:
//!   its append was never finished. Where none fits, the last block's own token serves, which
//!   is where the stream goes on after its last event.
//! - A gap counts if it is behind that checkpoint's append, or has blocks behind it: appends
//!   follow one another.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use changetape_core::{ResumeToken, Seq};

use crate::block::{self, Header, High};
use crate::bytes::{PAGE_LEN, is_zero};
use crate::checkpoint::Kept;
use crate::segment::{TOTALS_MAGIC, Totals};
use crate::{Checkpoint, Error, Gap, checkpoint, disk, frame, gap};

/// How much of a file is looked through, or summed, at a time.
const CHUNK_LEN: usize = 1 << 20;

/// What everything that is looked for begins with.
const PREFIX: &[u8] = b"CT";
const _: () = assert!(
    prefixed(block::MAGIC)
        && prefixed(checkpoint::MAGIC)
        && prefixed(gap::MAGIC)
        && prefixed(TOTALS_MAGIC),
    "all that is looked for begins alike"
);

const fn prefixed(magic: frame::Magic) -> bool {
    matches!(magic, [b'C', b'T', ..])
}

/// Enough to see what begins, and how long it is or its header.
const PEEK_LEN: usize = 12;
const _: () = assert!(PEEK_LEN < CHUNK_LEN && frame::PEEK_LEN <= PEEK_LEN);

/// What the files of a directory, or one file, hold.
#[derive(Debug, Default)]
pub(crate) struct Salvage {
    files: Vec<PathBuf>,
    /// Sound blocks by their first event; of several that begin alike, the longest.
    blocks: BTreeMap<Seq, Found>,
    /// Checkpoints and gaps with the numbers of their appends; of checkpoints that continue at
    /// one place, the newest.
    checkpoints: BTreeMap<Seq, Kept>,
    gaps: Vec<(u64, Gap)>,
    /// What a segment says that it holds.
    totals: Option<Totals>,
}

/// Where a sound block lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) first: Seq,
    pub(crate) end: Seq,
    pub(crate) len: usize,
    /// The latest times on the tape up to its end.
    pub(crate) high: High,
    file: usize,
    offset: u64,
}

/// One run of what was found: a tape, or the part of one from some place on.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) blocks: Vec<Found>,
    pub(crate) gaps: Vec<Gap>,
    /// Where the recording continues; `None` if nothing says so.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// One past the last event.
    pub(crate) end: Seq,
    /// Whether there should be more gaps than were found.
    pub(crate) gaps_missing: bool,
}

impl Salvage {
    /// Looks through the files below a directory.
    pub(crate) fn of_dir(dir: &Path) -> Result<Self, Error> {
        let mut salvage = Self::default();
        for name in disk::files(dir)? {
            salvage.add(dir.join(name))?;
        }
        Ok(salvage)
    }

    /// Looks through one file.
    pub(crate) fn of_file(path: &Path) -> Result<Self, Error> {
        let mut salvage = Self::default();
        salvage.add(path.to_owned())?;
        Ok(salvage)
    }

    /// The blocks that follow one another from a place on.
    pub(crate) fn run(&self, from: Seq) -> Run {
        let mut run = Run { end: from, ..Run::default() };
        loop {
            if let Some(found) = self.blocks.get(&run.end) {
                run.end = found.end;
                run.blocks.push(*found);
            } else if let Some((_, gap)) = self.gaps.iter().find(|(_, gap)| {
                gap.first() == run.end && gap.places > 0 && self.blocks.contains_key(&gap.at)
            }) {
                run.end = gap.at;
            } else {
                break;
            }
        }
        let newest = self.checkpoints.get(&run.end);
        for gap in self.gaps_up_to(run.end).filter(|gap| gap.at >= from) {
            if !run.gaps.contains(gap) {
                run.gaps.push(gap.clone());
            }
        }
        run.gaps.sort_by_key(|gap| gap.at);
        run.gaps_missing = newest.is_some_and(|newest| self.lacks_gaps(newest));
        run.checkpoint = newest.map(|newest| newest.checkpoint.clone());
        run
    }

    /// The gaps of a log up to a place where it ends, whatever became of the blocks around them.
    pub(crate) fn gaps_up_to(&self, end: Seq) -> impl Iterator<Item = &Gap> {
        let newest = self.checkpoints.get(&end).map(|newest| newest.ordinal);
        self.gaps.iter().filter_map(move |(ordinal, gap)| {
            let counts = gap.at < end || (gap.at == end && Some(*ordinal) <= newest);
            counts.then_some(gap)
        })
    }

    /// Where the recording continued after the last append of a log, if the log should have more
    /// gaps than were found in it.
    pub(crate) fn misses_gaps(&self) -> Option<&Checkpoint> {
        let newest = self.checkpoints.values().max_by_key(|kept| kept.ordinal)?;
        self.lacks_gaps(newest).then_some(&newest.checkpoint)
    }

    /// Whether the log should have more gaps by a checkpoint than were found.
    fn lacks_gaps(&self, by: &Kept) -> bool {
        let appends = self.gaps.iter().map(|(ordinal, _)| *ordinal);
        let found: BTreeSet<u64> = appends.filter(|append| *append <= by.ordinal).collect();
        found.len() < usize::try_from(by.gaps).unwrap_or(usize::MAX)
    }

    /// Where the recording continues at a place: the newest checkpoint there, or after the block
    /// that ends there.
    pub(crate) fn checkpoint_at(&self, next: Seq) -> Option<Checkpoint> {
        if let Some(kept) = self.checkpoints.get(&next) {
            return Some(kept.checkpoint.clone());
        }
        let last = self.blocks.values().find(|found| found.end == next)?;
        Some(Checkpoint { token: self.token(last).ok()?, next })
    }

    /// What a segment says that it holds, where that was found.
    pub(crate) fn totals(&self) -> Option<&Totals> {
        self.totals.as_ref()
    }

    /// Every sound block, in order; they may overlap and leave holes.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &Found> {
        self.blocks.values()
    }

    /// Reads a block that was found.
    pub(crate) fn read(&self, found: &Found) -> Result<Vec<u8>, Error> {
        let path = self.path(found);
        let mut bytes = vec![0; found.len];
        let read = File::open(path).and_then(|file| file.read_exact_at(&mut bytes, found.offset));
        read.map_err(Error::io("read", path))?;
        Ok(bytes)
    }

    /// The token to resume the stream after a block that was found.
    pub(crate) fn token(&self, found: &Found) -> Result<ResumeToken, Error> {
        let header = Header::decode(&self.read(found)?);
        // It was sound a moment ago.
        header.map(|header| header.token).map_err(|error| {
            Error::io("read", self.path(found))(io::Error::new(io::ErrorKind::InvalidData, error))
        })
    }

    fn path(&self, found: &Found) -> &Path {
        self.files.get(found.file).map_or(Path::new(""), PathBuf::as_path)
    }

    fn add(&mut self, path: PathBuf) -> Result<(), Error> {
        let file = File::open(&path).map_err(Error::io("open", &path))?;
        self.files.push(path);
        let searched = self.search(&file);
        searched.map_err(|error| {
            Error::io("read", self.files.last().map_or(Path::new(""), PathBuf::as_path))(error)
        })
    }

    fn search(&mut self, file: &File) -> io::Result<()> {
        let len = file.metadata()?.len();
        let mut chunk = vec![0; CHUNK_LEN];
        let mut offset = 0;
        loop {
            let filled = read_up_to(file, &mut chunk, offset)?;
            let bytes = chunk.get(..filled).unwrap_or_default();
            let mut at = 0;
            while let Some(found) = find_prefix(bytes, at) {
                let sound = self.try_at(file, len, offset + found as u64)?;
                // What is sound is not looked into: an event may hold anything.
                at = found.saturating_add(sound.unwrap_or(1));
            }
            if filled < CHUNK_LEN {
                return Ok(());
            }
            // Something may reach beyond the chunk, or begin across its end.
            offset += at.max(filled - PREFIX.len() + 1) as u64;
        }
    }

    /// How long what begins at an offset is, if it is sound; it is noted then.
    fn try_at(&mut self, file: &File, file_len: u64, offset: u64) -> io::Result<Option<usize>> {
        let mut peek = [0; PEEK_LEN];
        let filled = read_up_to(file, &mut peek, offset)?;
        let peek = peek.get(..filled).unwrap_or_default();
        // A length counts only if the file has it: nothing larger is allocated.
        let there = |len: &usize| offset.saturating_add(*len as u64) <= file_len;
        if let Some(header_len) = Header::stated_len(peek).filter(there) {
            return self.try_block(file, offset, header_len);
        }
        let Some(len) = Checkpoint::stated_len(peek)
            .or_else(|| frame::stated_len(gap::MAGIC, peek))
            .or_else(|| frame::stated_len(TOTALS_MAGIC, peek))
            .filter(there)
        else {
            return Ok(None);
        };
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, offset)?;
        if let Some(found) = Kept::decode(&bytes) {
            let next = found.checkpoint.next;
            let known = self.checkpoints.get(&next);
            if known.is_none_or(|known| known.ordinal < found.ordinal) {
                self.checkpoints.insert(next, found);
            }
        } else if let Some(found) = Gap::decode(&bytes) {
            self.gaps.push(found);
        } else if let Some(found) = Totals::decode(&bytes) {
            self.totals = Some(found);
        } else {
            return Ok(None);
        }
        Ok(Some(len))
    }

    fn try_block(
        &mut self,
        file: &File,
        offset: u64,
        header_len: usize,
    ) -> io::Result<Option<usize>> {
        let mut bytes = vec![0; header_len];
        file.read_exact_at(&mut bytes, offset)?;
        let Ok(header) = Header::decode(&bytes) else { return Ok(None) };
        let mut hasher = crc32fast::Hasher::new();
        let mut at = offset + header_len as u64;
        let end = offset + header.block_len() as u64;
        let mut chunk = vec![0; header.block_len().min(CHUNK_LEN)];
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(chunk.len());
            let part = chunk.get_mut(..want).unwrap_or_default();
            let len = read_up_to(file, part, at)?;
            if len == 0 {
                return Ok(None);
            }
            hasher.update(part.get(..len).unwrap_or_default());
            at += len as u64;
        }
        if hasher.finalize() != header.body_crc {
            return Ok(None);
        }
        let found = Found {
            first: header.first,
            end: header.end(),
            len: header.block_len(),
            high: header.times.high,
            file: self.files.len() - 1,
            offset,
        };
        let known = self.blocks.entry(found.first).or_insert(found);
        if known.end < found.end {
            *known = found;
        }
        Ok(Some(found.len))
    }
}

/// Where what everything begins with stands next, at or after `from`.
fn find_prefix(bytes: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let rest = bytes.get(from..).filter(|rest| rest.len() >= PREFIX.len())?;
        let page = rest.get(..PAGE_LEN).unwrap_or(rest);
        if !is_zero(page) {
            // It may lie across the page's end.
            let reach = rest.get(..PAGE_LEN + PREFIX.len() - 1).unwrap_or(rest);
            let found = reach.windows(PREFIX.len()).position(|window| window == PREFIX);
            if let Some(found) = found {
                return Some(from + found);
            }
        }
        from += page.len();
    }
}

/// Reads until the buffer is full or the file ends.
pub(crate) fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
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
mod tests;
