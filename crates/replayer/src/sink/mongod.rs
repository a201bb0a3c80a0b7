//! The sink that applies events to a MongoDB deployment.
//!
//! ```text
//! due events ─┬► window (few commands) ─► transact (sessions, all or nothing) ─┬─► reply ─► tally
//!             ├► run (one command) ─────► target (one session, retries) ───────┤
//!             └► definition (DDL: one event, its own commands) ────────────────┘
//! base ────────► restore (before the first event) ──────────────────────────┘
//! ```
//! | event | command | if the target is in another state |
//! | --- | --- | --- |
//! | insert | `insert`; where documents turn out to be there, `update` with upsert | the document is replaced; *adapted* |
//! | update, raw diff | `update` with `$_internalApplyOplogUpdate` | a missing document is *divergent*, never made up |
//! | update, public, with post-image | `update` with upsert | the document is put in place; *adapted* |
//! | update, public | `update` with operators | the same as with a raw diff; always *inexact* |
//! | replace | `update` with upsert | the document is put in place; *adapted* |
//! | delete | `delete` | *adapted* |
//! | create, createIndexes, dropIndexes, modify, rename, drop, dropDatabase | the command of that name | see [`definition`] |
//! | invalidate | none: it says something of the stream, not of the data | |
//! | sharding, split events, what is not known | *skipped*, with the reason | |
//!
//! # Order
//! Events that change documents are applied in windows, a window after the other; within one they
//! are regrouped as far as [`Order`] and their collections allow (see [`window`]). Every other event
//! is by itself between two windows. What a transaction does not take is applied in runs: events
//! that follow one another, on one namespace and with one command, go together (see [`run`]).
//!
//! # Exactly once
//! A transaction is executed as a whole, or not; when the answer to its commit is lost, the commit is
//! sent again, and a majority has what is answered to be committed. The command of a run carries its
//! session's id and a transaction number of its own, as the drivers' retryable writes do, and waits
//! for a majority. When the primary is lost, the same command is sent again until it is answered:
//! statements that changed something are known to the new primary and are not executed twice, and
//! nothing that was acknowledged can be rolled back. Statements that changed nothing are not known,
//! and are executed again. As no other statement of the command is about the same document, they
//! find what they found before, change nothing again, and are answered, and counted, as they were.
//! (Unless someone else writes to the target.) A standalone mongod has no transactions and keeps no
//! such record: there a broken connection ends the replay ([`TargetError::Interrupted`]).

mod definition;
mod error;
mod held;
mod hold;
mod identity;
mod progress;
mod public_update;
mod reply;
mod restore;
mod run;
mod settle;
mod statement;
mod target;
mod transact;
mod window;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use changetape_core::{Namespace, OperationType, Seq};
use changetape_deployment::{Deployment, Topology};
use changetape_tape::Metadata;

use super::{Sink, Taken};
use crate::page::Outgoing;
use crate::summary::{Divergence, Tally};
use crate::{Completion, Coverage, Error, Expiries, Progress, Restoration, Restored, Stop};
pub use error::TargetError;
use held::Held;
use progress::Kept;
use reply::Reply;
pub use restore::RestoreError;
use run::{Run, Terms};
use statement::{Effect, Form};
use target::{Target, Trouble};
pub use window::Order;
use window::Regrouping;

/// How many transactions run at the same time, unless told: while one waits for a majority, the
/// server executes the other.
pub const WORKERS: u16 = 2;

/// Applies events to a MongoDB deployment.
pub struct MongodSink {
    target: Target,
    form: Form,
    order: Order,
    /// What the target's collections let be done, as far as it was asked since they may have
    /// changed.
    regrouping: HashMap<Namespace, Regrouping>,
    /// How many transactions run at the same time.
    transactions: usize,
    /// How far the replay has come, if the target is to keep it.
    progress: Option<Kept>,
    /// The expiries that are held back while the replay lasts.
    held: Held,
}

/// The event that a command is, or begins, and so what a failure is named after.
#[derive(Debug, Clone)]
struct Subject {
    seq: Seq,
    operation: OperationType,
    namespace: Namespace,
}

/// Why an event was not dealt with.
enum Halt {
    /// A stop was requested.
    Stopped,
    /// It cannot be.
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl MongodSink {
    /// A sink that applies to `deployment`. Must be called inside a multi-threaded tokio
    /// runtime, which must live as long as the sink.
    ///
    /// # Errors
    /// [`Error::Deployment`] if the deployment gives no session.
    pub async fn new(deployment: Deployment) -> Result<Self, Error> {
        let sharded = deployment.topology() == Topology::Sharded;
        let target = Target::new(deployment).await.map_err(Error::deployment)?;
        let form = Form { sharded, ..Form::default() };
        Ok(Self {
            target,
            form,
            order: Order::default(),
            regrouping: HashMap::new(),
            transactions: WORKERS.into(),
            progress: None,
            held: Held::default(),
        })
    }

    /// Which events keep the order that they have on the tape; those of one document unless told.
    #[must_use]
    pub fn with_order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// How long to wait for the target when it goes away; a minute unless told.
    #[must_use]
    pub fn with_max_outage(mut self, max_outage: Duration) -> Self {
        self.target.set_max_outage(max_outage);
        self
    }

    /// How many transactions apply events at the same time; [`WORKERS`] unless told.
    #[must_use]
    pub fn with_workers(mut self, workers: NonZeroUsize) -> Self {
        self.transactions = workers.get();
        self
    }

    /// Applies as many events, from the first on, as are done at once.
    fn apply(
        &mut self,
        due: &[Outgoing<'_>],
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<usize, Halt> {
        let Some(first) = due.first() else { return Ok(0) };
        if first.event.document("splitEvent").map_err(Error::event(first.seq))?.is_some() {
            tally.skip(first.seq, "the server split the event, and parts are not put together yet");
            return Ok(1);
        }
        let Some(subject) = Subject::of(first)? else { return Ok(1) };
        if !subject.operation.is_document_change() {
            let taken = self.define(first, &subject, tally, stop)?;
            self.keep_progress(&subject, stop)?;
            return Ok(taken);
        }
        if self.target.has_transactions() {
            let taken = self.transact(due, &subject, tally, stop)?;
            if taken > 0 {
                return Ok(taken);
            }
        } else {
            self.regrouping(&subject.namespace, &subject, stop)?;
        }
        self.run(due, tally, stop)
    }

    /// Applies as many events, from the first on, which changes a document, as one command takes.
    fn run(&mut self, due: &[Outgoing<'_>], tally: &mut Tally, stop: &Stop) -> Result<usize, Halt> {
        let Some(subject) = due.first().map(Subject::of).transpose()?.flatten() else {
            return Ok(due.len());
        };
        let mut prepared = 0;
        loop {
            let taken = self.change(due, &subject, &mut prepared, tally, stop)?;
            if let Some(last) = taken.checked_sub(1) {
                let seq = due.get(last).map_or(subject.seq, |last| last.seq);
                self.keep_progress(&Subject { seq, ..subject }, stop)?;
                return Ok(taken);
            }
        }
    }

    /// Runs the command of one event that is not about documents.
    fn define(
        &mut self,
        outgoing: &Outgoing<'_>,
        subject: &Subject,
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<usize, Halt> {
        use definition::{Found, Plan};
        self.regrouping.clear();
        let quorum = self.target.quorum();
        let held = self.hold_back(&outgoing.event, subject, stop)?;
        let event = held.as_ref().unwrap_or(&outgoing.event);
        let plan = definition::plan(event, &subject.operation, &subject.namespace, quorum);
        let commands = match plan.map_err(Error::event(subject.seq))? {
            Plan::Commands(commands) => commands,
            Plan::Skip(reason) => {
                tally.skip(subject.seq, reason);
                return Ok(1);
            }
        };
        let mut already_so = false;
        for command in commands {
            let found = definition::execute(&mut self.target, &command, &subject.namespace, stop);
            let found = found.map_err(|trouble| self.failure(subject, trouble))?;
            self.follow(event, subject, found, stop)?;
            match found {
                Found::AsExpected => {}
                Found::AlreadySo => already_so = true,
                Found::Divergent(found) => {
                    tally.diverge(1);
                    let (seq, namespace) = (subject.seq, subject.namespace.clone());
                    tally.list(Divergence { seq, namespace, found });
                }
            }
        }
        tally.adapt(u64::from(already_so));
        Ok(1)
    }

    /// Runs one command's worth of document changes; 0 taken if they have to be offered
    /// again, in another form or because more statements of the first are `prepared`.
    fn change(
        &mut self,
        due: &[Outgoing<'_>],
        subject: &Subject,
        prepared: &mut usize,
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<usize, Halt> {
        let mut run = Run::gather(due, &subject.namespace, self.form, *prepared)?;
        let number = self.target.next_transaction();
        let command = run.command(Terms::Alone(number)).map_err(Error::event(subject.seq))?;
        let db = &subject.namespace.db;
        let reply = self.target.write(db, &command, stop);
        let reply = reply.map_err(|trouble| self.failure(subject, trouble))?;
        let reply = Reply::read(&reply).ok_or_else(|| self.nonsense(subject, &reply))?;
        let done = match reply.first_error() {
            None => run.planned().len(),
            Some(error) if run.is_insert() && error.is_taken_id() => {
                // A re-run, or a tape that begins earlier than the target's data ends.
                self.form.documents_exist = true;
                error.index
            }
            Some(error) => {
                let at = run.planned().get(error.index).and_then(|planned| due.get(planned.event));
                let subject = match at {
                    Some(outgoing) => Subject::of(outgoing)?.unwrap_or_else(|| subject.clone()),
                    None => subject.clone(),
                };
                return Err(self.failure(&subject, Trouble::Refused(error.refusal.clone())));
            }
        };
        let planned = run.planned().get(..done).unwrap_or_default();
        if planned.iter().any(|planned| planned.effect == Effect::Prepare) {
            // Alone in its run. If its document is missing, the event's `Update` will say so.
            *prepared += 1;
            return Ok(0);
        }
        self.settle(planned, &reply, subject, tally, stop)?;
        Ok(planned.last().map_or(0, |last| last.event + 1))
    }

    fn failure(&self, subject: &Subject, trouble: Trouble) -> Halt {
        let Subject { seq, operation, namespace } = subject.clone();
        let error = match trouble {
            Trouble::Stopped => return Halt::Stopped,
            Trouble::Refused(refusal) => {
                let hosts = self.target.hosts().to_owned();
                TargetError::Refused { hosts, operation, seq, namespace, refusal }
            }
            Trouble::Failed(source) => TargetError::Failed { operation, seq, namespace, source },
            Trouble::Away { waited, source } => TargetError::Away { seq, waited, source },
            Trouble::Interrupted(source) => TargetError::Interrupted { seq, source },
        };
        Error::Target(Box::new(error)).into()
    }

    fn nonsense(&self, subject: &Subject, reply: &bson::Document) -> Error {
        let Subject { seq, operation, .. } = subject.clone();
        let answer = reply.to_string().chars().take(300).collect();
        let hosts = self.target.hosts().to_owned();
        Error::Target(Box::new(TargetError::Answer { hosts, operation, seq, answer }))
    }
}

impl MongodSink {
    /// Keeps that an event is applied, and everything before it, if progress is kept.
    fn keep_progress(&mut self, done: &Subject, stop: &Stop) -> Result<(), Halt> {
        let Some(progress) = &self.progress else { return Ok(()) };
        let command = progress.command(Some(done.seq.next()), self.held.changed());
        let kept = self.target.write(progress::DATABASE, &command, stop);
        kept.map_err(|trouble| self.failure(done, trouble))?;
        self.held.is_changed = false;
        Ok(())
    }
}

impl Sink for MongodSink {
    fn begin(&mut self, tape: &Metadata) -> Result<(), Error> {
        let full_document = tape.stream.full_document.as_deref();
        self.form.post_images = matches!(full_document, Some("required" | "whenAvailable"));
        Ok(())
    }

    fn resume(&mut self, coverage: &Coverage) -> Result<Option<Seq>, Error> {
        let (progress, next, held) = Kept::resume(&self.target, coverage)?;
        (self.progress, self.held) = (Some(progress), held);
        // Everything before one place is applied, and nothing behind it.
        self.transactions = 1;
        Ok(next)
    }

    fn restore(
        &mut self,
        base: &Restoration,
        progress: &Progress,
        stop: &Stop,
    ) -> Result<Restored, Error> {
        restore::restore(&mut self.target, &mut self.held, base, progress, stop)
    }

    fn deliver(
        &mut self,
        due: &[Outgoing<'_>],
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<Taken, Error> {
        match self.apply(due, tally, stop) {
            Ok(taken) => Ok(Taken::Events(taken)),
            Err(Halt::Stopped) => Ok(Taken::Stopped),
            Err(Halt::Failed(error)) => Err(error),
        }
    }

    fn release(&mut self, completion: Completion, stop: &Stop) -> Expiries {
        self.let_go(completion, stop)
    }
}

impl Subject {
    /// What an event is about; `None` if it is about nothing (`invalidate`).
    fn of(outgoing: &Outgoing<'_>) -> Result<Option<Self>, Error> {
        let bad = Error::event(outgoing.seq);
        let operation = outgoing.event.operation_type().map_err(&bad)?;
        if operation == OperationType::Invalidate {
            return Ok(None);
        }
        let namespace = outgoing.event.namespace().map_err(&bad)?;
        let namespace = match namespace {
            Some(namespace) => namespace,
            // What is not known is skipped, whatever it lacks.
            None if matches!(operation, OperationType::Other(_)) => Namespace::database(""),
            None => return Err(bad(changetape_core::Error::MissingField { field: "ns" })),
        };
        Ok(Some(Self { seq: outgoing.seq, operation, namespace }))
    }
}
