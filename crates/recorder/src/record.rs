//! A session: from the tape's end, or a new tape's beginning, until a limit or a stop.
//!
//! Invariants
//! - A tape that has a checkpoint is continued there and nowhere else.
//! - A tape is made when the first batch has arrived, not before; one that begins with a base,
//!   when that is whole.
//! - Only what is durable is counted.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use changetape_core::Seq;
use changetape_deployment::{Deployment, Identity};
use changetape_tape::{BaseSummary, TapeDraft, TapeReader, TapeWriter, UpdateForm};
use tokio_util::sync::CancellationToken;

use crate::append::{Appender, Target};
use crate::base::Base;
use crate::end::End;
use crate::opening::{Found, first_form, metadata, queries};
use crate::past::Opened;
use crate::read::Reader;
use crate::resume::Start;
use crate::source::Query;
use crate::{Error, Limits, OnGap, Progress, RecordOptions, State, TakeBase};

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It was told to.
    Stopped,
    /// `limits.count` was reached.
    Count,
    /// `limits.duration` was over.
    Duration,
    /// Nothing had come for `limits.idle`.
    Idle,
}

/// The least that opening the stream may take of a session that has little time: as long as looking
/// for a server.
const OPENING: Duration = Duration::from_secs(10);

/// What a session did.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Events recorded in this session; all durable.
    pub events: u64,
    /// Their raw BSON bytes.
    pub bytes: u64,
    /// The tape's first event of this session, and one past its last.
    pub seqs: std::ops::Range<Seq>,
    /// How many events are on the tape now; not those that were dropped from it or never got there.
    pub tape_events: u64,
    /// What the tape takes on disk.
    pub tape_bytes: u64,
    /// The form in which updates were recorded.
    pub updates: UpdateForm,
    /// The base, if it was taken in this session.
    pub base: Option<BaseSummary>,
    /// How often the stream was opened again.
    pub reconnects: u64,
    /// Gaps that were noted on the tape.
    pub gaps: u64,
    /// From the opened stream to the closed tape.
    pub elapsed: Duration,
    /// How the session ended.
    pub ending: Ending,
}

/// Records `source` onto the tape at `path`, until a limit is reached or `stop` is called;
/// then everything that arrived is made durable and the tape closed.
///
/// # Errors
/// See [`Error`]. What was durable stays on the tape, and the next session goes on after it.
/// A tape that was not there before is not left behind if nothing could be recorded.
pub async fn record(
    source: &Deployment,
    path: &Path,
    options: &RecordOptions,
    progress: Arc<Progress>,
    stop: &CancellationToken,
) -> Result<Summary, Error> {
    let identity = async { Ok(source.identity().await?) };
    let identity = opened(source, options.limits, stop, identity).await?;
    let base = if options.base == TakeBase::First && !changetape_tape::tape_exists(path) {
        Some(begin_with_base(source, path, options, &identity, &progress, stop).await?)
    } else {
        None
    };
    progress.state(State::Opening);
    let session = Session::open(source, path, options, &identity, stop).await?;
    let summary = session.run(path, options, progress, stop).await?;
    Ok(Summary { base, ..summary })
}

/// Makes a tape that has a base, and no event yet: a session continues it as any other.
async fn begin_with_base(
    source: &Deployment,
    path: &Path,
    options: &RecordOptions,
    identity: &Identity,
    progress: &Arc<Progress>,
    stop: &CancellationToken,
) -> Result<BaseSummary, Error> {
    let forms = options.request.updates.candidates();
    let queries = queries(options, forms, &identity.server_version);
    // Opened for what the server has to say against it, which is better known before a base has
    // been read than after; what it would deliver comes before the base.
    let probe = first_form(source, identity, queries, &Start::Now, OnGap::Stop);
    progress.state(State::Opening);
    let stream = opened(source, options.limits, stop, Box::pin(probe)).await?.0.stream;
    let draft = TapeDraft::begin(path)?;
    let base = Base { deployment: source, filter: &stream.filter, progress };
    let summary = base.take(&draft, stop).await?;
    draft.finish(metadata(identity, &stream), options.tape)?.close()?;
    tracing::info!(
        "the base is whole, at {}: collections and views {}, documents {}",
        summary.time,
        summary.collections,
        summary.documents
    );
    Ok(summary)
}

/// Waits for the stream to be open; not for ever.
async fn opened<T>(
    source: &Deployment,
    limits: Limits,
    stop: &CancellationToken,
    opening: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let time = limits.duration.map(|duration| duration.max(OPENING));
    match (End::of(stop, time).or(opening).await, time) {
        (Ok(opened), _) => opened,
        (Err(Ending::Duration), Some(time)) => {
            Err(Error::NotOpened { hosts: source.hosts().to_owned(), seconds: time.as_secs() })
        }
        (Err(_), _) => Err(Error::StoppedOpening),
    }
}

/// One recording session with its stream open.
struct Session<'a> {
    deployment: &'a Deployment,
    identity: &'a Identity,
    query: Query,
    /// The stream, and what was lost before it.
    opened: Opened,
    target: Target,
    begins: Seq,
}

impl<'a> Session<'a> {
    async fn open(
        deployment: &'a Deployment,
        path: &Path,
        options: &RecordOptions,
        identity: &'a Identity,
        stop: &CancellationToken,
    ) -> Result<Self, Error> {
        let found = Found::at(path, options, identity)?;
        let opened = match found.plan(path, options, identity) {
            Ok(plan) => {
                let opening = Box::pin(plan.open(deployment, identity, options.on_gap));
                self::opened(deployment, options.limits, stop, opening).await
            }
            Err(error) => Err(error),
        };
        let (query, opened) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                found.writer.map_or(Ok(()), TapeWriter::close)?;
                return Err(error);
            }
        };
        let begins = found.checkpoint().map_or(Seq::ZERO, |checkpoint| checkpoint.next);
        let target = match found.writer {
            Some(writer) => Target::Existing(Box::new(writer)),
            None => Target::New {
                path: path.to_owned(),
                options: options.tape,
                metadata: Box::new(metadata(identity, &query.stream)),
            },
        };
        Ok(Self { deployment, identity, query, opened, target, begins })
    }

    async fn run(
        self,
        path: &Path,
        options: &RecordOptions,
        progress: Arc<Progress>,
        stop: &CancellationToken,
    ) -> Result<Summary, Error> {
        let Self { deployment, identity, query, opened, target, begins } = self;
        let started = Instant::now();
        progress.starts_at(begins);
        let appender = Appender::start(target, Arc::clone(&progress))?;
        let mut reader =
            Reader::new(deployment, identity, &query, opened, options.on_gap, &progress);
        let end = End::of(stop, options.limits.duration);
        let read = reader.read(&appender, options.limits, end).await;
        // The appender goes first: what it says is the cause, the reader only noticed.
        appender.finish().await?;
        let ending = read?;
        let done = progress.snapshot();
        // Where nothing came there may be none.
        let tape_events = if changetape_tape::tape_exists(path) {
            TapeReader::open(path)?.summary()?.events
        } else {
            0
        };
        Ok(Summary {
            events: done.events,
            bytes: done.bytes,
            seqs: begins..done.end,
            tape_events,
            tape_bytes: done.tape_bytes,
            updates: query.stream.updates,
            base: None,
            reconnects: done.reconnects,
            gaps: done.gaps,
            elapsed: started.elapsed(),
            ending,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compiles only as long as a session can be given to a runtime with several threads.
    #[expect(dead_code, reason = "it is enough that it compiles")]
    fn a_session_can_be_spawned(
        source: &'static Deployment,
        options: &'static RecordOptions,
        progress: Arc<Progress>,
        stop: &'static CancellationToken,
    ) {
        tokio::spawn(record(source, Path::new("orders.tape"), options, progress, stop));
    }
}
