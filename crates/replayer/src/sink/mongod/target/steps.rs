//! One transaction whose commands come bit by bit, and depend on what the ones before were answered.
//!
//! Whoever makes the commands makes them again, from the first on, if the transaction has to be
//! executed once more. Otherwise as in [`transaction`](super::transaction).

use bson::Document;
use bson::raw::RawDocumentBuf;
use changetape_deployment::is_transient;
use mongodb::ClientSession;
use mongodb::error::{Error, UNKNOWN_TRANSACTION_COMMIT_RESULT};

use super::transaction::{EndedByServer, begin};
use super::{Attempt, Patience, Target, Trouble, Wait};
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
        let database = self.target.deployment.client().database(db);
        let run = database.run_raw_command(command).session(&mut self.session);
        match self.target.runtime.block_on(self.wait.for_answer(run.into_future())) {
            Attempt::Answered(reply) => Ok(reply),
            Attempt::Failed(error) => Err(Broken::Failed(error)),
            Attempt::Stopped => Err(Broken::Stopped),
            Attempt::NoAnswer | Attempt::Refused(_) | Attempt::Away(_) => Err(Broken::NoAnswer),
        }
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
            let (mut session, done) = match executed.take() {
                Some(executed) => executed,
                None => match target.execute(wait, &mut work) {
                    Ok((session, Verdict::Commit(done))) => (session, done),
                    Ok((mut session, Verdict::Abort(done))) => {
                        target.abort(&mut session);
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
    fn execute<T>(
        &self,
        wait: Wait<'_>,
        work: &mut impl FnMut(&mut Steps<'_>) -> Result<Verdict<T>, Broken>,
    ) -> Result<(ClientSession, Verdict<T>), Broken> {
        let begun = self.runtime.block_on(begin(&self.deployment));
        let mut steps = Steps { target: self, session: begun.map_err(Broken::Failed)?, wait };
        match work(&mut steps) {
            Ok(verdict) => Ok((steps.session, verdict)),
            Err(broken) => {
                self.abort(&mut steps.session);
                Err(broken)
            }
        }
    }

    fn words(&self, error: Error) -> String {
        self.deployment.explain(error, "apply a transaction").to_string()
    }

    fn abort(&self, session: &mut ClientSession) {
        // After a failure the server has done so by itself, and says that it knows of none.
        let _ = self.runtime.block_on(session.abort_transaction().into_future());
    }
}
