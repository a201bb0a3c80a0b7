//! Commands as transactions, several of which run at the same time.
//!
//! They are executed first, and committed when all have been accepted: what is applied is then all that
//! was to be, or nothing. Each attempt has a session of its own. Where the answer to a commit is lost, the commit is sent
//! again, which the server answers as it did before, or says that there was none: then everything is
//! executed again. Source: the drivers' transactions specification.

use bson::Document;
use bson::raw::RawDocumentBuf;
use changetape_deployment::{Deployment, Topology, error_code, is_transient};
use futures_util::future::join_all;
use mongodb::ClientSession;
use mongodb::error::{Error, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use mongodb::options::WriteConcern;
use tokio::time::timeout;

use super::{Attempt, MAJORITY_WAIT, Patience, STOP_GRACE, Target, Trouble, Wait};
use crate::Stop;

/// `NoSuchTransaction`: the server has ended it.
const NO_SUCH_TRANSACTION: i32 = 251;

/// Commands, each for a database.
type Commands = Vec<(String, RawDocumentBuf)>;

/// What became of a transaction.
#[derive(Debug, Default)]
pub(in crate::sink::mongod) struct Transacted {
    /// To its commands.
    pub(in crate::sink::mongod) replies: Vec<Document>,
    /// Whether all of it is done; otherwise nothing is, and the last reply says why.
    pub(in crate::sink::mongod) is_committed: bool,
    /// Whether the server refused what no reply says.
    pub(in crate::sink::mongod) is_impossible: bool,
}

/// How far a transaction is, over all attempts.
enum Stage {
    NotBegun(EndedByServer),
    /// Its commands were executed, and accepted.
    Executed(Box<ClientSession>, Transacted, EndedByServer),
    /// It is not known whether it is committed.
    Committing(Box<ClientSession>, Transacted),
    Done(Transacted),
}

impl Default for Stage {
    fn default() -> Self {
        Self::NotBegun(EndedByServer::default())
    }
}

/// Whether the server has ended a transaction. Once a lost primary is enough for that; twice in a row
/// it takes longer than the server lets it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct EndedByServer(bool);

impl EndedByServer {
    /// Whether another attempt would be in vain, after one that has failed.
    pub(super) fn again(&mut self, error: &Error) -> bool {
        let ended = error_code(error) == Some(NO_SUCH_TRANSACTION);
        std::mem::replace(&mut self.0, ended) && ended
    }
}

impl Target {
    /// Whether commands can be run in transactions: see [`transact`](Self::transact).
    pub(in crate::sink::mongod) fn has_transactions(&self) -> bool {
        matches!(self.deployment.topology(), Topology::ReplicaSet(_))
    }

    /// Runs commands for documents in transactions, all of these at the same time. All of it is done,
    /// and once, or nothing: after the first reply of one that is not accepted, which is then its
    /// last, none is committed. (Unless one was already, and another was lost and is refused when it
    /// is executed again.)
    pub(in crate::sink::mongod) fn transact(
        &mut self,
        transactions: &[Commands],
        is_accepted: impl Fn(usize, usize, &Document) -> bool,
        stop: &Stop,
    ) -> Result<Vec<Transacted>, Trouble> {
        let mut stages: Vec<Stage> = transactions.iter().map(|_| Stage::default()).collect();
        let is_accepted = &is_accepted;
        self.persist(Patience::Bounded, stop, |target: &mut Self, wait: Wait<'_>| {
            let of = stages.iter_mut().zip(transactions).enumerate();
            let executed = of.map(|(number, (stage, commands))| {
                let is_accepted = move |at: usize, reply: &_| is_accepted(number, at, reply);
                stage.execute(&target.deployment, commands, is_accepted)
            });
            let executed = join_all(executed);
            let executed = async { executed.await.into_iter().collect::<Result<(), _>>() };
            match target.runtime.block_on(wait.for_answer(executed)) {
                Attempt::Answered(()) => {}
                attempt => {
                    // Whatever it holds may be what another waits for.
                    let set_back = join_all(stages.iter_mut().map(Stage::set_back));
                    target.runtime.block_on(set_back);
                    return attempt;
                }
            }
            let all = stages.iter().all(Stage::is_accepted);
            let ended = join_all(stages.iter_mut().map(|stage| stage.end(all)));
            let ended = async { ended.await.into_iter().collect::<Result<(), _>>() };
            target.runtime.block_on(wait.for_answer(ended))
        })?;
        let done = stages.into_iter().map(|stage| match stage {
            Stage::Done(transacted) => transacted,
            Stage::NotBegun(_) | Stage::Executed(..) | Stage::Committing(..) => {
                Transacted::default()
            }
        });
        Ok(done.collect())
    }
}

impl Stage {
    /// Whether nothing speaks against what it did.
    fn is_accepted(&self) -> bool {
        match self {
            Self::NotBegun(_) => false,
            Self::Executed(..) | Self::Committing(..) => true,
            Self::Done(transacted) => transacted.is_committed,
        }
    }

    /// Executes it, unless it has been; after an error it can be tried again.
    async fn execute(
        &mut self,
        deployment: &Deployment,
        commands: &Commands,
        is_accepted: impl Fn(usize, &Document) -> bool,
    ) -> Result<(), Error> {
        let Self::NotBegun(ended) = self else { return Ok(()) };
        let ended = *ended;
        match execute(deployment, commands, is_accepted).await {
            Ok((mut session, transacted)) => {
                *self = if transacted.is_committed {
                    Self::Executed(Box::new(session), transacted, ended)
                } else {
                    // After a failure the server has done so by itself, and says that it knows of none.
                    let _ = session.abort_transaction().await;
                    Self::Done(transacted)
                };
                Ok(())
            }
            Err(error) => self.begin_again(ended, error),
        }
    }

    /// Gives up what was executed and is not to be committed yet.
    async fn set_back(&mut self) {
        match std::mem::take(self) {
            Self::Executed(mut session, _, ended) => {
                let _ = timeout(STOP_GRACE, session.abort_transaction().into_future()).await;
                *self = Self::NotBegun(ended);
            }
            stage => *self = stage,
        }
    }

    /// Commits it if `all` were accepted, and aborts it otherwise.
    async fn end(&mut self, all: bool) -> Result<(), Error> {
        let (mut session, transacted, ended) = match std::mem::take(self) {
            Self::Executed(mut session, ..) if !all => {
                let _ = session.abort_transaction().await;
                *self = Self::Done(Transacted::default());
                return Ok(());
            }
            Self::Executed(session, transacted, ended) => (session, transacted, ended),
            Self::Committing(session, transacted) => {
                (session, transacted, EndedByServer::default())
            }
            stage @ (Self::NotBegun(_) | Self::Done(_)) => {
                *self = stage;
                return Ok(());
            }
        };
        match session.commit_transaction().await {
            Ok(()) => *self = Self::Done(transacted),
            Err(error) if error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) => {
                // What the server says to that next decides.
                *self = Self::Committing(session, transacted);
                return Err(error);
            }
            Err(error) => return self.begin_again(ended, error),
        }
        Ok(())
    }

    /// After an error: from the beginning, unless that would be in vain.
    fn begin_again(&mut self, mut ended: EndedByServer, error: Error) -> Result<(), Error> {
        if ended.again(&error) {
            *self = Self::Done(Transacted { is_impossible: true, ..Transacted::default() });
            return Ok(());
        }
        *self = Self::NotBegun(ended);
        Err(error)
    }
}

/// Begins a transaction, in a session of its own from the driver's pool: one that is dropped half-way
/// is aborted.
pub(super) async fn begin(deployment: &Deployment) -> Result<ClientSession, Error> {
    let mut session = deployment.client().start_session().await?;
    let mut concern = WriteConcern::majority();
    concern.w_timeout = Some(MAJORITY_WAIT);
    session.start_transaction().write_concern(concern).await?;
    Ok(session)
}

/// Executes the commands; what is then to be committed says so.
async fn execute(
    deployment: &Deployment,
    commands: &Commands,
    is_accepted: impl Fn(usize, &Document) -> bool,
) -> Result<(ClientSession, Transacted), Error> {
    let mut session = begin(deployment).await?;
    let mut transacted = Transacted::default();
    for (number, (db, command)) in commands.iter().enumerate() {
        let database = deployment.client().database(db);
        match database.run_raw_command(command.clone()).session(&mut session).await {
            Ok(reply) => {
                let accepted = is_accepted(number, &reply);
                transacted.replies.push(reply);
                if !accepted {
                    return Ok((session, transacted));
                }
            }
            Err(error) if is_transient(&error) => return Err(error),
            Err(error) => {
                tracing::debug!("no transaction takes it: {error}");
                transacted.is_impossible = true;
                return Ok((session, transacted));
            }
        }
    }
    transacted.is_committed = true;
    Ok((session, transacted))
}
