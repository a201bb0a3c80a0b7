//! Events applied in runs, one command after the other.

use super::refused::Resolved;
use super::reply::Reply;
use super::run::{MAX_STATEMENTS, Run, Terms};
use super::statement::Effect;
use super::target::Trouble;
use super::{Halt, MongodSink, Subject};
use crate::page::Outgoing;
use crate::summary::Tally;
use crate::{Error, Stop};

impl MongodSink {
    /// Applies as many events, from the first on, which changes a document, as one command takes.
    pub(super) fn run(
        &mut self,
        due: &[Outgoing<'_>],
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<usize, Halt> {
        let Some(subject) = due.first().map(Subject::of).transpose()?.flatten() else {
            return Ok(1);
        };
        let mut prepared = 0;
        loop {
            let taken = self.change(due, &subject, &mut prepared, tally, stop)?;
            if let Some(last) = taken.checked_sub(1) {
                let seq = due.get(last).map_or(subject.seq, |last| last.seq);
                self.keep_progress(seq, stop)?;
                return Ok(taken);
            }
        }
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
