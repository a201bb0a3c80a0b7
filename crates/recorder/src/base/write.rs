//! The writing side: a thread of its own, so that compressing and the disk's waiting overlap with
//! the network.

use std::sync::Arc;
use std::thread::JoinHandle;

use changetape_tape::{BaseSummary, BaseWriter, Definition};
use mongodb::raw_batch_cursor::RawBatch;
use tokio::sync::mpsc;

use crate::append::joined;
use crate::{Error, Progress};

/// Batches that may wait for the disk. A batch has at most 16 MB, so this bounds memory at
/// 64 MB.
const QUEUE: usize = 4;

/// What the thread is told.
enum Told {
    /// A collection or view begins.
    Begin(Box<Definition>),
    /// Documents of it.
    Documents(RawBatch),
    /// That was all.
    Finish,
}

/// The base being written.
pub(super) struct Writer {
    queue: mpsc::Sender<Told>,
    thread: JoinHandle<Result<Option<BaseSummary>, Error>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(base: BaseWriter, progress: &Arc<Progress>) -> Result<Self, Error> {
        let (queue, told) = mpsc::channel(QUEUE);
        let progress = Arc::clone(progress);
        let thread = std::thread::Builder::new()
            .name("base".to_owned())
            .spawn(move || write(base, told, &progress))
            .map_err(Error::Thread)?;
        Ok(Self { queue, thread })
    }

    /// Begins a collection or view; `false` if the thread has failed.
    pub(super) async fn begin(&self, definition: &Definition) -> bool {
        self.queue.send(Told::Begin(Box::new(definition.clone()))).await.is_ok()
    }

    /// Hands documents over, waiting for room; `false` if the thread has failed.
    pub(super) async fn send(&self, documents: RawBatch) -> bool {
        self.queue.send(Told::Documents(documents)).await.is_ok()
    }

    /// Puts the base in place if it is whole, and waits for the thread to end: what it holds;
    /// `None` if it was not to be.
    pub(super) async fn finish(self, whole: bool) -> Result<Option<BaseSummary>, Error> {
        if whole {
            // A thread that does not take it has failed, and says so below.
            let _ = self.queue.send(Told::Finish).await;
        }
        drop(self.queue);
        joined(self.thread).await.unwrap_or(Err(Error::WriterDied))
    }
}

fn write(
    mut base: BaseWriter,
    mut told: mpsc::Receiver<Told>,
    progress: &Progress,
) -> Result<Option<BaseSummary>, Error> {
    while let Some(told) = told.blocking_recv() {
        match told {
            Told::Begin(definition) => base.collection(&definition)?,
            Told::Documents(batch) => {
                let unreadable = || Error::BadReply { missing: "a readable batch" };
                let (mut documents, mut bytes) = (0, 0);
                for document in batch.doc_slices().map_err(|_| unreadable())? {
                    let document = document.map_err(|_| unreadable())?;
                    let document = document.as_document();
                    let document = document.ok_or(Error::BadReply { missing: "a document" })?;
                    base.document(document)?;
                    documents += 1;
                    bytes += document.as_bytes().len() as u64;
                }
                progress.base_written(documents, bytes);
            }
            Told::Finish => return Ok(Some(base.finish()?)),
        }
    }
    Ok(None)
}
