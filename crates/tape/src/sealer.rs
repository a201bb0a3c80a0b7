//! `Sealer`: seals logs beside the recording, on a thread of its own.
//!
//! ```text
//! writer ──── a full log ────► sealer: salvage, segment, catalog; then merge, retain
//!        ◄── the next log ────         (made before it is needed)
//! ```
//! The writer never waits for sealing, unless logs fill faster than they can be sealed: then
//! the live end would grow without bound. What goes wrong here the writer is told with its next
//! append.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use changetape_core::WallTime;

use crate::catalog::{self, Catalog, Listed};
use crate::layout::LogNumber;
use crate::live::Live;
use crate::log::{Log, LogEnd};
use crate::opening::damaged;
use crate::salvage::Salvage;
use crate::seal::Tape;
use crate::{Checkpoint, Error, Gap, Metadata, Retain, disk, layout, merge, rebuild, retain};

/// How long readers may hold a log that has been sealed; each holds it for one block.
const READER_PATIENCE: Duration = Duration::from_secs(30);

/// What the thread is asked for.
enum Job {
    /// Make another log, before it is needed.
    Prepare,
    Seal(Full),
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
    /// The largest segment that is made by merging.
    pub(crate) segment_size: u64,
    pub(crate) retain: Retain,
}

impl Sealer {
    /// Starts the thread.
    pub(crate) fn start(work: Work) -> Result<Self, Error> {
        let (jobs, to_do) = channel();
        let (ready, prepared) = channel();
        let path = work.path.clone();
        let thread = std::thread::Builder::new()
            .name("seal".to_owned())
            .spawn(move || work.run(&to_do, &ready))
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

impl Work {
    fn run(self, to_do: &Receiver<Job>, ready: &Sender<Prepared>) -> Result<(), Error> {
        let mut number = LogNumber::FIRST;
        let mut next = to_do.recv().ok();
        while let Some(job) = next {
            let is_sealed = matches!(job, Job::Seal(_));
            match job {
                Job::Prepare => {
                    // Nobody takes it if the writer has gone.
                    let _ = ready.send(self.make_log(number)?);
                    number = number.next();
                }
                Job::Seal(full) => self.seal(full)?,
            }
            // Merging can wait, and the writer should not.
            next = to_do.try_recv().ok();
            while is_sealed && next.is_none() && self.merge_two()? {
                next = to_do.try_recv().ok();
            }
            next = next.or_else(|| to_do.recv().ok());
        }
        Ok(())
    }

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
        disk::remove_tree(&dir)?;
        self.retain()
    }

    fn commit(&self, catalog: &Catalog) -> Result<(), Error> {
        catalog::write(&self.path, catalog)?;
        self.live.now_sealed(catalog.clone());
        Ok(())
    }

    /// Merges two segments if that is worthwhile; whether it was. A tape is as good without: what
    /// there is no room for is left.
    fn merge_two(&self) -> Result<bool, Error> {
        let catalog = self.live.catalog();
        let Some(range) = merge::plan(&catalog, self.segment_size) else { return Ok(false) };
        let before = range.start.checked_sub(1).and_then(|at| catalog.segments.get(at));
        let high = before.map(|listed| listed.times.high).unwrap_or_default();
        let parts = catalog.segments.get(range.clone()).unwrap_or_default();
        let merged = match self.tape().merge(parts, high, &catalog.gaps) {
            Ok(Some(merged)) => merged,
            Err(Error::DiskFull { .. }) => {
                disk::remove_file(&layout::unfinished_merge(&self.path))?;
                return Ok(false);
            }
            // Damage is for whoever verifies the tape; a recording does not end over it.
            Ok(None) | Err(Error::Damaged { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        self.commit(&catalog.replaced(range.clone(), merged))?;
        self.remove(parts)?;
        Ok(true)
    }

    fn retain(&self) -> Result<(), Error> {
        let catalog = self.live.catalog();
        let now: WallTime = bson::DateTime::now().into();
        let count = retain::plan(&catalog, self.retain, now);
        if count == 0 {
            return Ok(());
        }
        let going = catalog.segments.get(..count).unwrap_or_default().to_vec();
        let mut left = retain::drop_first(&catalog, count, now);
        left.kinds = rebuild::kinds(&self.path, &left.segments)?;
        self.commit(&left)?;
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
