//! `TapeReader`: reads a tape.

use std::path::Path;

use changetape_core::{Position, Seq};

use crate::{Block, Checkpoint, Error, Metadata, Summary};

/// A tape open for reading.
#[derive(Debug)]
pub struct TapeReader {}

/// The blocks of a tape in order, each decoded and checked; ends after the first error.
#[derive(Debug)]
pub struct Blocks<'a> {
    _tape: &'a TapeReader,
}

impl TapeReader {
    /// Opens a tape for reading.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open(_path: &Path) -> Result<Self, Error> {
        todo!()
    }

    /// What the tape was recorded from and how.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        todo!()
    }

    /// Where the recording would continue; `None` if it never began.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        todo!()
    }

    /// One past the last event.
    #[must_use]
    pub fn end(&self) -> Seq {
        todo!()
    }

    /// What the tape takes on disk.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn disk_bytes(&self) -> Result<u64, Error> {
        todo!()
    }

    /// The blocks that hold `from` and what follows; the first may begin before `from`.
    #[must_use]
    pub fn blocks(&self, _from: Seq) -> Blocks<'_> {
        todo!()
    }

    /// The first event, in the tape's order, at or after a position; [`end`](Self::end) if
    /// there is none.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn seek(&self, _position: Position) -> Result<Seq, Error> {
        todo!()
    }

    /// What is on the tape, by reading all of it; `progress` is told how far it is.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn summary(&self, _progress: &mut dyn FnMut(Seq)) -> Result<Summary, Error> {
        todo!()
    }
}

impl Iterator for Blocks<'_> {
    type Item = Result<Block, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}
