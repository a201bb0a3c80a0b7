//! A recorded transaction applied as one.
//!
//! ```text
//! creates, by themselves ─► begin ─► window, window, … (few commands each) ─► commit
//! ```
//! It is tried as windows are, in few commands. Where a document is missing or something is refused,
//! it is tried once more with a command for each event, which tells which one it is; one that is
//! missing is counted. One that is refused ends the replay, and nothing of the transaction is there; or
//! it is left out, and all others are there at once.
//! Its events may be more than memory has room for: they are read again for each attempt.
//!
//! A transaction may create collections and indexes. They are created before it, and empty: a target
//! need not be able to do so within one, and there is nothing of the data to be seen in them.
//!
//! What no transaction takes (a capped collection; more than the target has time or room for) is
//! applied as other events are, and told as *torn*.

use std::collections::BTreeSet;
use std::convert::identity;

use bson::raw::RawDocumentBuf;
use changetape_core::Seq;
use changetape_deployment::{Refusal, is_transient};

use super::apply::changing;
use super::error::{nonsense, not_done};
use super::progress;
use super::recorded::Transactions;
use super::refused::Resolved;
use super::reply::Reply;
use super::run::Terms;
use super::settle::{MISSING, tell};
use super::statement::Form;
use super::target::{Broken, Steps, Trouble, Verdict};
use super::window::{Group, Order, Regrouping, Rules, Window};
use super::{Halt, MongodSink, Subject, split};
use crate::page::{LongTransaction, Outgoing};
use crate::summary::{Divergence, Tally};
use crate::{Error, Stop};

/// What no transaction takes: `OperationNotSupportedInTransaction`, which a write to a capped collection
/// is, for one, and `TransactionTooLargeForCache`.
const IMPOSSIBLE: [i32; 2] = [263, 388];

/// The events of one transaction.
#[derive(Debug)]
pub(super) enum Recorded<'t> {
    Held(&'t [Outgoing<'t>]),
    OnTape(&'t LongTransaction<'t>),
}

/// What a transaction is about.
struct Outline {
    /// The first event that changes a document; none may.
    first: Option<Subject>,
    /// The last event, whatever it is.
    last: Seq,
}

/// How a transaction is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Care {
    /// In few commands.
    Grouped,
    /// With a command for each event, in the order of the tape.
    OneByOne,
}

/// What came of trying.
enum Outcome {
    /// What is to be told, and how documents are to be put in place from now on.
    Done(Box<Tally>, Form),
    /// A document is there that was to be inserted: now it is known that they may be.
    Taken,
    /// Something is amiss, and another look has to tell where.
    Look,
    /// The target said no to that event.
    Refused(Subject, Refusal),
    /// No transaction takes an event of it.
    Impossible(String),
    /// An event cannot be read, or makes no sense.
    Failed(Halt),
}

impl Recorded<'_> {
    fn each(&self, take: &mut dyn FnMut(&[Outgoing<'_>]) -> bool) -> Result<(), Error> {
        match self {
            Self::Held(events) => {
                take(events);
                Ok(())
            }
            Self::OnTape(transaction) => transaction.each(take),
        }
    }

    /// The same, with what may fail.
    fn try_each(
        &self,
        mut take: impl FnMut(&[Outgoing<'_>]) -> Result<(), Halt>,
    ) -> Result<(), Halt> {
        let mut result = Ok(());
        self.each(&mut |events| {
            result = take(events);
            result.is_ok()
        })?;
        result
    }
}

impl MongodSink {
    /// Applies all of a transaction, or nothing of it.
    pub(super) fn apply_transaction(
        &mut self,
        recorded: &Recorded<'_>,
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<(), Halt> {
        let Outline { first, last } = self.define_first(recorded, tally, stop)?;
        let Some(first) = first else { return self.keep_progress(last, stop) };
        let (mut care, mut left_out) = (Care::Grouped, BTreeSet::new());
        loop {
            let ends = (first.transaction.unwrap_or(first.seq), last);
            let stepped = self.try_transaction(recorded, care, &left_out, ends, tally, stop);
            let stepped = stepped.map_err(|trouble| self.failure(&first, trouble))?;
            match stepped.unwrap_or_else(Outcome::Impossible) {
                Outcome::Done(told, form) => {
                    self.form = form;
                    self.has_kept(last.next());
                    tally.merge(*told);
                    tally.transactions += 1;
                    return Ok(());
                }
                Outcome::Taken => self.form.documents_exist = true,
                Outcome::Look => care = Care::OneByOne,
                Outcome::Refused(at, refusal) => {
                    let at = Subject { transaction: first.transaction, ..at };
                    if self.refused(&at, refusal, tally, stop)? == Resolved::LeftOut {
                        left_out.insert(at.seq);
                    }
                }
                Outcome::Impossible(reason) => {
                    let at = first.transaction.unwrap_or(first.seq);
                    tracing::warn!("no transaction takes the one that begins at {at}: {reason}");
                    tally.tear(1, at);
                    return self.apply_torn(recorded, &left_out, tally, stop);
                }
                Outcome::Failed(halt) => return Err(halt),
            }
        }
    }

    /// Deals with all events that change no document.
    fn define_first(
        &mut self,
        recorded: &Recorded<'_>,
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<Outline, Halt> {
        let (mut begins, mut outline) = (None, Outline { first: None, last: Seq::ZERO });
        recorded.try_each(|events| {
            for outgoing in events {
                let transaction = Some(*begins.get_or_insert(outgoing.seq));
                outline.last = outgoing.seq;
                let Some(subject) = changing(outgoing, tally)? else { continue };
                let subject = Subject { transaction, ..subject };
                if subject.operation.is_document_change() {
                    // What would expire is held back when its collection is met.
                    self.regrouping(&subject.namespace, &subject, stop)?;
                    outline.first.get_or_insert(subject);
                } else {
                    self.define(outgoing, &subject, tally, stop)?;
                }
            }
            Ok(())
        })?;
        Ok(outline)
    }

    fn try_transaction(
        &mut self,
        recorded: &Recorded<'_>,
        care: Care,
        left_out: &BTreeSet<Seq>,
        (begins, last): (Seq, Seq),
        tally: &Tally,
        stop: &Stop,
    ) -> Result<Result<Outcome, String>, Trouble> {
        let Self { target, form, order, progress, held, .. } = self;
        let progress =
            progress.as_ref().map(|progress| progress.command(Some(last.next()), held.changed()));
        let order = if care == Care::OneByOne { Order::Global } else { *order };
        let rules = Rules { form: *form, order, recorded: Transactions::Off, shares: 1 };
        let lists = tally.wants_divergences();
        let hosts = target.hosts().to_owned();
        target.transact_in_steps(
            |steps| {
                let (told, form) = (Tally::default(), rules.form);
                let hosts = &hosts;
                let attempt = Attempt { hosts, begins, rules, care, left_out, lists, told, form };
                attempt.run(recorded, progress.as_ref(), steps)
            },
            stop,
        )
    }

    /// Applies the events of a transaction as others are; those that change no document were dealt
    /// with.
    fn apply_torn(
        &mut self,
        recorded: &Recorded<'_>,
        left_out: &BTreeSet<Seq>,
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<(), Halt> {
        let asked = std::mem::replace(&mut self.recorded, Transactions::Off);
        let result = recorded.try_each(|events| {
            let mut left = events;
            while let Some(first) = left.first() {
                if stop.is_requested() {
                    return Err(Halt::Stopped);
                }
                if left_out.contains(&first.seq) || is_done(first)? {
                    left = left.get(1..).unwrap_or_default();
                    continue;
                }
                let refused = left.iter().position(|event| left_out.contains(&event.seq));
                let reach = left.get(..refused.unwrap_or(left.len())).unwrap_or(left);
                let taken = self.apply_plain(reach, tally, stop)?;
                left = left.get(taken..).unwrap_or_default();
            }
            Ok(())
        });
        self.recorded = asked;
        result
    }
}

/// One attempt, from the first event on.
struct Attempt<'a> {
    hosts: &'a str,
    /// Where the transaction begins.
    begins: Seq,
    rules: Rules,
    care: Care,
    /// What was refused before.
    left_out: &'a BTreeSet<Seq>,
    /// Whether divergences are still listed one by one.
    lists: bool,
    told: Tally,
    form: Form,
}

impl Attempt<'_> {
    /// Executes everything.
    fn run(
        mut self,
        recorded: &Recorded<'_>,
        progress: Option<&RawDocumentBuf>,
        steps: &mut Steps<'_>,
    ) -> Result<Verdict<Outcome>, Broken> {
        let mut ended = Ok(None);
        let read = recorded.each(&mut |events| {
            ended = self.execute(events, steps);
            matches!(ended, Ok(None))
        });
        if let Some(outcome) = ended? {
            return Ok(Verdict::Abort(outcome));
        }
        if let Err(error) = read {
            return Ok(Verdict::Abort(Outcome::Failed(error.into())));
        }
        if let Some(progress) = progress {
            let kept = match steps.run(progress::DATABASE, progress.clone()) {
                Err(Broken::Failed(error)) if !is_transient(&error) => {
                    Err(steps.refusal(error).map_or_else(identity, |refusal| refusal.to_string()))
                }
                reply => progress::is_kept(&reply?),
            };
            if let Err(reason) = kept {
                let hosts = self.hosts.to_owned();
                let halt = not_done(hosts, progress::KEEP, self.begins, reason);
                return Ok(Verdict::Abort(Outcome::Failed(halt)));
            }
        }
        Ok(Verdict::Commit(Outcome::Done(Box::new(self.told), self.form)))
    }

    /// Executes a part; what came of it, if that is the end.
    fn execute(
        &mut self,
        events: &[Outgoing<'_>],
        steps: &mut Steps<'_>,
    ) -> Result<Option<Outcome>, Broken> {
        let mut left = events;
        while let Some(first) = left.first() {
            if self.left_out.contains(&first.seq) {
                left = left.get(1..).unwrap_or_default();
                continue;
            }
            let reach = left.get(..self.reach(left)).unwrap_or(left);
            let window =
                Window::gather(reach, self.rules, |_| Ok::<_, Error>(Regrouping::Together));
            let mut window = match window {
                Ok(window) => window,
                Err(error) => return Ok(Some(Outcome::Failed(error.into()))),
            };
            for group in window.shares.iter_mut().flat_map(|share| &mut share.groups) {
                let ended = self.execute_group(group, reach, steps)?;
                if ended.is_some() {
                    return Ok(ended);
                }
            }
            // What changes no document was dealt with before.
            left = left.get(window.events.max(1)..).unwrap_or_default();
        }
        Ok(None)
    }

    /// How many of the events at the front go into few commands together. What comes before an event
    /// that was refused has been executed one by one before.
    fn reach(&self, left: &[Outgoing<'_>]) -> usize {
        let known = self.left_out.last();
        let is_new = |event: &Outgoing<'_>| known.is_none_or(|known| event.seq > *known);
        match self.care {
            Care::Grouped => left.len(),
            Care::OneByOne if left.first().is_none_or(is_new) => 1,
            Care::OneByOne => {
                let end = left.iter().position(|event| self.left_out.contains(&event.seq));
                end.unwrap_or(left.len())
            }
        }
    }

    /// What a refusal means.
    fn refused(&self, at: Subject, refusal: Refusal) -> Outcome {
        match self.care {
            _ if IMPOSSIBLE.contains(&refusal.code) => Outcome::Impossible(refusal.to_string()),
            Care::Grouped => Outcome::Look,
            Care::OneByOne => Outcome::Refused(at, refusal),
        }
    }

    fn execute_group(
        &mut self,
        group: &mut Group,
        events: &[Outgoing<'_>],
        steps: &mut Steps<'_>,
    ) -> Result<Option<Outcome>, Broken> {
        let first = group.run.planned().first().and_then(|first| events.get(first.event));
        let first = match first.map(Subject::of).transpose() {
            Ok(Some(Some(first))) => first,
            Ok(_) => return Ok(None),
            Err(error) => return Ok(Some(Outcome::Failed(error.into()))),
        };
        let command = match group.run.command(Terms::InTransaction) {
            Ok(command) => command,
            Err(error) => return Ok(Some(Outcome::Failed(Error::event(first.seq)(error).into()))),
        };
        let answer = match steps.run(&group.namespace.db, command) {
            Err(Broken::Failed(error)) if !is_transient(&error) => {
                return Ok(Some(match steps.refusal(error) {
                    Ok(refusal) => self.refused(first, refusal),
                    Err(reason) => Outcome::Impossible(reason),
                }));
            }
            answer => answer?,
        };
        let Some(reply) = Reply::read(&answer) else {
            let error = nonsense(self.hosts, &first, &answer);
            return Ok(Some(Outcome::Failed(error.into())));
        };
        if let Some(error) = reply.first_error() {
            if group.run.is_insert() && error.is_taken_id() {
                return Ok(Some(Outcome::Taken));
            }
            let at = group.run.planned().get(error.index);
            let at = at.and_then(|planned| events.get(planned.event)).map(Subject::of);
            let at = at.transpose().ok().flatten().flatten().unwrap_or(first);
            return Ok(Some(self.refused(at, error.refusal.clone())));
        }
        let (planned, ns) = (group.run.planned(), &group.namespace);
        let missing = tell(planned, &reply, ns, &mut self.form, &mut self.told);
        match self.care {
            _ if missing == 0 => {}
            Care::Grouped if self.lists || group.run.prepares() => return Ok(Some(Outcome::Look)),
            Care::Grouped => self.told.diverge(missing),
            Care::OneByOne if group.run.planned().len() > 1 && !group.run.prepares() => {
                // They were named when each was by itself.
                self.told.diverge(missing);
            }
            Care::OneByOne => {
                // However many statements it has.
                self.told.diverge(1);
                let Subject { seq, namespace, .. } = first;
                self.told.list(Divergence { seq, namespace, found: MISSING });
            }
        }
        Ok(None)
    }
}

/// Whether an event was dealt with before: it changes no document, or is only a part of an event.
fn is_done(outgoing: &Outgoing<'_>) -> Result<bool, Error> {
    let bad = Error::event(outgoing.seq);
    let is_part = split(&outgoing.event).map_err(&bad)?.is_some();
    Ok(is_part || !outgoing.event.operation_type().map_err(&bad)?.is_document_change())
}
