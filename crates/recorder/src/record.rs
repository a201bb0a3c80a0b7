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
use changetape_tape::{
    BaseSummary, Checkpoint, Edge, GapCause, Metadata, SourceIdentity, StreamOptions, TapeDraft,
    TapeWriter, UpdateForm,
};
use tokio_util::sync::CancellationToken;

use crate::append::{Appender, Target};
use crate::base::Base;
use crate::failure::{explain, refuses_raw};
use crate::past::{Past, Place};
use crate::pipeline::LargeEvents;
use crate::read::Reader;
use crate::resume::Start;
use crate::source::{Opening, Query, Source};
use crate::{Continues, Error, OnGap, Progress, RecordOptions, Since, TakeBase, Updates};

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

/// What a session did.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Events recorded in this session; all durable.
    pub events: u64,
    /// Their raw BSON bytes.
    pub bytes: u64,
    /// The tape's first event of this session, and one past its last.
    pub seqs: std::ops::Range<Seq>,
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
    let identity = source.identity().await?;
    let base = if options.base == TakeBase::First && !changetape_tape::tape_exists(path) {
        Some(begin_with_base(source, path, options, &identity, &progress, stop).await?)
    } else {
        None
    };
    let session = Session::open(source, path, options, &identity).await?;
    let summary = session.run(options, progress, stop).await?;
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
    let stream = probe.await?.0.stream;
    let draft = TapeDraft::begin(path)?;
    let base = Base { deployment: source, filter: &stream.filter, progress };
    let summary = base.take(&draft, stop).await?;
    draft.finish(metadata(identity, &stream), options.tape)?.close()?;
    tracing::info!(
        "the base is whole: {} documents of {} collections and views at {}",
        summary.documents,
        summary.collections,
        summary.time
    );
    Ok(summary)
}

/// One recording session with its stream open.
struct Session<'a> {
    deployment: &'a Deployment,
    query: Query,
    /// The stream, and what was lost before it.
    past: Past,
    target: Target,
    begins: Seq,
}

impl<'a> Session<'a> {
    async fn open(
        deployment: &'a Deployment,
        path: &Path,
        options: &RecordOptions,
        identity: &Identity,
    ) -> Result<Self, Error> {
        let (existing, base) = if changetape_tape::tape_exists(path) {
            // Before it is opened, which changes it: a tape that is refused stays as it was.
            let metadata = Metadata::read(path)?;
            let form = match options.request.updates {
                Updates::Auto => metadata.stream.updates,
                Updates::Raw => UpdateForm::Raw,
                Updates::Public => UpdateForm::Public,
            };
            let stream = options.request.stream(form);
            metadata.check_continues(&identity_of(identity), &stream)?;
            let base = changetape_tape::Base::open(path)?.map(|base| base.summary().time);
            if options.base == TakeBase::First && base.is_none() {
                return Err(Error::TooLateForBase { path: path.to_owned() });
            }
            (Some(options.tape.open(path)?), base)
        } else {
            (None, None)
        };
        let checkpoint = existing.as_ref().and_then(TapeWriter::checkpoint);
        let left = checkpoint.clone().filter(|_| options.continues == Continues::Since);
        let resume = match &left {
            Some(left) => elsewhere(path, left, &options.since),
            None => Ok(Start::choose(checkpoint.as_ref(), base, &options.since)),
        };
        let resume = match resume {
            Ok(resume) => resume,
            Err(error) => {
                existing.map_or(Ok(()), TapeWriter::close)?;
                return Err(error);
            }
        };
        let begins = checkpoint.as_ref().map_or(Seq::ZERO, |checkpoint| checkpoint.next);
        if let Some(time) = base.filter(|_| options.base == TakeBase::First || checkpoint.is_none())
        {
            tracing::info!("the tape has its base, of {time}; events follow it");
        }
        if let Some(left) = &left {
            tracing::info!("the tape ends before {}; the recording goes on elsewhere", left.next);
        } else if let Some(checkpoint) = checkpoint {
            tracing::info!(
                "the tape ends before {}; the recording continues there{}",
                checkpoint.next,
                if options.since == Since::Now { "" } else { ", whatever --since says" },
            );
        }

        let forms = match &existing {
            Some(writer) => vec![writer.metadata().stream.updates],
            None => options.request.updates.candidates().to_vec(),
        };
        // A token belongs to its pipeline, and that to the server that the tape was made from.
        let version = match &existing {
            Some(writer) => writer.metadata().source.server_version.clone(),
            None => identity.server_version.clone(),
        };
        let queries = queries(options, &forms, &version);
        let opened = first_form(deployment, identity, queries, &resume, options.on_gap).await;
        let (query, mut past) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                existing.map_or(Ok(()), TapeWriter::close)?;
                return Err(error);
            }
        };
        if let Some(left) = left {
            let resume = &Start::After(left.token);
            let place = Place { deployment, query: &query, resume, one_by_one: false };
            // Where the stream really begins: further on, if the source no longer had that place.
            let after = past.gap.take().map_or(Edge::from(&past.resume), |gap| gap.after);
            past.gap = Some(place.gap(GapCause::Reset, after));
        }
        let target = match existing {
            Some(writer) => Target::Existing(Box::new(writer)),
            None => Target::New {
                path: path.to_owned(),
                options: options.tape,
                metadata: Box::new(metadata(identity, &query.stream)),
            },
        };
        Ok(Self { deployment, query, past, target, begins })
    }

    async fn run(
        self,
        options: &RecordOptions,
        progress: Arc<Progress>,
        stop: &CancellationToken,
    ) -> Result<Summary, Error> {
        let started = Instant::now();
        progress.starts_at(self.begins);
        let appender = Appender::start(self.target, Arc::clone(&progress))?;
        let mut reader =
            Reader::new(self.deployment, &self.query, self.past, options.on_gap, &progress);
        let read = reader.read(&appender, options.limits, started, stop).await;
        // The appender goes first: what it says is the cause, the reader only noticed.
        appender.finish().await?;
        let ending = read?;
        let done = progress.snapshot();
        Ok(Summary {
            events: done.events,
            bytes: done.bytes,
            seqs: self.begins..done.end,
            tape_bytes: done.tape_bytes,
            updates: self.query.stream.updates,
            base: None,
            reconnects: done.reconnects,
            gaps: done.gaps,
            elapsed: started.elapsed(),
            ending,
        })
    }
}

/// Where a tape goes on that is told to, instead of at its end.
fn elsewhere(path: &Path, left: &Checkpoint, since: &Since) -> Result<Start, Error> {
    let start = Start::choose(None, None, since);
    match (start.time(), left.token.cluster_time()) {
        (Some(since), Some(end)) if since <= end => {
            Err(Error::ResetBackwards { path: path.to_owned(), end, since })
        }
        _ => Ok(start),
    }
}

/// The streams to try, one for each form of updates, on a tape that was begun with a server of
/// some version.
fn queries(options: &RecordOptions, forms: &[UpdateForm], version: &str) -> Vec<Query> {
    let query = |&form: &UpdateForm| {
        let stream = options.request.stream(form);
        let large_events = LargeEvents::of(&stream, version);
        Query { stream, large_events, fetch: options.fetch }
    };
    forms.iter().map(query).collect()
}

/// Opens the stream with the first form of updates that the server gives.
async fn first_form(
    deployment: &Deployment,
    identity: &Identity,
    queries: Vec<Query>,
    start: &Start,
    on_gap: OnGap,
) -> Result<(Query, Past), Error> {
    let mut refused = None;
    for query in queries {
        match Source::open(deployment, &query, start).await {
            Ok(source) => {
                if refused.is_some() {
                    tracing::warn!(
                        "{} does not show updates in their raw form; recording the public form, \
                         which cannot always be replayed exactly",
                        deployment.hosts()
                    );
                }
                let resume = start.clone();
                return Ok((query, Past { source, resume, gap: None, one_by_one: false }));
            }
            Err(Opening::Server(error)) if refuses_raw(query.stream.updates, &error) => {
                refused = Some(error);
            }
            Err(Opening::Server(error)) if on_gap == OnGap::Continue => {
                let place = Place { deployment, query: &query, resume: start, one_by_one: false };
                let past = place.open_past(error).await;
                return match past {
                    Ok(past) => Ok((query, past)),
                    Err(opening) => Err(explain(deployment, start, identity, opening)),
                };
            }
            Err(opening) => return Err(explain(deployment, start, identity, opening)),
        }
    }
    let hosts = deployment.hosts().to_owned();
    match refused {
        Some(error) => Err(Error::NoRawUpdates {
            hosts,
            answer: Box::new(deployment.explain(error, "open the change stream")),
        }),
        None => Err(Error::StreamClosed),
    }
}

fn identity_of(identity: &Identity) -> SourceIdentity {
    SourceIdentity {
        replica_set: identity.replica_set.clone(),
        replica_set_id: identity.replica_set_id,
        server_version: identity.server_version.clone(),
    }
}

/// What a new tape says of itself.
fn metadata(identity: &Identity, stream: &StreamOptions) -> Metadata {
    Metadata {
        source: identity_of(identity),
        stream: stream.clone(),
        created_by: concat!("changetape ", env!("CARGO_PKG_VERSION")).to_owned(),
        created_at: bson::DateTime::now().into(),
    }
}
