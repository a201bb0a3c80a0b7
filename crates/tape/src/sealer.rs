//! `Sealer`: seals logs beside the recording, on a thread of its own.
//!
//! ```text
//! writer ──── a full log ────► sealer: salvage, segment, catalog; then retain, merge
//!        ◄── the next log ────         (made before it is needed)
//! ```
//! The writer never waits for sealing, unless logs fill faster than they can be sealed: then
//! the live end would grow without bound. Merging waits until it has been calm for a while, and what
//! the writer asks for meanwhile it gets between two blocks: nothing else that is done here takes
//! longer than sealing one log. What goes wrong here the writer is told with its next append.

mod worker;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;

use crate::layout::LogNumber;
use crate::live::Live;
use crate::log::{Log, LogEnd};
use crate::merge::Limits;
use crate::{Checkpoint, Error, Gap, Metadata, Retain, disk, layout};
use worker::Worker;

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

/// Sets room aside in the file that a log will be sealed into.
pub(crate) fn reserve(prepared: &Prepared, tape: &Path, len: u64) -> Result<(), Error> {
    disk::reserve(&prepared.segment, &layout::unfinished_segment(tape, prepared.number), len)
}
