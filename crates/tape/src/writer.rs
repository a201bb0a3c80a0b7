//! `TapeWriter`: appends to a tape.

use std::ops::Range;
use std::path::Path;

use bson::raw::RawDocument;
use changetape_core::{Arrival, ResumeToken, Seq};

use crate::{Error, Metadata};

/// Where a recording continues: atomic with the block that it follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The token to resume the stream after.
    pub token: ResumeToken,
    /// The place of the next event.
    pub next: Seq,
}

/// Events that arrived together, and where the stream continues after them.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The events in order; may be empty.
    pub events: &'a [&'a RawDocument],
    /// The stream's token after the last of them (`postBatchResumeToken`).
    pub token: &'a ResumeToken,
    /// When the batch arrived.
    pub arrival: Arrival,
}

/// A tape open for recording; nobody else has it open.
#[derive(Debug)]
pub struct TapeWriter {}

impl TapeWriter {
    /// Makes a new tape; fails if anything is at `path`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn create(_path: &Path, _metadata: Metadata) -> Result<Self, Error> {
        todo!()
    }

    /// Opens a tape to continue it.
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

    /// Where the recording continues; `None` before the first append.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        todo!()
    }

    /// What the tape takes on disk.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn disk_bytes(&self) -> Result<u64, Error> {
        todo!()
    }

    /// Appends a batch and returns only when it is durable. An empty batch moves the
    /// checkpoint's token only. Blocking.
    ///
    /// # Errors
    /// See [`Error`]; after one the writer appends nothing more.
    pub fn append(&mut self, _batch: &Batch<'_>) -> Result<Range<Seq>, Error> {
        todo!()
    }

    /// Closes the tape.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn close(self) -> Result<(), Error> {
        todo!()
    }
}

/// Whether there is a tape at `path`.
#[must_use]
pub fn tape_exists(_path: &Path) -> bool {
    todo!()
}
