//! The appending side: a thread of its own, so that the disk's waiting and the network's
//! overlap.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bson::raw::RawDocument;
use changetape_core::{Arrival, ChangeEvent};
use changetape_tape::{Batch, Gap, Metadata, TapeOptions, TapeWriter};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout_at;

use crate::progress::Durable;
use crate::reassemble::Selected;
use crate::source::Received;
use crate::{Error, Progress};

/// Batches that may wait for the disk. A batch has at most 16 MB, so this bounds memory at
/// 64 MB; more would only hide a disk that is too slow.
const QUEUE: usize = 4;

/// How often the tape's size on disk is looked up, for progress.
const SIZE_INTERVAL: Duration = Duration::from_secs(1);

/// A batch on its way to the tape.
pub(crate) struct Delivery {
    pub(crate) batch: Received,
    /// What of it is wanted.
    pub(crate) selected: Selected,
    pub(crate) arrival: Arrival,
    /// What was lost before it.
    pub(crate) gap: Option<Gap>,
}

impl Delivery {
    /// The events in order, borrowed from the reply where they were sent in one piece.
    fn events(&self) -> Result<Vec<&RawDocument>, Error> {
        let sent = self.batch.events()?;
        let pieces = self.selected.pieces.iter().map(|piece| piece.of(&sent));
        pieces.collect::<Option<_>>().ok_or(Error::BadReply { missing: "an event it held before" })
    }
}

/// The tape being written to.
pub(crate) struct Appender {
    queue: mpsc::Sender<Delivery>,
    thread: JoinHandle<Result<(), Error>>,
}

/// A tape that is there to be continued, or one to be made when the first batch arrives: a
/// recording that fails before that leaves nothing behind.
pub(crate) enum Target {
    Existing(Box<TapeWriter>),
    New { path: PathBuf, options: TapeOptions, metadata: Box<Metadata> },
}

impl Target {
    fn open(self) -> Result<TapeWriter, Error> {
        match self {
            Self::Existing(writer) => Ok(*writer),
            Self::New { path, options, metadata } => Ok(options.create(&path, *metadata)?),
        }
    }

    /// Leaves a tape as it is.
    fn close(self, progress: &Progress) -> Result<(), Error> {
        if let Self::Existing(writer) = self {
            progress.tape_size(writer.disk_bytes()?);
            writer.close()?;
        }
        Ok(())
    }
}

impl Appender {
    /// Starts the thread.
    pub(crate) fn start(target: Target, progress: Arc<Progress>) -> Result<Self, Error> {
        let (queue, deliveries) = mpsc::channel(QUEUE);
        let runtime = Handle::current();
        let thread = std::thread::Builder::new()
            .name("append".to_owned())
            .spawn(move || append(target, deliveries, &runtime, &progress))
            .map_err(Error::Thread)?;
        Ok(Self { queue, thread })
    }

    /// Hands a batch over, waiting for room; `false` if the thread has failed.
    pub(crate) async fn send(&self, delivery: Delivery) -> bool {
        self.queue.send(delivery).await.is_ok()
    }

    /// Waits until everything handed over is durable and the tape is closed.
    pub(crate) async fn finish(self) -> Result<(), Error> {
        drop(self.queue);
        joined(self.thread).await.unwrap_or(Err(Error::AppenderDied))
    }
}

/// Waits for a thread to end: what it returned, or `None` if it panicked.
pub(crate) async fn joined<T: Send + 'static>(thread: JoinHandle<T>) -> Option<T> {
    tokio::task::spawn_blocking(move || thread.join()).await.ok()?.ok()
}

fn append(
    target: Target,
    mut deliveries: mpsc::Receiver<Delivery>,
    runtime: &Handle,
    progress: &Progress,
) -> Result<(), Error> {
    let Some(first) = deliveries.blocking_recv() else { return target.close(progress) };
    let mut writing = Writing::new(target.open()?, progress);
    let written = writing.write_all(first, &mut deliveries, runtime);
    // After a failure too: what is durable is sealed, so that it can be read.
    let closed = writing.close();
    written.and(closed)
}

/// A tape that is written, and what has been told about it.
struct Writing<'a> {
    writer: TapeWriter,
    progress: &'a Progress,
    /// What has been appended and is not durable yet.
    waiting: Vec<Durable>,
    /// When the tape's size was looked up.
    sized: Option<Instant>,
}

impl<'a> Writing<'a> {
    fn new(writer: TapeWriter, progress: &'a Progress) -> Self {
        Self { writer, progress, waiting: Vec::new(), sized: None }
    }

    /// Writes what is delivered until nothing more comes.
    fn write_all(
        &mut self,
        first: Delivery,
        deliveries: &mut mpsc::Receiver<Delivery>,
        runtime: &Handle,
    ) -> Result<(), Error> {
        let mut next = Some(first);
        while let Some(delivery) = next {
            self.write(delivery)?;
            next = loop {
                let Some(due) = self.writer.sync_due() else { break deliveries.blocking_recv() };
                let receive = deliveries.recv();
                match runtime.block_on(async { timeout_at(due.into(), receive).await }) {
                    Ok(delivery) => break delivery,
                    Err(_elapsed) => self.writer.sync()?,
                }
                self.tell()?;
            };
        }
        Ok(())
    }

    fn write(&mut self, mut delivery: Delivery) -> Result<(), Error> {
        let gap = delivery.gap.take();
        let events = delivery.events()?;
        let token = &delivery.selected.token;
        let batch = Batch { events: &events, token, arrival: delivery.arrival };
        let gaps = u64::from(gap.is_some());
        let places = match gap {
            Some(gap) => {
                tracing::warn!("events are lost to the recording: {gap}; a gap is noted");
                self.writer.append_behind(gap, &batch)?
            }
            None => self.writer.append(&batch)?,
        };
        let last = events.last().map(|event| ChangeEvent::from(*event).cluster_time());
        self.waiting.push(Durable {
            events: events.len(),
            bytes: events.iter().map(|event| event.as_bytes().len()).sum(),
            end: places.end,
            gaps,
            reached: token.cluster_time(),
            last_event: last.transpose()?.flatten(),
        });
        self.tell()
    }

    /// Tells what is durable by now.
    fn tell(&mut self) -> Result<(), Error> {
        if self.writer.sync_due().is_none() {
            self.waiting.drain(..).for_each(|done| self.progress.durable(done));
        }
        self.progress.sealed(self.writer.sealed());
        if self.sized.is_none_or(|at| at.elapsed() >= SIZE_INTERVAL) {
            self.progress.tape_size(self.writer.disk_bytes()?);
            self.sized = Some(Instant::now());
        }
        Ok(())
    }

    fn close(mut self) -> Result<(), Error> {
        let path = self.writer.path().to_owned();
        self.writer.close()?;
        self.waiting.drain(..).for_each(|done| self.progress.durable(done));
        self.progress.tape_size(changetape_tape::disk_bytes(&path)?);
        Ok(())
    }
}
