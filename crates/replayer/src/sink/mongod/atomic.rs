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

mod attempt;

use std::collections::BTreeSet;

use changetape_core::Seq;

use super::apply::changing;
use super::recorded::Transactions;
use super::refused::Resolved;
use super::target::Trouble;
use super::window::{Order, Rules};
use super::{Halt, MongodSink, Subject, split};
use crate::page::{LongTransaction, Outgoing};
use crate::summary::Tally;
use crate::{Error, Stop};
use attempt::{Attempt, Care, Diverged, Outcome};

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
        let mut diverged = Diverged::default();
        loop {
            let ends = (first.transaction.unwrap_or(first.seq), last);
            let stepped = self.try_transaction(recorded, care, &left_out, ends, tally, stop);
            let stepped = stepped.map_err(|trouble| self.failure(&first, trouble))?;
            match stepped.unwrap_or_else(Outcome::Impossible) {
                Outcome::Done(told, form) => {
                    self.form = form;
                    self.has_kept(last.next());
                    diverged.tell(tally);
                    tally.merge(*told);
                    tally.transactions += 1;
                    return Ok(());
                }
                Outcome::Taken => self.form.documents_exist = true,
                Outcome::Look => care = Care::OneByOne,
                Outcome::Refused(at, refusal, found) => {
                    let at = Subject { transaction: first.transaction, ..at };
                    if self.refused(&at, refusal, tally, stop)? == Resolved::LeftOut {
                        left_out.insert(at.seq);
                        diverged.merge(found);
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

/// Whether an event was dealt with before: it changes no document, or is only a part of an event.
fn is_done(outgoing: &Outgoing<'_>) -> Result<bool, Error> {
    let bad = Error::event(outgoing.seq);
    let is_part = split(&outgoing.event).map_err(&bad)?.is_some();
    Ok(is_part || !outgoing.event.operation_type().map_err(&bad)?.is_document_change())
}
