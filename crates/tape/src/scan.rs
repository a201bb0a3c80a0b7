//! `TapeReader`: reads a tape, block by block.

use std::path::Path;

use changetape_core::Seq;

use crate::block::{Block, Decoder};
use crate::lock::Purpose;
use crate::log::BlockIter;
use crate::opening::{self, Opened};
use crate::{Checkpoint, Error, Metadata, disk};

/// A tape open for reading; nobody else has it open.
#[derive(Debug)]
pub struct TapeReader {
    pub(crate) tape: Opened,
}

impl TapeReader {
    /// Opens a tape for reading. After a crash it is recovered first.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::Damaged`], [`Error::TooNew`] and others; see [`Error`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { tape: opening::open(path, Purpose::Reading)? })
    }

    /// What the tape was recorded from and how.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.tape.metadata
    }

    /// Where the recording would continue; `None` if it never began.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.tape.end.checkpoint.as_ref()
    }

    /// One past the last event.
    #[must_use]
    pub fn end(&self) -> Seq {
        self.tape.end.next()
    }

    /// What the tape takes on disk, in bytes.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn disk_bytes(&self) -> Result<u64, Error> {
        disk::allocated(&self.tape.path)
    }

    /// The blocks that hold `from` and what follows it; the first may begin before `from`.
    /// None if `from` is the end or beyond.
    ///
    /// Reads as it goes: memory does not grow with the tape.
    #[must_use]
    pub fn blocks(&self, from: Seq) -> Blocks<'_> {
        Blocks { reader: self, from, next: from, state: State::Start }
    }
}

/// The blocks of a tape in order, each decoded and checked; ends after the first error.
///
/// Blocks follow one another without a hole, up to the tape's end: a hole is an error.
pub struct Blocks<'a> {
    reader: &'a TapeReader,
    /// The place that the first block holds.
    from: Seq,
    /// Where the next block begins; before the first is found, `from`.
    next: Seq,
    state: State,
}

enum State {
    Start,
    Reading(Box<BlockIter>, Decoder),
    Done,
}

impl std::fmt::Debug for Blocks<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocks").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Iterator for Blocks<'_> {
    type Item = Result<Block, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let state = std::mem::replace(&mut self.state, State::Done);
        if self.next >= self.reader.end() {
            return None;
        }
        let step = match state {
            State::Start => self.start().and_then(|(iter, decoder)| self.read(iter, decoder)),
            State::Reading(iter, decoder) => self.read(iter, decoder),
            State::Done => return None,
        };
        Some(step)
    }
}

impl Blocks<'_> {
    fn start(&mut self) -> Result<(Box<BlockIter>, Decoder), Error> {
        let Opened { log, path, .. } = &self.reader.tape;
        let decoder = Decoder::new().map_err(Error::io("read", path))?;
        // A tape begins with its first event, so there is a block at or before any.
        self.next = log.block_at(self.from)?.map_or(Seq::ZERO, |(first, _)| first);
        Ok((Box::new(log.blocks_from(self.next)), decoder))
    }

    fn read(&mut self, mut iter: Box<BlockIter>, mut decoder: Decoder) -> Result<Block, Error> {
        let path = &self.reader.tape.path;
        let Some((key, bytes)) = iter.next().transpose()? else {
            let what = format!("the log ends at {}", self.next);
            return Err(opening::damaged(path, what));
        };
        let block = match decoder.decode(&bytes) {
            Ok(block) => block,
            Err(error) => return Err(opening::block_error(path, key, &error)),
        };
        if block.first() != key || key != self.next || block.end() <= self.from {
            let (first, end) = (block.first(), block.end());
            let what = format!("where {} should be, the log holds {first} to {end}", self.next);
            return Err(opening::damaged(path, what));
        }
        self.next = block.end();
        self.state = State::Reading(iter, decoder);
        Ok(block)
    }
}
