//! Why an event could not be applied, and how far the target is right.

use std::time::Duration;

use changetape_core::{Namespace, OperationType, Seq};
use changetape_deployment::Refusal;
use thiserror::Error;

/// An event that could not be applied. Every message says up to where the target is right.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The target understood and said no.
    #[error(
        "{hosts} refused the {operation} at {seq} on {namespace}: {refusal}; \
         everything before {seq} is applied"
    )]
    Refused {
        /// `host:port`, comma-separated.
        hosts: String,
        /// The event's operation.
        operation: OperationType,
        /// The event.
        seq: Seq,
        /// Where it was to be applied.
        namespace: Namespace,
        /// The target's answer.
        refusal: Refusal,
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
            Self::Refused { seq, .. }
            | Self::Failed { seq, .. }
            | Self::Away { seq, .. }
            | Self::Interrupted { seq, .. }
            | Self::Answer { seq, .. } => *seq,
        }
    }
}
