//! The sink that applies events to a MongoDB deployment.
//!
//! ```text
//! due events ─┬► recorded transaction ─► atomic (one session, all or nothing) ────┬─► reply ─► tally
//!             ├► window (few commands) ─► transact (sessions, all or nothing) ───┤
//!             ├► run (one command) ─────► in_runs ─► target (one session) ───────┤
//!             └► definition (its own commands) ─► define ─► target ──────────────┘
//!                          what the target refuses ─► refused (end, leave out, ask)
//! base ────────► restore (before the first event)
//! what would expire ─► held, hold (until the replay is over)
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
//! is by itself between two windows, and so is what was recorded as one transaction (see [`atomic`]),
//! unless [`Transactions`] says otherwise. What no transaction takes is applied in runs: events that
//! follow one another, on one namespace and with one command, go together (see [`run`]).
//!
//! # Exactly once
//! A window is executed as a whole, or not; when the answer to a commit is lost, the commit is sent
//! again, and a majority has what is answered to be committed. The command of a run carries its
//! session's id and a transaction number of its own, as the drivers' retryable writes do, and waits
//! for a majority. When the primary is lost, the same command is sent again until it is answered:
//! statements that changed something are known to the new primary and are not executed twice, and
//! nothing that was acknowledged can be rolled back. Statements that changed nothing are not known,
//! and are executed again. As no other statement of the command is about the same document, they
//! find what they found before, change nothing again, and are answered, and counted, as they were.
//! (Unless someone else writes to the target.) A standalone mongod has no transactions and keeps no
//! such record: there a broken connection ends the replay ([`TargetError::Interrupted`]).

mod apply;
mod atomic;
mod define;
mod definition;
mod error;
mod held;
mod hold;
mod identity;
mod in_runs;
mod progress;
mod public_update;
mod recorded;
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
use changetape_tape::{Metadata, TapeReader};

use super::{Sink, Taken, deliver_in_parts};
use crate::conversion;
use crate::page::{LongTransaction, Outgoing};
use crate::summary::Tally;
use crate::{Completion, Coverage, Error, Expiries, Extent, Progress, Restoration, Restored, Stop};
use atomic::Recorded;
pub use error::TargetError;
use held::Held;
pub(crate) use progress::DATABASE;
use progress::Kept;
pub use recorded::Transactions;
pub use refused::{Answer, Ask, OnError, RefusedEvent};
pub use restore::RestoreError;
use run::MAX_STATEMENTS;
use statement::Form;
use target::Target;
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
    recorded: Transactions,
    /// Where the transaction begins whose events are being applied like others.
    tearing: Option<Seq>,
    /// What the target's collections let be done, as far as it was asked since they may have
    /// changed.
    regrouping: HashMap<Namespace, Regrouping>,
    /// How many transactions run at the same time.
    workers: usize,
    /// How far the replay has come, if the target is to keep it.
    progress: Option<Kept>,
    on_error: OnError,
    /// How many events go into one command of a run: fewer after one was refused as a whole.
    at_most: usize,
    /// The expiries that are held back while the replay lasts.
    held: Held,
}

/// The event that a command is, or begins, and so what a failure is named after.
#[derive(Debug, Clone)]
struct Subject {
    seq: Seq,
    operation: OperationType,
    namespace: Namespace,
    /// Where the transaction begins that it is applied in, if that is a recorded one.
    transaction: Option<Seq>,
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
            recorded: Transactions::default(),
            tearing: None,
            regrouping: HashMap::new(),
            workers: WORKERS.into(),
            progress: None,
            on_error: OnError::default(),
            at_most: MAX_STATEMENTS,
            held: Held::default(),
        })
    }

    /// Which events keep the order that they have on the tape; those of one document unless told.
    #[must_use]
    pub fn with_order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// What becomes of recorded transactions; each is one on the target unless told.
    #[must_use]
    pub fn with_transactions(mut self, recorded: Transactions) -> Self {
        self.recorded = recorded;
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
        self.workers = workers.get();
        self
    }

    /// What is done about an event that the target refuses; the replay ends there unless told.
    #[must_use]
    pub fn with_on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }
}

impl Sink for MongodSink {
    fn begin(&mut self, tape: &Metadata) -> Result<(), Error> {
        self.form.post_images = post_images(tape);
        Ok(())
    }

    /// Where a collection becomes capped, the order shows in which its documents came into it.
    fn look_ahead(&mut self, tape: &TapeReader) -> Result<(), Error> {
        if self.order == Order::Document && conversion::any(tape)? {
            tracing::info!(
                "a collection becomes capped: each collection's events keep their order"
            );
            self.order = Order::Namespace;
        }
        Ok(())
    }

    fn resume(&mut self, coverage: &Coverage) -> Result<Option<Seq>, Error> {
        let (progress, held) = Kept::resume(&self.target, coverage)?;
        let next = progress.next();
        (self.progress, self.held) = (Some(progress), held);
        // Everything before one place is applied, and nothing behind it.
        self.workers = 1;
        Ok(next)
    }

    fn reach(&mut self, next: Seq, stop: &Stop) -> Result<(), Error> {
        if self.progress.as_ref().is_none_or(|progress| progress.next() >= Some(next)) {
            return Ok(());
        }
        match self.keep(Some(next), stop, next) {
            Err(Halt::Failed(error)) => Err(error),
            Ok(()) | Err(Halt::Stopped) => Ok(()),
        }
    }

    fn start_over(&mut self, coverage: &Coverage, from: Seq, stop: &Stop) -> Result<(), Error> {
        match progress::forget(&mut self.target, coverage, stop) {
            Ok(held) => {
                self.held = held;
                Ok(())
            }
            Err(trouble) => match self.unable("forget how far a replay had come", from, trouble) {
                Halt::Stopped => Ok(()),
                Halt::Failed(error) => Err(error),
            },
        }
    }

    fn restore(
        &mut self,
        base: &Restoration,
        progress: &Progress,
        stop: &Stop,
    ) -> Result<Restored, Error> {
        let restored = restore::restore(&mut self.target, &mut self.held, base, progress, stop)?;
        if restored.extent == Extent::Whole {
            match self.keep(Some(base.next()), stop, base.next()) {
                Ok(()) => {}
                Err(Halt::Stopped) => return Ok(Restored { extent: Extent::Part, ..restored }),
                Err(Halt::Failed(error)) => return Err(error),
            }
        }
        Ok(restored)
    }

    fn deliver(
        &mut self,
        due: &[Outgoing<'_>],
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<Taken, Error> {
        match self.apply(due, tally, stop) {
            Ok(taken) => {
                if self.recorded != self.recorded() {
                    self.tell_torn(due.get(..taken).unwrap_or(due), tally);
                }
                Ok(Taken::Events(taken))
            }
            Err(Halt::Stopped) => Ok(Taken::Stopped),
            Err(Halt::Failed(error)) => Err(error),
        }
    }

    fn deliver_from_tape(
        &mut self,
        transaction: &LongTransaction<'_>,
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<Taken, Error> {
        if self.recorded() == Transactions::Off {
            if self.recorded != Transactions::Off {
                tally.tear(1, transaction.first());
            }
            return deliver_in_parts(self, transaction, tally, stop);
        }
        match self.apply_transaction(&Recorded::OnTape(transaction), tally, stop) {
            Ok(()) => Ok(Taken::Events(1)),
            Err(Halt::Stopped) => Ok(Taken::Stopped),
            Err(Halt::Failed(error)) => Err(error),
        }
    }

    fn release(&mut self, completion: Completion, stop: &Stop) -> Expiries {
        self.let_go(completion, stop)
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
        Ok(Some(Self { seq: outgoing.seq, operation, namespace, transaction: None }))
    }
}
