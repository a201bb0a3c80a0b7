//! The sink that applies events to a MongoDB deployment.
//!
//! ```text
//! due events ─┬► window (few commands) ─► transact (sessions, all or nothing) ─┬─► reply ─► tally
//!             ├► run (one command) ─────► target (one session, retries) ───────┤
//!             └► definition (DDL: one event, its own commands) ────────────────┘
//!                          what the target refuses ─► refused (end, leave out, ask)
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
mod identity;
mod progress;
mod public_update;
mod refused;
mod reply;
mod restore;
mod run;
mod settle;
mod statement;
mod target;
mod transact;
mod unsent;
mod window;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use changetape_core::{ChangeEvent, Namespace, OperationType, Seq};
use changetape_deployment::{Deployment, Topology};
use changetape_tape::Metadata;

use super::{Sink, Taken};
use crate::page::Outgoing;
use crate::summary::{Divergence, Tally};
use crate::{Coverage, Error, Progress, Restoration, Restored, Stop};
pub use error::TargetError;
use progress::Kept;
use refused::Resolved;
pub use refused::{Answer, Ask, OnError, RefusedEvent};
use reply::Reply;
pub use restore::RestoreError;
use run::{MAX_STATEMENTS, Run, Terms};
use statement::{Effect, Form};
use target::{Target, Trouble};
pub(super) use unsent::Unsent;
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
    on_error: OnError,
    /// How many events go into one command of a run: fewer after one was refused as a whole.
    at_most: usize,
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
        let (order, regrouping) = (Order::default(), HashMap::new());
        Ok(Self {
            target,
            form,
            order,
            regrouping,
            transactions: WORKERS.into(),
            progress: None,
            on_error: OnError::default(),
            at_most: MAX_STATEMENTS,
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

    /// What is done about an event that the target refuses; the replay ends there unless told.
    #[must_use]
    pub fn with_on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
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
        if let Some(reason) = split(&first.event).map_err(Error::event(first.seq))? {
            tally.skip(first.seq, reason);
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
        let plan =
            definition::plan(&outgoing.event, &subject.operation, &subject.namespace, quorum);
        let commands = match plan.map_err(Error::event(subject.seq))? {
            Plan::Commands(commands) => commands,
            Plan::Skip(reason) => {
                tally.skip(subject.seq, reason);
                return Ok(1);
            }
        };
        let mut already_so = false;
        for command in commands {
            let found = loop {
                match definition::execute(&mut self.target, &command, &subject.namespace, stop) {
                    Ok(found) => break found,
                    Err(Trouble::Refused(refusal)) => {
                        if self.refused(subject, refusal, tally, stop)? == Resolved::LeftOut {
                            return Ok(1);
                        }
                    }
                    Err(trouble) => return Err(self.failure(subject, trouble)),
                }
            };
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
        let due = due.get(..self.at_most).unwrap_or(due);
        let mut run = Run::gather(due, &subject.namespace, self.form, *prepared)?;
        let number = self.target.next_transaction();
        let command = run.command(Terms::Alone(number)).map_err(Error::event(subject.seq))?;
        let db = &subject.namespace.db;
        let reply = match self.target.write(db, &command, stop) {
            Ok(reply) => reply,
            Err(Trouble::Refused(refusal)) if run.planned().len() == 1 => {
                let resolved = self.refused(subject, refusal, tally, stop)?;
                return Ok(usize::from(resolved == Resolved::LeftOut));
            }
            Err(Trouble::Refused(_)) => {
                // Which event is at fault shows when the first is by itself.
                self.at_most = 1;
                return Ok(0);
            }
            Err(trouble) => return Err(self.failure(subject, trouble)),
        };
        let reply = Reply::read(&reply).ok_or_else(|| self.nonsense(subject, &reply))?;
        let done = match reply.first_error() {
            None => {
                self.at_most = (self.at_most * 2).min(MAX_STATEMENTS);
                run.planned().len()
            }
            Some(error) if run.is_insert() && error.is_taken_id() => {
                // A re-run, or a tape that begins earlier than the target's data ends.
                self.form.documents_exist = true;
                error.index
            }
            Some(error) => {
                // What comes before it is told first; it is then the first that is tried again.
                self.at_most = 1;
                if error.index == 0 {
                    let resolved = self.refused(subject, error.refusal.clone(), tally, stop)?;
                    return Ok(usize::from(resolved == Resolved::LeftOut));
                }
                error.index
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
}

impl Sink for MongodSink {
    fn begin(&mut self, tape: &Metadata) -> Result<(), Error> {
        self.form.post_images = post_images(tape);
        Ok(())
    }

    fn resume(&mut self, coverage: &Coverage) -> Result<Option<Seq>, Error> {
        let (progress, next) = Kept::resume(&self.target, coverage)?;
        self.progress = Some(progress);
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
        restore::restore(&mut self.target, base, progress, stop)
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
}

/// Why an event that the server had to split is skipped; `None` if it is whole.
fn split(event: &ChangeEvent<'_>) -> Result<Option<&'static str>, changetape_core::Error> {
    let is_part = event.document("splitEvent")?.is_some();
    Ok(is_part.then_some("the server split the event, and parts are not put together yet"))
}

/// Whether `fullDocument` of an update is its post-image.
fn post_images(tape: &Metadata) -> bool {
    matches!(tape.stream.full_document.as_deref(), Some("required" | "whenAvailable"))
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
