//! Why a base could not be put in place.

use std::time::Duration;

use changetape_deployment::Refusal;
use thiserror::Error;

/// Something of a base that the target could not take.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The target understood and said no.
    #[error("{hosts} refused to {doing}: {refusal}")]
    Refused {
        /// `host:port`, comma-separated.
        hosts: String,
        /// What was attempted, as an infinitive.
        doing: String,
        /// The target's answer.
        refusal: Refusal,
    },
    /// Something that waiting does not mend.
    #[error("{hosts} could not {doing}")]
    Failed {
        /// `host:port`, comma-separated.
        hosts: String,
        /// What was attempted, as an infinitive.
        doing: String,
        /// The cause.
        source: changetape_deployment::Error,
    },
    /// The target went away and did not come back in time.
    #[error("the target was away for {} s, too long to go on waiting", waited.as_secs())]
    Away {
        /// How long the replay waited.
        waited: Duration,
        /// What stood in the way last.
        source: changetape_deployment::Error,
    },
    /// A standalone target went away in the middle of a command.
    #[error(
        "the connection to the target broke, and a standalone mongod cannot tell what it has done \
         of the command under way"
    )]
    Interrupted {
        /// What happened.
        source: changetape_deployment::Error,
    },
    /// The base and the target do not go together.
    #[error("could not {doing}: {reason}")]
    Impossible {
        /// What was attempted, as an infinitive.
        doing: String,
        /// Why not.
        reason: String,
    },
    /// The target answered, but not what was asked.
    #[error("{hosts} was to {doing} and gave an answer that makes no sense: {answer}")]
    Answer {
        /// `host:port`, comma-separated.
        hosts: String,
        /// What was attempted, as an infinitive.
        doing: String,
        /// The answer, shortened.
        answer: String,
    },
}
