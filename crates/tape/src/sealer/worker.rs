//! `Worker`: the thread that seals, and merges once it is calm.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::{Duration, Instant};

use changetape_core::{Seq, WallTime};

use super::{Full, Job, Prepared, Work};
use crate::catalog::{self, Catalog, Listed};
use crate::layout::LogNumber;
use crate::log::Log;
use crate::merge::{self, Merging};
use crate::opening::damaged;
use crate::salvage::Salvage;
use crate::seal::Tape;
use crate::segment::KindCounts;
use crate::{Error, disk, layout, retain};

/// How long readers may hold a log that has been sealed; each holds it for one block.
const READER_PATIENCE: Duration = Duration::from_secs(30);

/// While logs fill faster than this the disk is the recording's, and nothing is merged: each byte
/// that is written twice would be missing to an append. Measured: `docs/decisions/0002-…`.
const CALM: Duration = Duration::from_secs(2);

/// Unless so many segments wait for it: a reader opens each.
const MOST_SMALL: usize = 64;

/// Who ends a recording waits for a merge of no more than this, also if it is under way: what many
/// short recordings leave is merged then, and the rest another time.
const LAST_LEN: u64 = 64 << 20;

/// The thread.
pub(super) struct Worker {
    work: Work,
    to_do: Receiver<Job>,
    ready: Sender<Prepared>,
    /// The log that is made next.
    number: LogNumber,
    /// What is before it is not merged: it could not be.
    merge_from: Seq,
    /// Since when no log has come.
    calm_since: Instant,
}

impl Worker {
    pub(super) fn new(work: Work, to_do: Receiver<Job>, ready: Sender<Prepared>) -> Self {
        let calm_since = Instant::now().checked_sub(CALM).unwrap_or_else(Instant::now);
        let (number, merge_from) = (LogNumber::FIRST, Seq::ZERO);
        Self { work, to_do, ready, number, merge_from, calm_since }
    }

    /// Works until the writer has gone.
    pub(super) fn run(mut self) -> Result<(), Error> {
        let mut may_merge = true;
        loop {
            let job = match self.patience(may_merge) {
                Some(patience) => self.to_do.recv_timeout(patience),
                None => self.to_do.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match job {
                Ok(job) => {
                    self.work(job)?;
                    may_merge = true;
                }
                Err(RecvTimeoutError::Timeout) => may_merge = self.merge_some()?,
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.work.retain()?;
        }
        if may_merge {
            self.work.limits.len = self.work.limits.len.min(LAST_LEN);
            self.merge_some()?;
        }
        Ok(())
    }

    /// How long the writer is waited for before something is merged; `None` if there is nothing.
    fn patience(&self, may_merge: bool) -> Option<Duration> {
        let catalog = self.work.live.catalog();
        let is_small = |listed: &&Listed| listed.len < self.work.limits.len / 2;
        let is_crowded = catalog.segments.iter().filter(is_small).count() > MOST_SMALL;
        let patience = CALM.saturating_sub(self.calm_since.elapsed());
        may_merge.then_some(if is_crowded { Duration::ZERO } else { patience })
    }

    fn work(&mut self, job: Job) -> Result<(), Error> {
        match job {
            Job::Prepare => {
                // Nobody takes it if the writer has gone.
                let _ = self.ready.send(self.work.make_log(self.number)?);
                self.number = self.number.next();
            }
            Job::Seal(full) => {
                self.work.seal(full)?;
                self.calm_since = Instant::now();
            }
            // Done after every job.
            Job::Retain => {}
        }
        Ok(())
    }

    /// Merges some segments if that is worthwhile; whether it was. A tape is as good without: what
    /// there is no room for, or cannot be read, is left, and does not end a recording.
    fn merge_some(&mut self) -> Result<bool, Error> {
        loop {
            let catalog = self.work.live.catalog();
            let from = catalog.position(self.merge_from);
            let Some(range) = merge::plan(&catalog, from, self.work.limits) else {
                return Ok(false);
            };
            let parts = catalog.segments.get(range.clone()).unwrap_or_default();
            if !self.has_room_for(parts) {
                return Ok(false);
            }
            match self.merge(&catalog, range.clone())? {
                Outcome::Done(merged) => return self.replace(range, merged, parts),
                Outcome::PutOff => return Ok(false),
                Outcome::Left(damage) => {
                    // Damage is for whoever verifies the tape. What lies behind it is merged.
                    let hit = |listed: &&Listed| {
                        damage.as_ref().is_some_and(|at| listed.events().contains(at))
                    };
                    let left = parts.iter().find(hit).or(parts.last());
                    self.merge_from = left.map_or(self.merge_from, |listed| listed.end);
                }
            }
        }
    }

    /// Whether segments can be written once more without taking the room that the recording needs.
    fn has_room_for(&self, parts: &[Listed]) -> bool {
        let len: u64 = parts.iter().map(|listed| listed.len).sum();
        disk::room(&self.work.path).is_none_or(|room| room / 2 >= len)
    }

    /// Merges segments, and between two blocks does what the writer asks for. What fails there is
    /// an error; what keeps them from being merged is none.
    fn merge(&mut self, catalog: &Catalog, range: Range<usize>) -> Result<Outcome, Error> {
        let before = range.start.checked_sub(1).and_then(|at| catalog.segments.get(at));
        let high = before.map(|listed| listed.times.high).unwrap_or_default();
        let parts = catalog.segments.get(range).unwrap_or_default();
        let is_long = parts.iter().map(|listed| listed.len).sum::<u64>() > LAST_LEN;
        let mut merging = match Merging::begin(&self.work.path, parts.to_vec(), high) {
            Ok(merging) => merging,
            Err(error) => return self.give_up(Outcome::of(error)),
        };
        loop {
            match merging.step() {
                Ok(true) if self.catch_up()? == Writer::Gone && is_long => {
                    return self.give_up(Outcome::PutOff);
                }
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return self.give_up(Outcome::of(error)),
            }
        }
        match merging.finish(self.work.tape(), &catalog.gaps) {
            Ok(Some(merged)) => Ok(Outcome::Done(merged)),
            Ok(None) => self.give_up(Outcome::Left(None)),
            Err(error) => self.give_up(Outcome::of(error)),
        }
    }

    /// Removes what there is of a merge.
    fn give_up(&self, outcome: Outcome) -> Result<Outcome, Error> {
        disk::remove_file(&layout::unfinished_merge(&self.work.path))?;
        Ok(outcome)
    }

    /// Has the catalog list what was merged instead of its parts, which go; whether there was room
    /// for that.
    fn replace(
        &self,
        range: Range<usize>,
        merged: Listed,
        parts: &[Listed],
    ) -> Result<bool, Error> {
        // Others may have been added behind them.
        let catalog = self.work.live.catalog();
        match self.work.commit(&catalog.replaced(range, merged.clone())) {
            // What was merged nobody will read then, and the recording needs the room.
            Err(Error::DiskFull { .. }) if catalog::read(&self.work.path)? == *catalog => {
                self.work.remove(&[merged]).map(|()| false)
            }
            Err(error) => Err(error),
            Ok(()) => self.work.remove(parts).map(|()| true),
        }
    }

    /// Does what the writer has asked for by now. Nothing is dropped: it may be being merged.
    fn catch_up(&mut self) -> Result<Writer, Error> {
        loop {
            match self.to_do.try_recv() {
                Ok(job) => self.work(job)?,
                Err(TryRecvError::Empty) => return Ok(Writer::There),
                Err(TryRecvError::Disconnected) => return Ok(Writer::Gone),
            }
        }
    }
}

/// What became of a merge.
enum Outcome {
    Done(Listed),
    /// There is no time for it now, or no room.
    PutOff,
    /// It cannot be: because of what is damaged at a place, if that is known.
    Left(Option<Seq>),
}

impl Outcome {
    fn of(error: Error) -> Self {
        match error {
            Error::DiskFull { .. } => Self::PutOff,
            Error::Damaged { damage, .. } => {
                let events = damage.events.filter(|events| !events.is_empty());
                Self::Left(events.map(|events| events.start))
            }
            // A sector that cannot be read, for one.
            _ => Self::Left(None),
        }
    }
}

/// Whether the writer may still ask for something.
#[derive(PartialEq, Eq)]
enum Writer {
    There,
    Gone,
}

impl Work {
    fn make_log(&self, number: LogNumber) -> Result<Prepared, Error> {
        let (log, end) = Log::create(&layout::log(&self.path, number))?;
        let segment = disk::create_file(&layout::unfinished_segment(&self.path, number))?;
        Ok(Prepared { number, log: Arc::new(log), end, segment })
    }

    fn tape(&self) -> Tape<'_> {
        Tape { path: &self.path, metadata: &self.metadata }
    }

    fn seal(&self, full: Full) -> Result<(), Error> {
        let started = Instant::now();
        let mut catalog = Catalog::clone(&self.live.catalog());
        let dir = layout::log(&self.path, full.number);
        if let Some(checkpoint) = full.checkpoint {
            let salvage = Salvage::of_dir(&dir)?;
            let run = salvage.run(catalog.next);
            if run.end < checkpoint.next {
                let events = run.end..checkpoint.next;
                let what = format!("events from {} on are gone from log/", run.end);
                return Err(damaged(&self.path, &what, Some(events)));
            }
            let unfinished = layout::unfinished_segment(&self.path, full.number);
            let found = (&salvage, &run);
            catalog.add_gaps(&full.gaps);
            let behind = (catalog.high(), catalog.gaps.as_slice());
            let sealed = self.tape().seal(found, checkpoint.next, behind, &unfinished)?;
            if let Some((listed, kinds)) = sealed {
                catalog.add_segment(listed, &kinds);
            }
            (catalog.next, catalog.token) = (checkpoint.next, Some(checkpoint.token));
            self.commit(&catalog)?;
            self.live.end_log(full.number, Some(started.elapsed()));
        }
        self.live.end_log(full.number, None);
        if let Some(log) = full.log {
            close(log)?;
        }
        disk::remove_tree(&dir)
    }

    fn commit(&self, catalog: &Catalog) -> Result<(), Error> {
        catalog::write(&self.path, catalog)?;
        self.live.now_sealed(catalog.clone());
        Ok(())
    }

    fn retain(&self) -> Result<(), Error> {
        let catalog = self.live.catalog();
        let now: WallTime = bson::DateTime::now().into();
        let count = retain::plan(&catalog, self.retain, now);
        if count == 0 {
            return Ok(());
        }
        let going = catalog.segments.get(..count).unwrap_or_default().to_vec();
        let mut held = KindCounts::default();
        for listed in &going {
            // What cannot be read any more stays counted: a recording does not end over it, and
            // whoever verifies the tape is told.
            let totals = listed.open_existing(&self.path).and_then(|segment| segment.totals());
            if let Ok(totals) = totals {
                held.add(&totals.kinds);
            }
        }
        self.commit(&retain::drop_first(&catalog, count, &held, now))?;
        self.remove(&going)
    }

    /// Removes segments that the catalog no longer lists.
    fn remove(&self, segments: &[Listed]) -> Result<(), Error> {
        segments.iter().try_for_each(|listed| {
            disk::remove_file(&layout::segment(&self.path, &listed.events()))
        })
    }
}

/// Closes a log once nobody reads from it any more.
fn close(log: Arc<Log>) -> Result<(), Error> {
    let started = Instant::now();
    let mut log = log;
    loop {
        match Arc::try_unwrap(log) {
            Ok(log) => return log.close(),
            Err(_) if started.elapsed() > READER_PATIENCE => return Ok(()),
            Err(held) => log = held,
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests;
