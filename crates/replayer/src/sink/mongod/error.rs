//! Why an event could not be applied, and how far the target is right.

use std::time::Duration;

use changetape_core::{Namespace, OperationType, Seq};
use thiserror::Error;

use super::target::Trouble;
use super::{Halt, MongodSink, RefusedEvent, Subject};
use crate::Error;

/// An event that could not be applied. Every message says up to where the target is right.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The target understood and said no.
    #[error(
        "{hosts} refused {event}{}; {}",
        event.advice().map(|advice| format!(": {advice}")).unwrap_or_default(),
        event.what_now()
    )]
    Refused {
        /// `host:port`, comma-separated.
        hosts: String,
        /// The event, and the target's answer.
        event: Box<RefusedEvent>,
    },
    /// The target did not do what no event asks for: keep the progress, hold expiries back.
    #[error("{hosts} did not {doing}: {reason}; everything before {seq} is applied")]
    NotDone {
        /// `host:port`, comma-separated.
        hosts: String,
        /// What was attempted, as an infinitive.
        doing: String,
        /// The first event that is not applied.
        seq: Seq,
        /// Why, in words.
        reason: String,
    },
    /// Something that waiting does not mend.
    #[error(
        "the {operation} at {seq} on {namespace} could not be applied; everything before {seq} is"
    )]
    Failed {
        /// The event's operation.
        operation: OperationType,
        /// The event.
        seq: Seq,
        /// Where it was to be applied.
        namespace: Namespace,
        /// The cause.
        source: changetape_deployment::Error,
    },
    /// The target went away and did not come back in time.
    #[error(
        "the target was away for {} s, too long to go on waiting: everything before {seq} is \
         applied, of what follows some may be; once it is back, replay from {seq}",
        waited.as_secs()
    )]
    Away {
        /// The first event that was not acknowledged.
        seq: Seq,
        /// How long the replay waited.
        waited: Duration,
        /// What stood in the way last.
        source: changetape_deployment::Error,
    },
    /// A standalone target went away in the middle of a command.
    #[error(
        "the connection to the target broke at {seq}, and a standalone mongod can tell neither \
         what it has done of the command under way nor promise to have kept what it did last; \
         replay into an empty one, or into a replica set"
    )]
    Interrupted {
        /// The first event that was not acknowledged.
        seq: Seq,
        /// What happened.
        source: changetape_deployment::Error,
    },
    /// The target answered, but not what was asked.
    #[error("{hosts} gave an answer to the {operation} at {seq} that makes no sense: {answer}")]
    Answer {
        /// `host:port`, comma-separated.
        hosts: String,
        /// The event's operation.
        operation: OperationType,
        /// The event.
        seq: Seq,
        /// The answer, shortened.
        answer: String,
    },
}

impl TargetError {
    /// The first event that is not, or perhaps not wholly, applied.
    #[must_use]
    pub fn seq(&self) -> Seq {
        match self {
            Self::Refused { event, .. } => event.transaction.unwrap_or(event.seq),
            Self::NotDone { seq, .. }
            | Self::Failed { seq, .. }
            | Self::Away { seq, .. }
            | Self::Interrupted { seq, .. }
            | Self::Answer { seq, .. } => *seq,
        }
    }
}

impl MongodSink {
    /// Names a failure after the event that it is, or begins with.
    pub(super) fn failure(&self, subject: &Subject, trouble: Trouble) -> Halt {
        let Subject { seq, operation, namespace, .. } = subject.clone();
        let error = match trouble {
            Trouble::Stopped => return Halt::Stopped,
            Trouble::Refused(refusal) => {
                let event = Box::new(subject.refused(refusal));
                TargetError::Refused { hosts: self.target.hosts().to_owned(), event }
            }
            Trouble::Failed(source) => TargetError::Failed { operation, seq, namespace, source },
            Trouble::Away { waited, source } => TargetError::Away { seq, waited, source },
            Trouble::Interrupted(source) => TargetError::Interrupted { seq, source },
        };
        Error::Target(Box::new(error)).into()
    }

    /// Names what was attempted for no event; everything before `seq` is applied.
    pub(super) fn unable(&self, doing: &str, seq: Seq, trouble: Trouble) -> Halt {
        let error = match trouble {
            Trouble::Stopped => return Halt::Stopped,
            Trouble::Refused(refusal) => return self.not_done(doing, seq, refusal.to_string()),
            Trouble::Failed(error) => return self.not_done(doing, seq, error.to_string()),
            Trouble::Away { waited, source } => TargetError::Away { seq, waited, source },
            Trouble::Interrupted(source) => TargetError::Interrupted { seq, source },
        };
        Error::Target(Box::new(error)).into()
    }

    /// The same, with the reason in words.
    pub(super) fn not_done(&self, doing: &str, seq: Seq, reason: String) -> Halt {
        let hosts = self.target.hosts().to_owned();
        not_done(hosts, doing, seq, reason)
    }

    /// Names an answer that makes no sense.
    pub(super) fn nonsense(&self, subject: &Subject, reply: &bson::Document) -> Error {
        nonsense(self.target.hosts(), subject, reply)
    }
}

/// What a target with these hosts did not do.
pub(super) fn not_done(hosts: String, doing: &str, seq: Seq, reason: String) -> Halt {
    let doing = doing.to_owned();
    Error::Target(Box::new(TargetError::NotDone { hosts, doing, seq, reason })).into()
}

/// An answer that makes no sense, of a target with these hosts.
pub(super) fn nonsense(hosts: &str, subject: &Subject, reply: &bson::Document) -> Error {
    let Subject { seq, operation, .. } = subject.clone();
    let answer = reply.to_string().chars().take(300).collect();
    Error::Target(Box::new(TargetError::Answer { hosts: hosts.to_owned(), operation, seq, answer }))
}
