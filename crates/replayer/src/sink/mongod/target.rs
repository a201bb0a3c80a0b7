//! `Target`: running commands on the deployment, through outages.
//!
//! One session, one command at a time, or transactions with sessions of their own. What gets no
//! answer, or the answer that this node is not the primary (any more), is sent again until it is
//! answered, a stop is requested or the longest outage has passed since the target last answered.
//! Commands for documents outside of transactions carry a number, by which the server knows what it
//! has executed already; commands for collections are such that finding their work done is no failure
//! (see `definition`).

mod look;
mod steps;
mod transaction;

use std::cell::Cell;
use std::pin::pin;
use std::time::{Duration, Instant};

use bson::raw::RawDocumentBuf;
use bson::{Document, rawdoc};
use changetape_core::raw::{DocumentWriter, kind};
use changetape_deployment::{Deployment, Error, Refusal, Topology, error_code, is_transient};
use mongodb::ClientSession;
use tokio::runtime::Handle;

pub(super) use look::batch;
pub(super) use steps::{Broken, Steps, Verdict};

use super::definition::Quorum;
use super::reply;
use crate::Stop;
use crate::clock::SLICE;

/// How long to wait for a target that has gone away, unless told otherwise: several times
/// what an election takes, and what a restart takes.
pub(super) const MAX_OUTAGE: Duration = Duration::from_secs(60);

/// How often a transaction may be lost in its middle, each time by another outage.
const LOST_AT_MOST: u32 = 5;

/// How long an answer may take once a stop is requested. What is under way is then nearly
/// always done, and the summary exact.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Pauses between attempts, from the first to the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// `WriteConflict`: another transaction holds a document.
const WRITE_CONFLICT: i32 = 112;

/// How long another transaction is waited for. That of a replay that was killed the server ends
/// after `transactionLifetimeLimitSeconds`, a minute, and looks for such every half of it.
const LONGEST_CONFLICT: Duration = Duration::from_secs(120);
const CONFLICT_PAUSE: Duration = Duration::from_millis(50);

/// After how long that is told. Transactions of the same window may both be about to create their
/// collection, and then one waits for a moment.
const CONFLICT_TOLD: Duration = Duration::from_secs(2);

/// How long the server waits for a majority before it says that there is none; the command is then
/// sent again, which waits anew.
const MAJORITY_WAIT: Duration = Duration::from_secs(10);

/// Write concern errors after which the same command is sent again: no majority in time
/// (64), and a primary that is one no longer, or is shutting down.
const TRY_AGAIN: [i32; 8] = [64, 91, 189, 10107, 11600, 11602, 13435, 13436];

/// The deployment that events are applied to.
pub(super) struct Target {
    deployment: Deployment,
    session: ClientSession,
    runtime: Handle,
    /// The number of the next command for documents; `None` where the server keeps no
    /// account of them.
    next_transaction: Option<i64>,
    max_outage: Duration,
    /// When the last answer came to an attempt that waits for several.
    answered: Cell<Option<Instant>>,
}

/// Why a command was not done.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The server said no.
    Refused(Refusal),
    /// Something that waiting does not mend.
    Failed(Error),
    /// The target was away for too long.
    Away {
        /// How long it was waited for.
        waited: Duration,
        /// What stood in the way last.
        source: Error,
    },
    /// The connection broke, and the server cannot tell what it has done.
    Interrupted(Error),
    /// A stop was requested before there was an answer.
    Stopped,
}

/// The time in which nothing was answered, from the beginning of the first attempt that failed.
struct Outage {
    since: Instant,
    /// What stood in the way of the last attempt.
    cause: Error,
}

/// One attempt.
enum Attempt<T> {
    Answered(T),
    /// The server said no.
    Refused(Refusal),
    /// It is no majority's, or no primary any more.
    Away(Error),
    Failed(mongodb::error::Error),
    NoAnswer,
    Stopped,
}

/// How long an attempt waits for an answer.
#[derive(Clone, Copy)]
struct Wait<'a> {
    limit: Option<Instant>,
    stop: &'a Stop,
}

impl Wait<'_> {
    async fn for_answer<T>(
        self,
        answer: impl Future<Output = Result<T, mongodb::error::Error>>,
    ) -> Attempt<T> {
        let mut answer = pin!(answer);
        let mut stop_seen: Option<Instant> = None;
        loop {
            match tokio::time::timeout(SLICE, &mut answer).await {
                Ok(Ok(answer)) => return Attempt::Answered(answer),
                Ok(Err(error)) => return Attempt::Failed(error),
                Err(_) if self.stop.is_requested() => {
                    if stop_seen.get_or_insert_with(Instant::now).elapsed() >= STOP_GRACE {
                        return Attempt::Stopped;
                    }
                }
                Err(_) => {
                    if self.limit.is_some_and(|limit| Instant::now() >= limit) {
                        return Attempt::NoAnswer;
                    }
                }
            }
        }
    }
}

/// Whether an answer is waited for without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// As long as an outage may last: the work itself is short.
    Bounded,
    /// For ever: an index may take hours to build.
    Endless,
}

impl Target {
    pub(super) async fn new(deployment: Deployment) -> Result<Self, Error> {
        let session = deployment.client().start_session().await;
        let session = session.map_err(|error| deployment.explain(error, "start a session"))?;
        let next_transaction = (deployment.topology() != Topology::Standalone).then_some(1);
        let runtime = Handle::current();
        let (max_outage, answered) = (MAX_OUTAGE, Cell::default());
        Ok(Self { deployment, session, runtime, next_transaction, max_outage, answered })
    }

    pub(super) fn set_max_outage(&mut self, max_outage: Duration) {
        self.max_outage = max_outage;
    }

    /// Who must have built an index before it is there.
    pub(super) fn quorum(&self) -> Quorum {
        match self.deployment.topology() {
            Topology::Standalone => Quorum::Alone,
            Topology::ReplicaSet(_) | Topology::Sharded => Quorum::Majority,
        }
    }

    pub(super) fn hosts(&self) -> &str {
        self.deployment.hosts()
    }

    /// The number for the next command for documents.
    pub(super) fn next_transaction(&mut self) -> Option<i64> {
        let next = self.next_transaction?;
        self.next_transaction = Some(next + 1);
        Some(next)
    }

    /// Runs a command for documents.
    pub(super) fn write(
        &mut self,
        db: &str,
        command: &RawDocumentBuf,
        stop: &Stop,
    ) -> Result<Document, Trouble> {
        self.run(db, command, Patience::Bounded, stop)
    }

    /// Runs a command for collections or indexes.
    pub(super) fn define(
        &mut self,
        db: &str,
        command: &RawDocumentBuf,
        stop: &Stop,
    ) -> Result<Document, Trouble> {
        self.run(db, command, Patience::Endless, stop)
    }

    fn run(
        &mut self,
        db: &str,
        command: &RawDocumentBuf,
        patience: Patience,
        stop: &Stop,
    ) -> Result<Document, Trouble> {
        self.persist(patience, stop, |target: &mut Self, wait: Wait<'_>| {
            let database = target.deployment.client().database(db);
            let run = database.run_raw_command(command.clone()).session(&mut target.session);
            match target.runtime.block_on(wait.for_answer(run.into_future())) {
                Attempt::Answered(reply) => match concern(&reply) {
                    None => Attempt::Answered(reply),
                    Some(refusal) if TRY_AGAIN.contains(&refusal.code) => {
                        Attempt::Away(target.failed(&refusal.to_string()))
                    }
                    Some(refusal) => Attempt::Refused(refusal),
                },
                attempt => attempt,
            }
        })
    }

    /// Tries until there is an answer that waiting does not change.
    fn persist<T>(
        &mut self,
        patience: Patience,
        stop: &Stop,
        mut attempt: impl FnMut(&mut Self, Wait<'_>) -> Attempt<T>,
    ) -> Result<T, Trouble> {
        let mut outage: Option<Outage> = None;
        let mut conflict: Option<(Instant, bool)> = None;
        let (mut pause, mut begun_anew) = (PAUSES.0, 0);
        loop {
            let started = Instant::now();
            // An outage has its end, however many attempts it takes.
            let since = outage.as_ref().map_or(started, |outage| outage.since);
            let limit =
                since.checked_add(self.max_outage).filter(|_| patience == Patience::Bounded);
            self.answered.set(None);
            let attempted = attempt(self, Wait { limit, stop });
            let answered = self.answered.take();
            let conflicts = matches!(
                &attempted, Attempt::Failed(error) if error_code(error) == Some(WRITE_CONFLICT)
            );
            if !conflicts {
                conflict = None;
            }
            // It was there until the last answer, unless that goes on and on.
            let started = match answered {
                Some(answered) if !conflicts && begun_anew < LOST_AT_MOST => {
                    begun_anew += 1;
                    outage = None;
                    answered
                }
                _ => started,
            };
            let cause = match attempted {
                Attempt::Stopped => return Err(Trouble::Stopped),
                Attempt::Answered(answer) => {
                    if let Some(outage) = outage {
                        let away = outage.since.elapsed().as_secs_f64();
                        tracing::info!("the target is back after {away:.1} s");
                    }
                    return Ok(answer);
                }
                Attempt::Refused(refusal) => return Err(Trouble::Refused(refusal)),
                Attempt::Away(cause) => cause,
                Attempt::Failed(error) if conflicts => {
                    outage = None;
                    let source = self.deployment.explain(error, "apply events");
                    let (since, told) = conflict.get_or_insert((Instant::now(), false));
                    let waited = since.elapsed();
                    if waited >= LONGEST_CONFLICT {
                        return Err(Trouble::Away { waited, source });
                    }
                    if waited >= CONFLICT_TOLD && !std::mem::replace(told, true) {
                        tracing::warn!(
                            "a transaction is in the way, waiting for its end: {source}"
                        );
                    }
                    if !stop.sleep(CONFLICT_PAUSE) {
                        return Err(Trouble::Stopped);
                    }
                    continue;
                }
                Attempt::Failed(error) => {
                    let transient = is_transient(&error);
                    match self.deployment.explain(error, "apply events") {
                        cause if transient => cause,
                        Error::Refused { refusal, .. } => return Err(Trouble::Refused(refusal)),
                        cause => return Err(Trouble::Failed(cause)),
                    }
                }
                // The last attempt is cut short: what stood in the way before says more.
                Attempt::NoAnswer => match outage.take() {
                    Some(Outage { since, cause }) => {
                        return Err(Trouble::Away { waited: since.elapsed(), source: cause });
                    }
                    None => self.failed("no answer came"),
                },
            };
            if self.next_transaction.is_none() {
                return Err(Trouble::Interrupted(cause));
            }
            let since = if let Some(outage) = &outage {
                outage.since
            } else {
                tracing::warn!("the target is away, waiting for it: {cause}");
                // A command that may take hours was at work, not away.
                if patience == Patience::Bounded { started } else { Instant::now() }
            };
            let left = self.max_outage.saturating_sub(since.elapsed());
            if !stop.sleep(pause.min(left)) {
                return Err(Trouble::Stopped);
            }
            let waited = since.elapsed();
            if waited >= self.max_outage {
                return Err(Trouble::Away { waited, source: cause });
            }
            outage = Some(Outage { since, cause });
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    fn failed(&self, cause: &str) -> Error {
        Error::Failed {
            hosts: self.hosts().to_owned(),
            doing: "apply events".to_owned(),
            cause: cause.to_owned(),
        }
    }
}

/// Waits for a majority, so that what is acknowledged is never rolled back.
pub(super) fn write_concern(writer: &mut DocumentWriter) {
    writer.value(kind::DOCUMENT, b"writeConcern", majority().as_bytes());
}

/// The write concern of a majority.
pub(super) fn majority() -> RawDocumentBuf {
    let wait = i32::try_from(MAJORITY_WAIT.as_millis()).unwrap_or(i32::MAX);
    rawdoc! {"w": "majority", "wtimeout": wait}
}

fn concern(reply: &Document) -> Option<Refusal> {
    reply.get_document("writeConcernError").ok().map(reply::refusal)
}
