//! One transaction whose commands come bit by bit, and depend on what the ones before were answered.
//!
//! Whoever makes the commands makes them again, from the first on, if the transaction has to be
//! executed once more. Otherwise as in [`transaction`](super::transaction).

use std::time::Instant;

use bson::Document;
use bson::raw::RawDocumentBuf;
use changetape_deployment::{self as deployment, Refusal, error_code, is_transient};
use mongodb::ClientSession;
use mongodb::error::{Error, UNKNOWN_TRANSACTION_COMMIT_RESULT};

use super::transaction::{EndedByServer, begin};
use super::{Attempt, Patience, STOP_GRACE, Target, Trouble, Wait};
use crate::Stop;

/// A transaction under way.
pub(in crate::sink::mongod) struct Steps<'a> {
    target: &'a Target,
    session: ClientSession,
    wait: Wait<'a>,
}

/// What is to become of a transaction whose commands were executed.
pub(in crate::sink::mongod) enum Verdict<T> {
    Commit(T),
    Abort(T),
}

/// Why a transaction was left in the middle.
pub(in crate::sink::mongod) enum Broken {
    Failed(Error),
    NoAnswer,
    Stopped,
}

impl Steps<'_> {
    /// Runs a command for documents.
    pub(in crate::sink::mongod) fn run(
        &mut self,
        db: &str,
        command: RawDocumentBuf,
    ) -> Result<Document, Broken> {
        // It may have very many.
        if self.wait.stop.is_requested() {
            return Err(Broken::Stopped);
        }
        let database = self.target.deployment.client().database(db);
        let run = database.run_raw_command(command).session(&mut self.session);
        match self.target.runtime.block_on(self.wait.for_answer(run.into_future())) {
            Attempt::Answered(reply) => {
                let now = Instant::now();
                self.target.answered.set(Some(now));
                self.wait.limit = now.checked_add(self.target.max_outage);
                Ok(reply)
            }
            Attempt::Failed(error) => {
                if error_code(&error).is_some() && self.target.answered.get().is_some() {
                    self.target.answered.set(Some(Instant::now()));
                }
                Err(Broken::Failed(error))
            }
            Attempt::Stopped => Err(Broken::Stopped),
            Attempt::NoAnswer | Attempt::Refused(_) | Attempt::Away(_) => Err(Broken::NoAnswer),
        }
    }

    /// What the server says to a command that waiting does not help.
    pub(in crate::sink::mongod) fn refusal(&self, error: Error) -> Result<Refusal, String> {
        match self.target.deployment.explain(error, "apply a transaction") {
            deployment::Error::Refused { refusal, .. } => Ok(refusal),
            error => Err(error.to_string()),
        }
    }

    fn abort(mut self) {
        let abort = async {
            tokio::time::timeout(STOP_GRACE, self.session.abort_transaction().into_future()).await
        };
        // After a failure the server has done so by itself, and says that it knows of none.
        let _ = self.target.runtime.block_on(abort);
    }
}

impl Target {
    /// Runs the commands that `work` makes as a transaction: all of them, and once, or none. If no
    /// transaction takes one of them, the server's words are given back.
    pub(in crate::sink::mongod) fn transact_in_steps<T>(
        &mut self,
        mut work: impl FnMut(&mut Steps<'_>) -> Result<Verdict<T>, Broken>,
        stop: &Stop,
    ) -> Result<Result<T, String>, Trouble> {
        let mut executed: Option<(ClientSession, T)> = None;
        let mut ended = EndedByServer::default();
        self.persist(Patience::Bounded, stop, |target: &mut Self, wait: Wait<'_>| {
            let mut again = |error: Error| {
                if ended.again(&error) {
                    return Attempt::Answered(Err(target.words(error)));
                }
                Attempt::Failed(error)
            };
            let (mut session, wait, done) = match executed.take() {
                Some((session, done)) => (session, wait, done),
                None => match target.execute(wait, &mut work) {
                    Ok((steps, Verdict::Commit(done))) => (steps.session, steps.wait, done),
                    Ok((steps, Verdict::Abort(done))) => {
                        steps.abort();
                        return Attempt::Answered(Ok(done));
                    }
                    Err(Broken::Stopped) => return Attempt::Stopped,
                    Err(Broken::NoAnswer) => return Attempt::NoAnswer,
                    Err(Broken::Failed(error)) if is_transient(&error) => return again(error),
                    Err(Broken::Failed(error)) => {
                        return Attempt::Answered(Err(target.words(error)));
                    }
                },
            };
            let committed = target
                .runtime
                .block_on(wait.for_answer(session.commit_transaction().into_future()));
            match committed {
                Attempt::Answered(()) => Attempt::Answered(Ok(done)),
                Attempt::Failed(error) => {
                    if error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) {
                        // What the server says to that next decides.
                        executed = Some((session, done));
                    }
                    again(error)
                }
                Attempt::Refused(refusal) => Attempt::Refused(refusal),
                Attempt::Away(cause) => Attempt::Away(cause),
                Attempt::NoAnswer => Attempt::NoAnswer,
                Attempt::Stopped => Attempt::Stopped,
            }
        })
    }

    /// Executes a transaction, which is not committed yet.
    fn execute<'a, T>(
        &'a self,
        wait: Wait<'a>,
        work: &mut impl FnMut(&mut Steps<'_>) -> Result<Verdict<T>, Broken>,
    ) -> Result<(Steps<'a>, Verdict<T>), Broken> {
        let begun = self.runtime.block_on(begin(&self.deployment));
        let mut steps = Steps { target: self, session: begun.map_err(Broken::Failed)?, wait };
        match work(&mut steps) {
            Ok(verdict) => Ok((steps, verdict)),
            Err(broken) => {
                // Nobody is to wait for its end who plays the rest.
                if let Broken::Stopped = broken {
                    steps.abort();
                }
                Err(broken)
            }
        }
    }

    fn words(&self, error: Error) -> String {
        self.deployment.explain(error, "apply a transaction").to_string()
    }
}
