//! The appending side: a thread of its own, so that the disk's waiting and the network's
//! overlap.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bson::raw::RawDocument;
use changetape_core::{Arrival, ChangeEvent, Seq};
use changetape_tape::{Batch, Metadata, TapeWriter};
use tokio::sync::mpsc;

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
    New { path: PathBuf, metadata: Box<Metadata> },
}

impl Target {
    fn open(self) -> Result<TapeWriter, Error> {
        match self {
            Self::Existing(writer) => Ok(*writer),
            Self::New { path, metadata } => Ok(TapeWriter::create(&path, *metadata)?),
        }
    }
}

impl Appender {
    /// Starts the thread.
    pub(crate) fn start(target: Target, progress: Arc<Progress>) -> Result<Self, Error> {
        let (queue, deliveries) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("append".to_owned())
            .spawn(move || append(target, deliveries, &progress))
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
        let thread = self.thread;
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        match joined {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(Error::AppenderDied),
        }
    }
}

fn append(
    target: Target,
    mut deliveries: mpsc::Receiver<Delivery>,
    progress: &Progress,
) -> Result<(), Error> {
    let Some(first) = deliveries.blocking_recv() else { return Ok(()) };
    let mut writer = target.open()?;
    let mut sized = None::<Instant>;
    let mut next = Some(first);
    while let Some(delivery) = next {
        let events = delivery.events()?;
        let token = &delivery.selected.token;
        writer.append(&Batch { events: &events, token, arrival: delivery.arrival })?;
        let last = events.last().map(|event| ChangeEvent::from(*event).cluster_time());
        progress.durable(Durable {
            events: events.len(),
            bytes: events.iter().map(|event| event.as_bytes().len()).sum(),
            end: writer.checkpoint().map_or(Seq::ZERO, |checkpoint| checkpoint.next),
            reached: token.cluster_time(),
            last_event: last.transpose()?.flatten(),
        });
        if sized.is_none_or(|at| at.elapsed() >= SIZE_INTERVAL) {
            progress.tape_size(writer.disk_bytes()?);
            sized = Some(Instant::now());
        }
        next = deliveries.blocking_recv();
    }
    progress.tape_size(writer.disk_bytes()?);
    Ok(writer.close()?)
}
