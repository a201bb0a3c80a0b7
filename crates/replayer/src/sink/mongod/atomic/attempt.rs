//! One attempt to execute a recorded transaction.

use std::collections::BTreeSet;
use std::convert::identity;
use std::mem;

use bson::raw::RawDocumentBuf;
use changetape_core::Seq;
use changetape_deployment::{Refusal, is_transient};

use super::Recorded;
use crate::Error;
use crate::page::Outgoing;
use crate::sink::mongod::error::{nonsense, not_done};
use crate::sink::mongod::reply::Reply;
use crate::sink::mongod::run::Terms;
use crate::sink::mongod::settle::{MISSING, tell};
use crate::sink::mongod::statement::Form;
use crate::sink::mongod::target::{Broken, Steps, Verdict};
use crate::sink::mongod::window::{Group, Regrouping, Rules, Window};
use crate::sink::mongod::{Halt, Subject, progress};
use crate::summary::{Divergence, Tally};

/// What no transaction takes: `OperationNotSupportedInTransaction`, which a write to a capped collection
/// is, for one, and `TransactionTooLargeForCache`.
const IMPOSSIBLE: [i32; 2] = [263, 388];

/// How a transaction is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// In few commands.
    Grouped,
    /// With a command for each event, in the order of the tape.
    OneByOne,
}

/// What came of trying.
pub(super) enum Outcome {
    /// What is to be told, and how documents are to be put in place from now on.
    Done(Box<Tally>, Form),
    /// A document is there that was to be inserted: now it is known that they may be.
    Taken,
    /// Something is amiss, and another look has to tell where.
    Look,
    /// The target said no to that event, in an attempt that had this to tell of those before it.
    Refused(Subject, Refusal, Diverged),
    /// No transaction takes an event of it.
    Impossible(String),
    /// An event cannot be read, or makes no sense.
    Failed(Halt),
}

/// Events that could not have their effect: they could not in a later attempt either, and are told
/// once.
#[derive(Debug, Default)]
pub(super) struct Diverged {
    events: u64,
    listed: Vec<Divergence>,
}

impl Diverged {
    /// Tells what was found in earlier attempts.
    pub(super) fn tell(self, tally: &mut Tally) {
        tally.diverge(self.events);
        self.listed.into_iter().for_each(|divergence| tally.list(divergence));
    }

    pub(super) fn merge(&mut self, later: Self) {
        self.events += later.events;
        self.listed.extend(later.listed);
    }
}

/// One attempt, from the first event on.
pub(super) struct Attempt<'a> {
    pub(super) hosts: &'a str,
    /// Where the transaction begins.
    pub(super) begins: Seq,
    pub(super) rules: Rules,
    pub(super) care: Care,
    /// What was refused before.
    pub(super) left_out: &'a BTreeSet<Seq>,
    /// Whether divergences are still listed one by one.
    pub(super) lists: bool,
    pub(super) told: Tally,
    pub(super) form: Form,
}

impl Attempt<'_> {
    /// Executes everything.
    pub(super) fn run(
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

    /// Whether an event comes before one that was refused: then it has been executed by itself before.
    fn is_known(&self, seq: Seq) -> bool {
        self.left_out.last().is_some_and(|&last| seq <= last)
    }

    /// How many of the events at the front go into few commands together.
    fn reach(&self, left: &[Outgoing<'_>]) -> usize {
        match self.care {
            Care::Grouped => left.len(),
            Care::OneByOne if left.first().is_none_or(|event| !self.is_known(event.seq)) => 1,
            Care::OneByOne => {
                let end = left.iter().position(|event| self.left_out.contains(&event.seq));
                end.unwrap_or(left.len())
            }
        }
    }

    /// What a refusal means.
    fn refused(&mut self, at: Subject, refusal: Refusal) -> Outcome {
        match self.care {
            _ if IMPOSSIBLE.contains(&refusal.code) => Outcome::Impossible(refusal.to_string()),
            Care::Grouped => Outcome::Look,
            Care::OneByOne => {
                let Tally { divergent, divergences, .. } = mem::take(&mut self.told);
                let diverged = Diverged { events: divergent, listed: divergences };
                Outcome::Refused(at, refusal, diverged)
            }
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
            _ if missing == 0 || self.is_known(first.seq) => {}
            Care::Grouped if self.lists || group.run.prepares() => return Ok(Some(Outcome::Look)),
            Care::Grouped => self.told.diverge(missing),
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
