//! `TapeWriter`: appends to a tape.

use std::ops::Range;
use std::path::{Path, PathBuf};

use bson::raw::RawDocument;
use changetape_core::{Arrival, ResumeToken, Seq};

use crate::block::{BlockEncoder, High, MAX_EVENT_LEN, NewBlock, split};
use crate::lock::{Purpose, TapeLock};
use crate::log::Log;
use crate::opening::{End, Opened};
use crate::watermark::Watermark;
use crate::{Checkpoint, Error, Metadata, create, disk, opening};

/// Encoded blocks, each with its first event's place.
type NewBlocks = Vec<(Seq, Vec<u8>)>;

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
///
/// Dropped without [`close`](Self::close) the tape is as if the process had been killed:
/// whole, but recovered by whoever opens it next.
pub struct TapeWriter {
    path: PathBuf,
    metadata: Metadata,
    end: End,
    encoder: BlockEncoder,
    watermark: Watermark,
    /// `None` after a failed append.
    log: Option<Log>,
    // Dropped last: whoever gets the lock next finds the log closed.
    _lock: TapeLock,
}

impl std::fmt::Debug for TapeWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TapeWriter")
            .field("path", &self.path)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl TapeWriter {
    /// Makes a new tape at `path`, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Exists`] if anything is there already; [`Error::InUse`] if another process is
    /// making it; see [`Error`].
    pub fn create(path: &Path, metadata: Metadata) -> Result<Self, Error> {
        Self::new(create::create(path, metadata)?)
    }

    /// Opens a tape to continue it. After a crash it is recovered first.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::Damaged`], [`Error::TooNew`] and others; see [`Error`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::new(opening::open(path, Purpose::Recording)?)
    }

    fn new(opened: Opened) -> Result<Self, Error> {
        let Opened { path, metadata, end, log, lock } = opened;
        let encoder = BlockEncoder::new().map_err(Error::io("record onto", &path))?;
        let watermark = Watermark::open(&path, end.next())?;
        Ok(Self { path, metadata, end, encoder, watermark, log: Some(log), _lock: lock })
    }

    /// What the tape was recorded from and how.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Where the recording continues; `None` before the first append.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.end.checkpoint.as_ref()
    }

    /// What the tape takes on disk, in bytes.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn disk_bytes(&self) -> Result<u64, Error> {
        disk::allocated(&self.path)
    }

    /// Appends a batch and returns only when it is durable: the places of its events. An
    /// empty batch moves the checkpoint's token only. Blocking.
    ///
    /// Either the whole batch is on the tape or, after an error, none of it, or all of it:
    /// which one, shows when the tape is opened again.
    ///
    /// # Errors
    /// [`Error::EventTooLarge`] and [`Error::Event`] before anything is written; after any
    /// other the writer appends nothing more and answers [`Error::Broken`]. See [`Error`].
    pub fn append(&mut self, batch: &Batch<'_>) -> Result<Range<Seq>, Error> {
        let first = self.end.next();
        let broken = || Error::Broken { path: self.path.clone(), next: first };
        // Taken out, and put back only after success.
        let mut log = self.log.take().ok_or_else(broken)?;
        let (blocks, checkpoint, high) = match self.encode(batch) {
            Ok(encoded) => encoded,
            Err(error) => {
                self.log = Some(log);
                return Err(error);
            }
        };
        let next = checkpoint.next;
        let appended = log
            .append(blocks, &checkpoint)
            .and_then(|()| if next > first { self.watermark.advance(next) } else { Ok(()) });
        if let Err(error) = appended {
            log.abandon();
            return Err(error);
        }
        self.end = End { checkpoint: Some(checkpoint), high };
        self.log = Some(log);
        Ok(first..next)
    }

    /// The batch as blocks, where the recording continues after them, and the latest times on
    /// the tape by then.
    fn encode(&mut self, batch: &Batch<'_>) -> Result<(NewBlocks, Checkpoint, High), Error> {
        let first = self.end.next();
        for (event, n) in batch.events.iter().zip(0..) {
            let bytes = event.as_bytes().len();
            if bytes > MAX_EVENT_LEN {
                return Err(Error::EventTooLarge { seq: first + n, bytes, limit: MAX_EVENT_LEN });
            }
        }
        let mut next = first;
        let mut high = self.end.high;
        let mut blocks = Vec::new();
        for run in split(batch.events) {
            let is_last = run.end == batch.events.len();
            let events = batch.events.get(run).unwrap_or_default();
            let block_end = next + events.len() as u64;
            // The batch's token is the one after its last event; within the batch an event's
            // own is the one after it.
            let own = match events.last() {
                Some(event) if !is_last => {
                    let seq = Seq::new(block_end.get() - 1);
                    let event = changetape_core::ChangeEvent::from(*event);
                    Some(event.token().map_err(|source| Error::Event { seq, source })?)
                }
                _ => None,
            };
            let token = own.as_ref().unwrap_or(batch.token);
            let new = NewBlock { first: next, events, arrival: batch.arrival, token, high };
            let encoded = self.encoder.encode(&new);
            let (block, high_after) = encoded.map_err(Error::io("record onto", &self.path))?;
            blocks.push((next, block));
            (next, high) = (block_end, high_after);
        }
        let checkpoint = Checkpoint { token: batch.token.clone(), next };
        Ok((blocks, checkpoint, high))
    }

    /// Closes the tape cleanly, so that the next to open it can tell whether anything
    /// happened to it since.
    ///
    /// # Errors
    /// [`Error::Broken`] if an append failed; see [`Error`].
    pub fn close(self) -> Result<(), Error> {
        let Self { path, end, watermark, log, _lock: lock, .. } = self;
        let log = log.ok_or_else(|| Error::Broken { path: path.clone(), next: end.next() })?;
        log.close()?;
        watermark.sync()?;
        opening::settle(&path, end.next())?;
        drop(lock);
        Ok(())
    }
}
