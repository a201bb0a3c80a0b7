//! `Sealer`: seals logs beside the recording, on a thread of its own.
//!
//! ```text
//! writer ──── a full log ────► sealer: salvage, segment, catalog; then retain, merge
//!        ◄── the next log ────         (made before it is needed)
//! ```
//! The writer never waits for sealing, unless logs fill faster than they can be sealed: then
//! the live end would grow without bound. Merging is done while the writer wants nothing, and what
//! it asks for meanwhile it gets between two blocks: nothing else that is done here takes longer
//! than sealing one log. What goes wrong here the writer is told with its next append.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use changetape_core::{Seq, WallTime};

use crate::catalog::{self, Catalog, Listed};
use crate::layout::LogNumber;
use crate::live::Live;
use crate::log::{Log, LogEnd};
use crate::merge::{self, Limits, Merging};
use crate::opening::damaged;
use crate::salvage::Salvage;
use crate::seal::Tape;
use crate::segment::KindCounts;
use crate::{Checkpoint, Error, Gap, Metadata, Retain, disk, layout, retain};

/// How long readers may hold a log that has been sealed; each holds it for one block.
const READER_PATIENCE: Duration = Duration::from_secs(30);

/// What the thread is asked for.
enum Job {
    /// Make another log, before it is needed.
    Prepare,
    Seal(Full),
    /// Drop what has become too old, though nothing is to be sealed.
    Retain,
}

/// A log that is full, or the last one.
pub(crate) struct Full {
    pub(crate) number: LogNumber,
    /// `None` after a failed append: nobody can wait for it.
    pub(crate) log: Option<Arc<Log>>,
    /// Where the recording continues after what is durable in it.
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) gaps: Vec<Gap>,
}

/// A log that is ready to be filled.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) number: LogNumber,
    pub(crate) log: Arc<Log>,
    pub(crate) end: LogEnd,
    /// The file that it will be sealed into.
    pub(crate) segment: File,
}

/// The sealing thread, as the writer sees it.
#[derive(Debug)]
pub(crate) struct Sealer {
    jobs: Option<Sender<Job>>,
    prepared: Receiver<Prepared>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

/// What the thread works on.
pub(crate) struct Work {
    pub(crate) path: PathBuf,
    pub(crate) metadata: Metadata,
    pub(crate) live: Arc<Live>,
    /// How large segments become by merging.
    pub(crate) limits: Limits,
    pub(crate) retain: Retain,
}

/// The thread.
struct Worker {
    work: Work,
    to_do: Receiver<Job>,
    ready: Sender<Prepared>,
    /// The log that is made next.
    number: LogNumber,
    /// What is before it is not merged: it could not be.
    merge_from: Seq,
}

impl Sealer {
    /// Starts the thread.
    pub(crate) fn start(work: Work) -> Result<Self, Error> {
        let (jobs, to_do) = channel();
        let (ready, prepared) = channel();
        let path = work.path.clone();
        let thread = std::thread::Builder::new()
            .name("seal".to_owned())
            .spawn(move || Worker::new(work, to_do, ready).run())
            .map_err(Error::io("start sealing", &path))?;
        Ok(Self { jobs: Some(jobs), prepared, thread: Some(thread) })
    }

    /// Has another log made.
    pub(crate) fn prepare(&mut self) -> Result<(), Error> {
        self.ask(Job::Prepare)
    }

    /// The next log, waiting for it. It was asked for.
    pub(crate) fn next_log(&mut self) -> Result<Prepared, Error> {
        self.prepared.recv().map_err(|_| self.failure())
    }

    /// The next log if it is ready.
    pub(crate) fn next_log_if_ready(&mut self) -> Result<Option<Prepared>, Error> {
        match self.prepared.try_recv() {
            Ok(prepared) => Ok(Some(prepared)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(self.failure()),
        }
    }

    /// Hands a log over.
    pub(crate) fn seal(&mut self, full: Full) -> Result<(), Error> {
        self.ask(Job::Seal(full))
    }

    /// Has it looked for what has become too old.
    pub(crate) fn retain(&mut self) -> Result<(), Error> {
        self.ask(Job::Retain)
    }

    fn ask(&mut self, job: Job) -> Result<(), Error> {
        let sent = self.jobs.as_ref().map(|jobs| jobs.send(job));
        if matches!(sent, Some(Ok(()))) { Ok(()) } else { Err(self.failure()) }
    }

    /// Waits until everything handed over is sealed.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        self.end()
    }

    /// Why the thread has ended.
    fn failure(&mut self) -> Error {
        let ended = || Error::io("seal", Path::new(layout::LOG))(io::Error::other("it has ended"));
        self.end().err().unwrap_or_else(ended)
    }

    fn end(&mut self) -> Result<(), Error> {
        self.jobs = None;
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Sealer {
    /// Whoever gets the lock next finds nobody at work.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // Nobody is left to be told.
            let _ = thread.join();
        }
    }
}

impl Worker {
    fn new(work: Work, to_do: Receiver<Job>, ready: Sender<Prepared>) -> Self {
        Self { work, to_do, ready, number: LogNumber::FIRST, merge_from: Seq::ZERO }
    }

    /// Works until the writer has gone.
    fn run(mut self) -> Result<(), Error> {
        let mut may_merge = true;
        loop {
            let job = if may_merge {
                self.to_do.try_recv()
            } else {
                self.to_do.recv().map_err(|_| TryRecvError::Disconnected)
            };
            match job {
                Ok(job) => {
                    self.work(job)?;
                    may_merge = true;
                }
                Err(TryRecvError::Empty) => may_merge = self.merge_some()?,
                Err(TryRecvError::Disconnected) => break,
            }
            self.work.retain()?;
        }
        // Who ends a recording waits for this: the rest is merged another time.
        if may_merge {
            self.merge_some()?;
        }
        Ok(())
    }

    fn work(&mut self, job: Job) -> Result<(), Error> {
        match job {
            Job::Prepare => {
                // Nobody takes it if the writer has gone.
                let _ = self.ready.send(self.work.make_log(self.number)?);
                self.number = self.number.next();
            }
            Job::Seal(full) => self.work.seal(full)?,
            // Done after every job.
            Job::Retain => {}
        }
        Ok(())
    }

    /// Merges some segments if that is worthwhile; whether it was. A tape is as good without: what
    /// there is no room for, or cannot be read, is left.
    fn merge_some(&mut self) -> Result<bool, Error> {
        loop {
            let catalog = self.work.live.catalog();
            let from = catalog.position(self.merge_from);
            let Some(range) = merge::plan(&catalog, from, self.work.limits) else {
                return Ok(false);
            };
            let parts = catalog.segments.get(range.clone()).unwrap_or_default();
            let damage = match self.merge(&catalog, range.clone())? {
                Ok(Some(merged)) => {
                    // Others may have been added behind them.
                    let catalog = self.work.live.catalog();
                    self.work.commit(&catalog.replaced(range, merged))?;
                    self.work.remove(parts)?;
                    return Ok(true);
                }
                Ok(None) => None,
                Err(Error::Damaged { damage, .. }) => damage.events,
                Err(Error::DiskFull { .. }) => {
                    disk::remove_file(&layout::unfinished_merge(&self.work.path))?;
                    return Ok(false);
                }
                Err(error) => return Err(error),
            };
            disk::remove_file(&layout::unfinished_merge(&self.work.path))?;
            // Damage is for whoever verifies the tape. A recording does not end over it, and merges
            // what lies behind it.
            let damage = damage.filter(|events| !events.is_empty());
            let hit = |listed: &&Listed| {
                damage.as_ref().is_some_and(|events| listed.events().contains(&events.start))
            };
            let left = parts.iter().find(hit).or(parts.last());
            self.merge_from = left.map_or(self.merge_from, |listed| listed.end);
        }
    }

    /// Merges segments, and between two blocks does what the writer asks for. What fails there is
    /// an error of its own, apart from the merge's.
    fn merge(
        &mut self,
        catalog: &Catalog,
        range: Range<usize>,
    ) -> Result<Result<Option<Listed>, Error>, Error> {
        let before = range.start.checked_sub(1).and_then(|at| catalog.segments.get(at));
        let high = before.map(|listed| listed.times.high).unwrap_or_default();
        let parts = catalog.segments.get(range).unwrap_or_default().to_vec();
        let mut merging = match Merging::begin(&self.work.path, parts, high) {
            Ok(merging) => merging,
            Err(error) => return Ok(Err(error)),
        };
        loop {
            match merging.step() {
                Ok(true) => self.catch_up()?,
                Ok(false) => return Ok(merging.finish(self.work.tape(), &catalog.gaps)),
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    /// Does what the writer has asked for by now. Nothing is dropped: it may be being merged.
    fn catch_up(&mut self) -> Result<(), Error> {
        while let Ok(job) = self.to_do.try_recv() {
            self.work(job)?;
        }
        Ok(())
    }
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

/// Sets room aside in the file that a log will be sealed into.
pub(crate) fn reserve(prepared: &Prepared, tape: &Path, len: u64) -> Result<(), Error> {
    disk::reserve(&prepared.segment, &layout::unfinished_segment(tape, prepared.number), len)
}

#[cfg(test)]
mod tests;
