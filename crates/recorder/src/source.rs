//! The open change stream: raw batches, exactly as the server sends them.

use std::time::Duration;

use bson::doc;
use bson::raw::RawDocument;
use changetape_core::{ChangeEvent, ClusterTime, ResumeToken};
use changetape_deployment::{Deployment, within};
use changetape_tape::StreamOptions;
use futures_util::TryStreamExt as _;
use mongodb::raw_batch_cursor::{RawBatch, RawBatchCursor};

use crate::pipeline::LargeEvents;
use crate::reassemble::Reassembler;
use crate::resume::Start;
use crate::{Error, Fetch, pipeline};

/// How many replies are waited for an event that is known to be there.
const PEEKS: u32 = 30;

/// Which stream is opened and how it is read; the same whenever it is opened again, because a
/// resume token belongs to its pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    pub(crate) stream: StreamOptions,
    pub(crate) large_events: LargeEvents,
    pub(crate) fetch: Fetch,
}

/// An open stream.
pub(crate) struct Source {
    cursor: RawBatchCursor,
    /// Whether nothing was read but what came with the answer that opened it.
    is_new: bool,
    /// Here, because a stream that is opened again sends an event's fragments from the first.
    pub(crate) reassembler: Reassembler,
}

impl Source {
    /// Opens the stream; the server checks pipeline, privileges and start here, and may take long
    /// to get past what it finds there.
    pub(crate) async fn open(
        deployment: &Deployment,
        query: &Query,
        start: &Start,
        patience: Duration,
    ) -> Result<Self, Opening> {
        let stages = pipeline::stages(&query.stream, query.large_events, start);
        let admin = deployment.client().database("admin");
        let cursor = admin
            .aggregate(stages.map_err(Opening::Ours)?)
            .batch_size(query.fetch.batch_size)
            .max_await_time(query.fetch.max_await)
            .batch();
        let cursor = within(patience, cursor).await.map_err(Opening::Server)?;
        Ok(Self { cursor, is_new: true, reassembler: Reassembler::new(query.large_events) })
    }

    /// The token of the event that comes next, which is asked for without its documents; `None`
    /// if none comes.
    pub(crate) async fn peek(
        deployment: &Deployment,
        query: &Query,
        start: &Start,
        patience: Duration,
    ) -> Result<Option<ResumeToken>, Opening> {
        // Images that are asked for are put together before any stage could leave them out.
        let bare = StreamOptions {
            full_document: None,
            full_document_before_change: None,
            ..query.stream.clone()
        };
        let stages = pipeline::stages(&bare, LargeEvents::Refused, start);
        let mut stages = stages.map_err(Opening::Ours)?;
        stages.push(doc! {"$project": {"clusterTime": 1}});
        let admin = deployment.client().database("admin");
        let cursor = admin.aggregate(stages).batch_size(1).batch();
        let mut cursor = within(patience, cursor).await.map_err(Opening::Server)?;
        // The first replies may be empty although there are events.
        for _ in 0..PEEKS {
            let batch = within(patience, cursor.try_next()).await.map_err(Opening::Server)?;
            let Some(received) = batch.map(|batch| Received { batch, came_with_opening: false })
            else {
                break;
            };
            let events = received.events().map_err(Opening::Ours)?;
            if let Some(event) = events.first() {
                let token = ChangeEvent::from(*event).token();
                return token.map(Some).map_err(|error| Opening::Ours(error.into()));
            }
        }
        Ok(None)
    }

    /// The next batch, empty ones included: one after each `max_await` when nothing happens.
    /// `None` means that the server closed the cursor.
    pub(crate) async fn next(
        &mut self,
        patience: Duration,
    ) -> Result<Option<Received>, mongodb::error::Error> {
        let batch = within(patience, self.cursor.try_next()).await?;
        let came_with_opening = std::mem::take(&mut self.is_new);
        Ok(batch.map(|batch| Received { batch, came_with_opening }))
    }
}

/// Why a stream could not be opened.
pub(crate) enum Opening {
    /// The request makes no pipeline.
    Ours(Error),
    /// The driver or the server says so.
    Server(mongodb::error::Error),
}

/// One reply of the server: `{cursor: {firstBatch | nextBatch, postBatchResumeToken, …},
/// operationTime, …}`.
pub(crate) struct Received {
    batch: RawBatch,
    /// Whether it is the answer that opened the stream: nothing was waited for.
    pub(crate) came_with_opening: bool,
}

impl Received {
    /// The events in order, borrowed from the reply.
    pub(crate) fn events(&self) -> Result<Vec<&RawDocument>, Error> {
        let batch =
            self.batch.doc_slices().map_err(|_| Error::BadReply { missing: "its batch" })?;
        let mut events = Vec::new();
        for event in batch {
            let event = event.map_err(|_| Error::BadReply { missing: "a readable batch" })?;
            events.push(event.as_document().ok_or(Error::BadReply { missing: "a document" })?);
        }
        Ok(events)
    }

    /// Where the stream continues after this batch.
    pub(crate) fn token(&self) -> Result<ResumeToken, Error> {
        self.batch
            .as_raw_document()
            .get_document("cursor")
            .and_then(|cursor| cursor.get_document("postBatchResumeToken"))
            .map(ResumeToken::from_raw)
            .map_err(|_| Error::BadReply { missing: "postBatchResumeToken" })
    }

    /// How far the source itself is.
    pub(crate) fn source_time(&self) -> Option<ClusterTime> {
        self.batch.as_raw_document().get_timestamp("operationTime").ok().map(Into::into)
    }
}
