//! `TapeWriter`: appends to a tape.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::raw::RawDocument;
use changetape_core::{Arrival, ResumeToken, Seq};

use crate::block::{BlockEncoder, High, MAX_EVENT_LEN, NewBlock, split};
use crate::disk::seam::{self, Call};
use crate::filling::{Filling, Fullness};
use crate::live::Live;
use crate::lock::TapeLock;
use crate::log::Appended;
use crate::opening::Opened;
use crate::sealer::{Full, Prepared, Sealer, Work};
use crate::watermark::Watermark;
use crate::{
    Checkpoint, Durability, Error, Gap, Metadata, Sealed, TapeOptions, TapeReader, catalog, disk,
    layout, opening,
};

/// How often a tape is looked through at least for what is too old, though nothing is sealed.
const RETAIN_EVERY: Duration = Duration::from_secs(60);

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

/// A tape open for recording; nobody else changes it.
///
/// Dropped without [`close`](Self::close) the tape is as if the process had been killed:
/// whole, but what was not sealed is sealed by whoever opens it next.
pub struct TapeWriter {
    path: PathBuf,
    metadata: Metadata,
    options: TapeOptions,
    encoder: BlockEncoder,
    watermark: Watermark,
    /// What has been taken, durable or not.
    taken: End,
    /// Since when something taken has not been durable.
    waiting: Option<Instant>,
    /// After an error when what was appended was durable: what is there can be sealed, and nothing
    /// more is appended.
    failed: bool,
    /// When what is too old was last looked for.
    looked: Instant,
    log: Filling,
    live: EndOnDrop,
    sealer: Sealer,
    // Dropped last: whoever gets the lock next finds nobody at work.
    lock: TapeLock,
}

/// What readers in this process see; they are told when nothing more will come.
struct EndOnDrop(Arc<Live>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end_now();
    }
}

impl std::ops::Deref for EndOnDrop {
    type Target = Live;

    fn deref(&self) -> &Live {
        &self.0
    }
}

/// Where a tape ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct End {
    checkpoint: Option<Checkpoint>,
    high: High,
}

impl End {
    fn next(&self) -> Seq {
        self.checkpoint.as_ref().map_or(Seq::ZERO, |checkpoint| checkpoint.next)
    }
}

impl std::fmt::Debug for TapeWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TapeWriter")
            .field("path", &self.path)
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}

impl TapeWriter {
    /// Makes a new tape with the default options: see [`TapeOptions::create`].
    ///
    /// # Errors
    /// See [`TapeOptions::create`].
    pub fn create(path: &Path, metadata: Metadata) -> Result<Self, Error> {
        TapeOptions::default().create(path, metadata)
    }

    /// Opens a tape with the default options: see [`TapeOptions::open`].
    ///
    /// # Errors
    /// See [`TapeOptions::open`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        TapeOptions::default().open(path)
    }

    pub(crate) fn new(opened: Opened, options: TapeOptions) -> Result<Self, Error> {
        let Opened { path, metadata, catalog, lock } = opened;
        let encoder = BlockEncoder::new().map_err(Error::io("record onto", &path))?;
        let watermark = Watermark::open(&path, catalog.next)?;
        let taken = End { checkpoint: catalog.checkpoint(), high: catalog.high() };
        let live = EndOnDrop(Arc::new(Live::new(catalog)));
        let mut sealer = Sealer::start(Work {
            path: path.clone(),
            metadata: metadata.clone(),
            live: Arc::clone(&live.0),
            limits: options.limits(),
            retain: options.retain,
        })?;
        sealer.prepare()?;
        let prepared = sealer.next_log()?;
        live.begin_log(taken.next(), prepared.number, Arc::clone(&prepared.log));
        let log = Filling::new(prepared, catalog::len(&path)?);
        let (waiting, looked) = (None, Instant::now());
        Ok(Self {
            path,
            metadata,
            options,
            encoder,
            watermark,
            taken,
            waiting,
            failed: false,
            looked,
            log,
            live,
            sealer,
            lock,
        })
    }

    /// Where the tape is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the tape was recorded from and how.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Where the recording would continue if it ended now: after the last durable event. `None`
    /// before the first append.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        self.live.checkpoint()
    }

    /// Reads the tape while it is recorded: what is sealed, and the live end as far as it is
    /// durable.
    #[must_use]
    pub fn reader(&self) -> TapeReader {
        TapeReader::live(&self.path, self.metadata.clone(), Arc::clone(&self.live.0))
    }

    /// What sealing has done in this session.
    #[must_use]
    pub fn sealed(&self) -> Sealed {
        self.live.sealed()
    }

    /// What the tape takes on disk, in bytes.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn disk_bytes(&self) -> Result<u64, Error> {
        disk::allocated(&self.path)
    }

    /// Appends a batch: the places of its events. An empty batch moves the checkpoint's token
    /// only. Blocking; when it returns the batch is durable, or, with
    /// [`Durability::Interval`], will be after [`sync`](Self::sync) or a later append.
    ///
    /// Either the whole batch is on the tape or, after an error, none of it or a part from its
    /// beginning: what was durable by then [`checkpoint`](Self::checkpoint) says, and the rest
    /// shows when the tape is opened again.
    ///
    /// # Errors
    /// [`Error::EventTooLarge`], [`Error::Event`], and a full disk that is noticed in time,
    /// before anything is written; after any other the writer appends nothing more and answers
    /// [`Error::Broken`]. See [`Error`].
    pub fn append(&mut self, batch: &Batch<'_>) -> Result<Range<Seq>, Error> {
        self.append_all(None, batch)
    }

    /// Appends a gap and the batch behind it, which may be empty: events are missing between
    /// what is on the tape and that batch. Both or neither, and durable when this returns; see
    /// [`append`](Self::append).
    ///
    /// # Errors
    /// See [`append`](Self::append).
    pub fn append_behind(&mut self, gap: Gap, batch: &Batch<'_>) -> Result<Range<Seq>, Error> {
        let gap = Gap { at: self.taken.next(), places: 0, ..gap };
        let places = self.append_all(Some(gap), batch)?;
        self.sync()?;
        Ok(places)
    }

    fn append_all(&mut self, gap: Option<Gap>, batch: &Batch<'_>) -> Result<Range<Seq>, Error> {
        let first = self.taken.next();
        let (blocks, checkpoint, high) = self.encode(batch)?;
        let next = checkpoint.next;
        // First, for the log may be handed over as soon as it has taken the gap.
        self.log.gaps.extend(gap.clone());
        let taken = self.take(Appended { blocks, gap, checkpoint }, high);
        if taken.is_err() {
            // One that is durable stays, whatever failed after it.
            let durable = self.live.gaps();
            self.log.gaps.retain(|gap| durable.contains(gap));
        }
        taken.map(|()| first..next)
    }

    /// Makes everything appended durable.
    ///
    /// # Errors
    /// See [`append`](Self::append).
    pub fn sync(&mut self) -> Result<(), Error> {
        if self.waiting.is_none() {
            return Ok(());
        }
        let Some(checkpoint) = self.taken.checkpoint.clone() else { return Ok(()) };
        let Filling { prepared, .. } = &mut self.log;
        let synced = prepared.log.sync(&mut prepared.end).and_then(|()| {
            if checkpoint.next > self.live.end() {
                self.watermark.advance(checkpoint.next)
            } else {
                Ok(())
            }
        });
        if let Err(error) = synced {
            self.log.broken = true;
            return Err(error);
        }
        self.waiting = None;
        // Only noted: nothing can go wrong any more.
        let _ = seam::before(Call::Acknowledge, &self.path);
        self.live.durable(checkpoint, self.log.gaps.last());
        let rotated = self.rotate();
        self.failed = rotated.is_err();
        rotated
    }

    /// When [`sync`](Self::sync) has to be called, so that nothing stays longer than the
    /// durability allows; `None` while everything is durable.
    #[must_use]
    pub fn sync_due(&self) -> Option<Instant> {
        let Durability::Interval(interval) = self.options.durability else { return None };
        Some(self.waiting? + interval)
    }

    /// Takes an append that is encoded.
    fn take(&mut self, appended: Appended, high: High) -> Result<(), Error> {
        if self.log.broken || self.failed {
            return Err(Error::Broken { path: self.path.clone(), next: self.live.end() });
        }
        let len: usize = appended.blocks.iter().map(|(_, block)| block.len()).sum();
        self.log.reserve(len as u64, &self.path)?;
        let checkpoint = appended.checkpoint.clone();
        let Filling { prepared, .. } = &mut self.log;
        if let Err(error) = prepared.log.apply(appended, &mut prepared.end) {
            self.log.broken = true;
            return Err(error);
        }
        self.log.add(len as u64);
        self.taken = End { checkpoint: Some(checkpoint), high };
        self.waiting.get_or_insert_with(Instant::now);
        // A log that is full is not filled further, however long it may wait.
        let due = self.sync_due().is_none_or(|due| due <= Instant::now()) || self.log.is_overfull();
        if due { self.sync() } else { Ok(()) }
    }

    /// Begins another log if this one is full, and has dropped what is too old meanwhile: on a
    /// quiet stream nothing is sealed.
    fn rotate(&mut self) -> Result<(), Error> {
        let limits = self.options.limits();
        if let Some(span) = limits.span
            && self.looked.elapsed() >= span.min(RETAIN_EVERY)
        {
            self.looked = Instant::now();
            self.sealer.retain()?;
        }
        let fullness = self.log.fullness(limits, self.options.seal_after);
        if fullness >= Fullness::Half && !self.log.next_asked {
            self.log.next_asked = true;
            self.sealer.prepare()?;
        }
        let next = match fullness {
            Fullness::Empty | Fullness::Half => None,
            Fullness::Full => self.sealer.next_log_if_ready()?,
            Fullness::Overfull => Some(self.sealer.next_log()?),
        };
        let Some(next) = next else { return Ok(()) };
        // So that a log that has lost its end is noticed, also where the power was lost.
        self.watermark.sync()?;
        let catalog_len = catalog::len(&self.path)?;
        self.live.begin_log(self.taken.next(), next.number, Arc::clone(&next.log));
        let next = Filling::new(next, catalog_len);
        let full = std::mem::replace(&mut self.log, next);
        self.sealer.seal(Full {
            number: full.prepared.number,
            log: Some(full.prepared.log),
            checkpoint: self.taken.checkpoint.clone(),
            gaps: full.gaps,
        })
    }

    /// The batch as blocks, where the recording continues after them, and the latest times on
    /// the tape by then.
    fn encode(&mut self, batch: &Batch<'_>) -> Result<(NewBlocks, Checkpoint, High), Error> {
        let first = self.taken.next();
        for (event, n) in batch.events.iter().zip(0..) {
            let bytes = event.as_bytes().len();
            if bytes > MAX_EVENT_LEN {
                return Err(Error::EventTooLarge { seq: first + n, bytes, limit: MAX_EVENT_LEN });
            }
        }
        let mut next = first;
        let mut high = self.taken.high;
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

    /// Seals what is not sealed, so that the tape is read without another word.
    ///
    /// Also after a failed append: what was durable before is sealed then, in the room that was
    /// set aside for it.
    ///
    /// # Errors
    /// See [`Error`]. What was durable stays so: whoever opens the tape next seals it.
    pub fn close(mut self) -> Result<(), Error> {
        if !self.log.broken {
            self.sync()?;
        }
        let Self { path, log, live, mut sealer, watermark, lock, .. } = self;
        let Filling { prepared: Prepared { number, log, .. }, gaps, broken, .. } = log;
        // Nobody can wait for a log that failed half-way.
        let log = (!broken).then_some(log);
        let checkpoint = live.checkpoint();
        sealer.seal(Full { number, log, checkpoint, gaps })?;
        sealer.finish()?;
        watermark.sync()?;
        opening::tidy(&path, &live.catalog())?;
        disk::sync_dir(&path.join(layout::LOG))?;
        drop(lock);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
