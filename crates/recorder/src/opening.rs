//! Opening a session: the tape that it continues, and its stream.
//!
//! ```text
//! path ──► Found: the tape ──► Plan: from where, which forms ──► the stream, and what was lost
//! ```
//! A tape that does not go with what is asked for is refused before it is opened; one that was
//! opened is closed again where no stream is to be had.

use std::path::Path;

use changetape_core::ClusterTime;
use changetape_deployment::{Deployment, Identity, is_no_answer};
use changetape_tape::{
    Checkpoint, Edge, GapCause, Metadata, SourceIdentity, StreamOptions, TapeWriter, UpdateForm,
};

use crate::failure::{explain, refuses_raw};
use crate::past::{Opened, Place, gap};
use crate::patience::Patience;
use crate::pipeline::LargeEvents;
use crate::resume::Start;
use crate::source::{Opening, Query, Source};
use crate::{Continues, Error, OnGap, RecordOptions, Since, TakeBase, Updates};

/// What there is at a path before a session.
pub(crate) struct Found {
    /// The tape, if there is one.
    pub(crate) writer: Option<TapeWriter>,
    /// The time of its base.
    base: Option<ClusterTime>,
}

impl Found {
    /// Opens the tape, if there is one that the session continues.
    pub(crate) fn at(
        path: &Path,
        options: &RecordOptions,
        identity: &Identity,
    ) -> Result<Self, Error> {
        if !changetape_tape::tape_exists(path) {
            return Ok(Self { writer: None, base: None });
        }
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
        Ok(Self { writer: Some(options.tape.open(path)?), base })
    }

    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        self.writer.as_ref().and_then(TapeWriter::checkpoint)
    }

    /// Where the stream is to be opened: where the tape ends, or where a new one is to begin.
    pub(crate) fn plan(
        &self,
        path: &Path,
        options: &RecordOptions,
        identity: &Identity,
    ) -> Result<Plan, Error> {
        let checkpoint = self.checkpoint();
        let left = checkpoint.clone().filter(|_| options.continues == Continues::Since);
        let resume = match &left {
            Some(left) => elsewhere(path, left, &options.since)?,
            None => Start::choose(checkpoint.as_ref(), self.base, &options.since),
        };
        self.tell(options, left.as_ref());

        // A token belongs to its pipeline, and that to the server that the tape was made from.
        let (forms, version) = match &self.writer {
            Some(writer) => {
                let Metadata { stream, source, .. } = writer.metadata();
                (vec![stream.updates], &source.server_version)
            }
            None => (options.request.updates.candidates().to_vec(), &identity.server_version),
        };
        Ok(Plan { queries: queries(options, &forms, version), resume, left })
    }

    /// Says where the recording goes on; `left` is the end that it leaves.
    fn tell(&self, options: &RecordOptions, left: Option<&Checkpoint>) {
        let checkpoint = self.checkpoint();
        let is_told = options.base == TakeBase::First || checkpoint.is_none();
        if let Some(time) = self.base.filter(|_| is_told) {
            tracing::info!("the tape has its base, of {time}; events follow it");
        }
        if let Some(left) = left {
            tracing::info!("the tape ends before {}; the recording goes on elsewhere", left.next);
        } else if let Some(checkpoint) = checkpoint {
            tracing::info!(
                "the tape ends before {}; the recording continues there{}",
                checkpoint.next,
                if options.since == Since::Now { "" } else { ", whatever --since says" },
            );
        }
    }
}

/// How the stream of a session is to be opened.
pub(crate) struct Plan {
    /// The streams to try.
    queries: Vec<Query>,
    resume: Start,
    /// The tape's end, if the recording goes on elsewhere.
    left: Option<Checkpoint>,
}

impl Plan {
    pub(crate) async fn open(
        self,
        deployment: &Deployment,
        identity: &Identity,
        on_gap: OnGap,
    ) -> Result<(Query, Opened), Error> {
        let Self { queries, resume, left } = self;
        let (query, mut opened) =
            first_form(deployment, identity, queries, &resume, on_gap).await?;
        if let Some(left) = left {
            // Where the stream really begins: further on, if the source no longer had that place.
            let after = opened.gap.take().map_or(Edge::from(&opened.resume), |gap| gap.after);
            opened.gap = Some(gap(&Start::After(left.token), GapCause::Reset, after));
        }
        Ok((query, opened))
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
pub(crate) fn queries(options: &RecordOptions, forms: &[UpdateForm], version: &str) -> Vec<Query> {
    let query = |&form: &UpdateForm| {
        let stream = options.request.stream(form);
        let large_events = LargeEvents::of(&stream, version);
        Query { stream, large_events, fetch: options.fetch }
    };
    forms.iter().map(query).collect()
}

/// Opens the stream with the first form of updates that the server gives.
pub(crate) async fn first_form(
    deployment: &Deployment,
    identity: &Identity,
    queries: Vec<Query>,
    start: &Start,
    on_gap: OnGap,
) -> Result<(Query, Opened), Error> {
    let mut refused = None;
    for query in queries {
        match open(deployment, &query, start, on_gap).await {
            Ok(opened) => {
                if refused.is_some() {
                    tracing::warn!(
                        "{} does not show updates in their raw form; recording the public form, \
                         which cannot always be replayed exactly",
                        deployment.hosts()
                    );
                }
                return Ok((query, opened));
            }
            Err(Opening::Server(error)) if refuses_raw(query.stream.updates, &error) => {
                refused = Some(error);
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

/// Opens the stream, past what is lost if the user wants that; again, with more patience, where no
/// answer comes.
async fn open(
    deployment: &Deployment,
    query: &Query,
    start: &Start,
    on_gap: OnGap,
) -> Result<Opened, Opening> {
    let mut patience = Patience::with(deployment, query.fetch);
    loop {
        let opened = match Source::open(deployment, query, start, patience.now()).await {
            Ok(source) => {
                Ok(Opened { source, resume: start.clone(), gap: None, one_by_one: false })
            }
            Err(Opening::Server(error)) if on_gap == OnGap::Continue => {
                let place = Place { deployment, query, resume: start, one_by_one: false, patience };
                place.open_past(error).await
            }
            Err(opening) => Err(opening),
        };
        match opened {
            Err(Opening::Server(error)) if is_no_answer(&error) => {
                let answer = deployment.explain(error, "open the change stream");
                tracing::warn!("the change stream does not open: {answer}; trying again");
                patience.no_answer();
            }
            opened => return opened,
        }
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
pub(crate) fn metadata(identity: &Identity, stream: &StreamOptions) -> Metadata {
    Metadata {
        source: identity_of(identity),
        stream: stream.clone(),
        created_by: concat!("changetape ", env!("CARGO_PKG_VERSION")).to_owned(),
        created_at: bson::DateTime::now().into(),
    }
}
