//! A window of events applied in transactions.
//!
//! All of a window is applied, and once, or nothing of it, whatever happens to the connection or to the
//! primary; and a server takes less of its time for it than for the same statements one command
//! after the other.
//!
//! What is not taken so is applied otherwise, step by step: with documents expected to be there; with
//! each collection's events in the order of the tape; in the end one command after the other in runs,
//! which end before the event that is at fault, and find out which documents are missing.

use bson::Document;
use changetape_core::Namespace;

use super::recorded::{self, Transactions};
use super::reply::{Reply, WriteError};
use super::run::{Run, Terms};
use super::target::Trouble;
use super::window::{Order, Regrouping, Rules, Share, Window};
use super::{Halt, MongodSink, Subject, progress};
use crate::page::Outgoing;
use crate::summary::Tally;
use crate::{Error, Stop};

/// What became of a share.
enum ShareOutcome {
    Done(Vec<Reply>),
    /// A document that was to be inserted is there.
    Taken,
    /// Something in it was refused, or a document was missing.
    Refused,
    /// No transaction takes it.
    Impossible,
}

impl ShareOutcome {
    /// What is to be said of two shares that are applied again together: what can be mended first.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Taken, _) | (_, Self::Taken) => Self::Taken,
            (Self::Refused, _) | (_, Self::Refused) => Self::Refused,
            (first, _) => first,
        }
    }
}

impl MongodSink {
    /// Applies a window of events. 0 taken if that is one command for what need not be there at once,
    /// which is as good by itself, or nothing that a transaction takes.
    pub(super) fn transact(
        &mut self,
        due: &[Outgoing<'_>],
        subject: &Subject,
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<usize, Halt> {
        let rules = self.rules();
        let regrouping = |ns: &Namespace| self.regrouping(ns, subject, stop);
        let mut window = Window::gather(due, rules, regrouping)?;
        let applied = due.get(..window.events).unwrap_or(due);
        let recorded = match rules.recorded {
            Transactions::Grouped => recorded::ended(applied),
            Transactions::Atomic | Transactions::Off => 0,
        };
        let goes_alone = window.is_one_run() && self.progress.is_none() && recorded == 0;
        if window.events == 0 || goes_alone {
            return Ok(0);
        }
        let outcomes = self.execute(&mut window.shares, due, subject, tally, stop)?;
        // What is done is told first: another may end the replay.
        let (mut left, mut why) = (Vec::new(), ShareOutcome::Impossible);
        for (share, outcome) in window.shares.iter().zip(outcomes) {
            match outcome {
                ShareOutcome::Done(replies) => {
                    self.settle_share(share, &replies, subject, tally, stop)?;
                }
                outcome => {
                    left.extend_from_slice(&share.events);
                    why = why.or(outcome);
                }
            }
        }
        // Together and in the order of the tape: what an error names is then the first that is not
        // applied.
        left.sort_unstable();
        let left: Vec<Outgoing<'_>> =
            left.into_iter().filter_map(|at| due.get(at).cloned()).collect();
        let is_whole = self.apply_left(&left, why, tally, stop)?;
        tally.transactions += if is_whole { recorded } else { 0 };
        Ok(window.events)
    }

    /// How events are gathered for windows.
    fn rules(&self) -> Rules {
        let (form, order, recorded) = (self.form, self.order, self.recorded());
        Rules { form, order, recorded, shares: self.workers }
    }

    /// Applies what transactions did not take; whether that was in one after all. Otherwise what
    /// was recorded as one has been told of.
    fn apply_left(
        &mut self,
        due: &[Outgoing<'_>],
        mut outcome: ShareOutcome,
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<bool, Halt> {
        let Some(subject) = due.first().map(Subject::of).transpose()?.flatten() else {
            return Ok(true);
        };
        let mut order = self.order;
        loop {
            match outcome {
                ShareOutcome::Done(_) => return Ok(true),
                ShareOutcome::Taken if !self.form.documents_exist => {
                    self.form.documents_exist = true;
                }
                // Another document may have to give up first what is unique.
                ShareOutcome::Taken | ShareOutcome::Refused if order == Order::Document => {
                    order = Order::Namespace;
                }
                _ => return self.apply_one_by_one(due, tally, stop).map(|()| false),
            }
            let rules = Rules { order, shares: 1, ..self.rules() };
            let regrouping = |ns: &Namespace| self.regrouping(ns, &subject, stop);
            let mut window = Window::gather(due, rules, regrouping)?;
            if window.events < due.len() {
                return self.apply_one_by_one(due, tally, stop).map(|()| false);
            }
            let outcomes = self.execute(&mut window.shares, due, &subject, tally, stop)?;
            outcome = match (window.shares.first(), outcomes.into_iter().next()) {
                (Some(share), Some(ShareOutcome::Done(replies))) => {
                    self.settle_share(share, &replies, &subject, tally, stop)?;
                    ShareOutcome::Done(replies)
                }
                (_, Some(outcome)) => outcome,
                _ => ShareOutcome::Impossible,
            };
        }
    }

    /// Applies events in runs, and recorded transactions each as one.
    fn apply_one_by_one(
        &mut self,
        due: &[Outgoing<'_>],
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<(), Halt> {
        let mut left = due;
        while !left.is_empty() {
            if stop.is_requested() {
                return Err(Halt::Stopped);
            }
            let taken = self.apply_separately(left, tally, stop)?;
            left = left.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Runs each share as a transaction.
    fn execute(
        &mut self,
        shares: &mut [Share],
        due: &[Outgoing<'_>],
        subject: &Subject,
        tally: &Tally,
        stop: &Stop,
    ) -> Result<Vec<ShareOutcome>, Halt> {
        let mut transactions = Vec::with_capacity(shares.len());
        for share in &mut *shares {
            let mut commands = Vec::with_capacity(share.groups.len());
            for group in &mut share.groups {
                let command = group.run.command(Terms::InTransaction);
                let command = command.map_err(Error::event(subject.seq))?;
                commands.push((group.namespace.db.clone(), command));
            }
            let last = share.events.last().and_then(|&last| due.get(last));
            if let Some((progress, last)) = self.progress.as_ref().zip(last) {
                let command = progress.command(Some(last.seq.next()), self.held.changed());
                commands.push((progress::DATABASE.to_owned(), command));
            }
            transactions.push(commands);
        }
        let lists = tally.wants_divergences();
        // Which document is missing is found out before a later event brings it.
        let is_accepted = |share: usize, group: usize, reply: &Document| {
            let Some(group) = shares.get(share).and_then(|share| share.groups.get(group)) else {
                return progress::is_kept(reply).is_ok();
            };
            Reply::read(reply).is_some_and(|reply| {
                let misses = |run: &Run| reply.n < run.wants() && (lists || run.prepares());
                reply.first_error().is_none() && !misses(&group.run)
            })
        };
        let done = self.target.transact(&transactions, is_accepted, stop);
        let done = done.map_err(|trouble| self.failure(subject, trouble))?;
        let mut outcomes = Vec::with_capacity(shares.len());
        for (share, transacted) in shares.iter().zip(&done) {
            // Behind the commands for documents comes that which keeps the progress.
            let groups = share.groups.len();
            if let Some(Err(reason)) = transacted.replies.get(groups).map(progress::is_kept) {
                return Err(self.not_done(progress::KEEP, subject.seq, reason));
            }
            let mut replies = Vec::with_capacity(groups);
            for reply in transacted.replies.iter().take(groups) {
                replies.push(Reply::read(reply).ok_or_else(|| self.nonsense(subject, reply))?);
            }
            let inserts =
                |at: usize| share.groups.get(at).is_some_and(|group| group.run.is_insert());
            let last = replies.len().checked_sub(1).filter(|&at| inserts(at));
            let error = last.and_then(|at| replies.get(at)?.first_error());
            outcomes.push(if transacted.is_committed {
                if let Some(last) = share.events.last().and_then(|&last| due.get(last)) {
                    self.has_kept(last.seq.next());
                }
                ShareOutcome::Done(replies)
            } else if transacted.is_impossible {
                ShareOutcome::Impossible
            } else if error.is_some_and(WriteError::is_taken_id) {
                ShareOutcome::Taken
            } else {
                ShareOutcome::Refused
            });
        }
        Ok(outcomes)
    }

    /// Tells what the replies say about the state of the target.
    fn settle_share(
        &mut self,
        share: &Share,
        replies: &[Reply],
        subject: &Subject,
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<(), Halt> {
        for (group, reply) in share.groups.iter().zip(replies) {
            let Some(first) = group.run.planned().first() else { continue };
            let namespace = group.namespace.clone();
            let subject = Subject { seq: first.seq, namespace, ..subject.clone() };
            self.settle(group.run.planned(), reply, &subject, tally, stop)?;
        }
        Ok(())
    }

    /// What a collection lets be done with its events. Until they are, nothing in it expires.
    pub(super) fn regrouping(
        &mut self,
        ns: &Namespace,
        subject: &Subject,
        stop: &Stop,
    ) -> Result<Regrouping, Halt> {
        if let Some(known) = self.regrouping.get(ns) {
            return Ok(*known);
        }
        let found = match self.target.collection(ns, stop) {
            Ok(Some(collection)) => {
                let indexes = self.target.indexes(ns, stop);
                let indexes = indexes.map_err(|trouble| self.failure(subject, trouble))?;
                self.hold_present(ns, &collection, &indexes, subject, stop)?;
                Regrouping::of(&collection, &indexes)
            }
            Ok(None) => Regrouping::Free,
            // Who may not look may not write either, which is to be said of an event.
            Err(Trouble::Refused(_)) => Regrouping::Alone,
            Err(trouble) => return Err(self.failure(subject, trouble)),
        };
        self.regrouping.insert(ns.clone(), found);
        Ok(found)
    }
}
