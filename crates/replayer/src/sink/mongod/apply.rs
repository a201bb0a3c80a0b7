//! What is applied next, and how: a recorded transaction, a window, a run, or an event by itself.

use super::atomic::Recorded;
use super::recorded::{Front, Transactions};
use super::{Halt, MongodSink, Subject, split};
use crate::page::Outgoing;
use crate::summary::Tally;
use crate::{Error, Stop, Transaction};

impl MongodSink {
    /// What becomes of recorded transactions on this target.
    pub(super) fn recorded(&self) -> Transactions {
        if self.target.has_transactions() { self.recorded } else { Transactions::Off }
    }

    /// Tells which transactions ended among events that were applied like others.
    pub(super) fn tell_torn(&mut self, applied: &[Outgoing<'_>], tally: &mut Tally) {
        for outgoing in applied {
            match outgoing.transaction {
                Transaction::None => {}
                Transaction::Continues => {
                    self.tearing.get_or_insert(outgoing.seq);
                }
                Transaction::Ends => {
                    tally.tear(1, self.tearing.take().unwrap_or(outgoing.seq));
                }
            }
        }
    }

    /// Applies as many events, from the first on, as are done at once.
    pub(super) fn apply(
        &mut self,
        due: &[Outgoing<'_>],
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<usize, Halt> {
        let recorded = self.recorded();
        self.apply_front(due, recorded, Self::apply_plain, tally, stop)
    }

    /// Applies what is next: a recorded transaction as one, or other events, which `plain` applies.
    fn apply_front(
        &mut self,
        due: &[Outgoing<'_>],
        recorded: Transactions,
        plain: impl FnOnce(&mut Self, &[Outgoing<'_>], &mut Tally, &Stop) -> Result<usize, Halt>,
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<usize, Halt> {
        match Front::of(due, recorded) {
            Front::Plain(events) => plain(self, due.get(..events).unwrap_or(due), tally, stop),
            Front::Transaction(events) => {
                let transaction = due.get(..events).unwrap_or(due);
                self.apply_transaction(&Recorded::Held(transaction), tally, stop)?;
                Ok(events)
            }
        }
    }

    /// The same of events that may be regrouped.
    pub(super) fn apply_plain(
        &mut self,
        due: &[Outgoing<'_>],
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<usize, Halt> {
        let Some(first) = due.first() else { return Ok(0) };
        let Some(subject) = changing(first, tally)? else { return Ok(1) };
        if !subject.operation.is_document_change() {
            self.define(first, &subject, tally, stop)?;
            self.keep_progress(subject.seq, stop)?;
            return Ok(1);
        }
        if self.target.has_transactions() {
            let taken = self.transact(due, &subject, tally, stop)?;
            if taken > 0 {
                return Ok(taken);
            }
        } else {
            self.regrouping(&subject.namespace, &subject, stop)?;
        }
        self.apply_separately(due, tally, stop)
    }

    /// Applies a run of events, or a recorded transaction.
    pub(super) fn apply_separately(
        &mut self,
        due: &[Outgoing<'_>],
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<usize, Halt> {
        let recorded = self.recorded().separately();
        self.apply_front(due, recorded, Self::run, tally, stop)
    }
}

/// What an event is about that changes something. One that is a part of an event is skipped.
pub(super) fn changing(
    outgoing: &Outgoing<'_>,
    tally: &mut Tally,
) -> Result<Option<Subject>, Error> {
    if let Some(reason) = split(&outgoing.event).map_err(Error::event(outgoing.seq))? {
        tally.skip(outgoing.seq, reason);
        return Ok(None);
    }
    Subject::of(outgoing)
}
