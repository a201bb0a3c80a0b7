//! `TapeReader`: reads a tape, block by block.
//!
//! What is sealed is read without a lock, while it is recorded too: segments never change, and
//! the catalog is replaced whole. Where a segment has been merged into another, or dropped,
//! since the catalog was read, it is read again.

mod blocks;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use changetape_core::Seq;

use crate::block::{Block, Decoder};
use crate::catalog::{self, Catalog};
use crate::format;
use crate::live::Live;
use crate::lock::{Holder, Purpose, TapeLock};
use crate::opening::{self, damaged};
use crate::segment::Segment;
use crate::{Checkpoint, Dropped, Error, Gap, Metadata, disk, layout};

pub use blocks::{Blocks, Keep};

/// A tape open for reading.
#[derive(Debug)]
pub struct TapeReader {
    pub(crate) path: PathBuf,
    metadata: Metadata,
    source: Source,
    tail: Tail,
}

/// Where a reader learns what there is.
#[derive(Debug)]
enum Source {
    /// The catalog as it was last read.
    Sealed(Mutex<Arc<Catalog>>),
    /// The recording in this process.
    Live(Arc<Live>),
}

/// What of a tape a reader does not see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Tail {
    /// Nothing: the reader sees all that is durable.
    #[default]
    Nothing,
    /// What is recorded just now and not sealed yet.
    BeingRecorded(Holder),
    /// What a killed process left, which this user may not seal.
    NotSealed,
}

impl TapeReader {
    /// Opens a tape for reading. What a killed process left is sealed first; while the tape is
    /// recorded, what is sealed by now is read.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::TooNew`] and others; see [`Error`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        format::look(path)?;
        let metadata = Metadata::read(path)?;
        let (catalog, tail) = sealed(path, &metadata)?;
        let source = Source::Sealed(Mutex::new(Arc::new(catalog)));
        Ok(Self { path: path.to_owned(), metadata, source, tail })
    }

    /// Reads a tape that is recorded in this process.
    pub(crate) fn live(path: &Path, metadata: Metadata, live: Arc<Live>) -> Self {
        let (path, source) = (path.to_owned(), Source::Live(live));
        Self { path, metadata, source, tail: Tail::Nothing }
    }

    /// What the tape was recorded from and how.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// What of the tape this reader does not see.
    #[must_use]
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Where the recording would continue; `None` if it never began, or nothing is sealed yet.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        match &self.source {
            Source::Sealed(_) => self.catalog().checkpoint(),
            Source::Live(live) => live.checkpoint(),
        }
    }

    /// The first event; later ones are there too, but for [`gaps`](Self::gaps). Not 0 where
    /// retention has dropped what came before.
    #[must_use]
    pub fn start(&self) -> Seq {
        self.catalog().start()
    }

    /// One past the last event. Grows while the tape is recorded in this process; and while it
    /// is recorded elsewhere, whenever the reader has to look again.
    #[must_use]
    pub fn end(&self) -> Seq {
        match &self.source {
            Source::Sealed(_) => self.catalog().next,
            Source::Live(live) => live.end(),
        }
    }

    /// Waits until there is an event at `seq`; `false` if none has come in time, or none will.
    /// Without a recording in this process nothing comes.
    #[must_use]
    pub fn wait_for(&self, seq: Seq, patience: Duration) -> bool {
        match &self.source {
            Source::Sealed(_) => self.end() > seq,
            Source::Live(live) => live.wait_for(seq, patience),
        }
    }

    /// Where events are known to be missing before [`end`](Self::end), in order. Who follows a
    /// recording asks [`Blocks::crossed`].
    #[must_use]
    pub fn gaps(&self) -> Vec<Gap> {
        match &self.source {
            Source::Sealed(_) => self.catalog().gaps.clone(),
            Source::Live(live) => live.gaps(),
        }
    }

    /// What retention has dropped from the beginning.
    #[must_use]
    pub fn dropped(&self) -> Option<Dropped> {
        self.catalog().dropped
    }

    /// What the tape takes on disk, in bytes.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn disk_bytes(&self) -> Result<u64, Error> {
        disk::allocated(&self.path)
    }

    /// The blocks that hold `from` and what follows it; the first may begin before `from`.
    /// None if `from` is the end or beyond.
    ///
    /// Reads as it goes: memory does not grow with the tape.
    #[must_use]
    pub fn blocks(&self, from: Seq) -> Blocks<'_> {
        let next = from.max(self.start());
        Blocks::new(self, next)
    }

    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        match &self.source {
            Source::Sealed(catalog) => {
                Arc::clone(&catalog.lock().unwrap_or_else(PoisonError::into_inner))
            }
            Source::Live(live) => live.catalog(),
        }
    }

    /// The segment that holds an event; `None` if it is not sealed.
    pub(crate) fn segment_at(&self, seq: Seq) -> Result<Option<Segment>, Error> {
        let mut catalog = self.catalog();
        loop {
            if let Some(dropped) = catalog.dropped.filter(|_| seq < catalog.start()) {
                return Err(Error::Dropped { path: self.path.clone(), seq, start: dropped.end });
            }
            let position = catalog.position(seq);
            let Some(listed) = catalog.segments.get(position) else { return Ok(None) };
            if let Some(segment) = listed.open(&self.path)? {
                return Ok(Some(segment));
            }
            // It has been merged or dropped meanwhile, or is missing.
            let now = self.refreshed()?;
            if now.segments.contains(listed) {
                return Err(listed.missing(&self.path));
            }
            catalog = now;
        }
    }

    /// The catalog, after a look whether its segments are there.
    ///
    /// # Errors
    /// [`Error::Damaged`] if one is missing or cut; its content is not looked at.
    pub(crate) fn whole_catalog(&self) -> Result<Arc<Catalog>, Error> {
        'again: loop {
            let catalog = self.catalog();
            for listed in &catalog.segments {
                if listed.is_there(&self.path)? {
                    continue;
                }
                // It has been merged or dropped meanwhile, or is missing.
                if self.refreshed()?.segments.contains(listed) {
                    return Err(listed.missing(&self.path));
                }
                continue 'again;
            }
            return Ok(catalog);
        }
    }

    fn refreshed(&self) -> Result<Arc<Catalog>, Error> {
        if let Source::Sealed(known) = &self.source {
            let now = Arc::new(catalog::read(&self.path)?);
            *known.lock().unwrap_or_else(PoisonError::into_inner) = now;
        }
        Ok(self.catalog())
    }

    /// The block of the live end that holds an event; `None` if there is none.
    fn live_block(&self, seq: Seq, decoder: &mut Decoder) -> Result<Option<Block>, Error> {
        let Source::Live(live) = &self.source else { return Ok(None) };
        let Some(bytes) = live.block_at(seq)? else { return Ok(None) };
        let block = decoder.decode(&bytes).map_err(|error| {
            damaged(&self.path, &format!("the live end: {error} at {seq}"), Some(seq..live.end()))
        })?;
        Ok(Some(block))
    }
}

/// What of a tape is sealed, after what can be sealed was.
fn sealed(path: &Path, metadata: &Metadata) -> Result<(Catalog, Tail), Error> {
    while layout::logs(path)?.is_empty() {
        let catalog = catalog::read(path)?;
        if opening::is_closed(path, &catalog)? {
            return Ok((catalog, Tail::Nothing));
        }
    }
    let tail = match hold(path)? {
        Ok(_lock) => match opening::recover(path, metadata) {
            Ok(catalog) => return Ok((catalog, Tail::Nothing)),
            Err(error) if is_read_only(&error) => Tail::NotSealed,
            Err(error) => return Err(error),
        },
        Err(tail) => tail,
    };
    Ok((catalog::read(path)?, tail))
}

/// Takes the lock of a tape that has logs, so that they stay as they are; or says what they hold,
/// where it cannot be had.
pub(crate) fn hold(path: &Path) -> Result<Result<TapeLock, Tail>, Error> {
    match TapeLock::take_soon(path, Purpose::Recovering) {
        Ok(lock) => Ok(Ok(lock)),
        Err(Error::InUse { holder, .. }) => Ok(Err(Tail::BeingRecorded(holder))),
        Err(error) if is_read_only(&error) => Ok(Err(Tail::NotSealed)),
        Err(error) => Err(error),
    }
}

/// Whether this user may read the tape, but not change it.
fn is_read_only(error: &Error) -> bool {
    match error {
        Error::NotPermitted { .. } => true,
        Error::Io { source, .. } => source.kind() == io::ErrorKind::ReadOnlyFilesystem,
        _ => false,
    }
}
