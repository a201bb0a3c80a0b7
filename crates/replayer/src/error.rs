//! Why a replay could not begin or go on.

use std::path::PathBuf;

use changetape_core::{Namespace, Seq};
use thiserror::Error;

use crate::sink::mongod::TargetError;

/// A replay that cannot begin or go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// Text that is no speed: the user's mistake.
    #[error(
        "{input:?} is not a speed: expected a factor above 0 such as 1x, 0.5x, 10x or 2, or max"
    )]
    BadSpeed {
        /// The text.
        input: String,
    },
    /// Text that is no sink: the user's mistake.
    #[error(
        "{input:?} is not a sink: expected mongodb://…, mongodb+srv://…, - (standard output), \
         file:PATH or null:"
    )]
    BadSink {
        /// The text, without any password.
        input: String,
    },
    /// Text that is no mapping, or mappings that contradict each other: the user's mistake.
    #[error(
        "the mapping {rule:?} cannot be used: {reason}; expected db.collection=db.collection, \
         or db=db (also written db.*=db.*) for a whole database"
    )]
    BadMap {
        /// The mapping as given.
        rule: String,
        /// What is wrong.
        reason: String,
    },
    /// Two namespaces of the tape would end up in one.
    #[error(
        "{tape} (at {seq}) and what {rule:?} maps would both be played into {namespace}; \
         map one of them elsewhere or exclude it"
    )]
    MapCollision {
        /// The event that shows it.
        seq: Seq,
        /// Where both would go.
        namespace: Box<Namespace>,
        /// The namespace of the event.
        tape: Box<Namespace>,
        /// The other mapping that leads there.
        rule: String,
    },
    /// The tape cannot be read.
    #[error(transparent)]
    Tape(Box<changetape_tape::Error>),
    /// Events are missing from what was to be played.
    #[error(
        "events are missing from this part of the tape ({gap}{}); --cross-gaps plays it \
         without them, --start and --end play a part",
        match gaps { 1 => String::new(), n => format!(", and {} more gaps", n - 1) }
    )]
    Gap {
        /// The first gap.
        gap: Box<changetape_tape::Gap>,
        /// How many there are.
        gaps: usize,
    },
    /// An event on the tape does not say what its kind must say.
    #[error("the event at {seq} cannot be played")]
    Event {
        /// Which.
        seq: Seq,
        /// What is wrong with it.
        source: changetape_core::Error,
    },
    /// What a base says of a collection cannot be read.
    #[error("what the tape's base says of {namespace} cannot be used")]
    Base {
        /// The collection.
        namespace: Namespace,
        /// What is wrong with it.
        source: changetape_core::Error,
    },
    /// The file to write is there already: the user's mistake.
    #[error("{} exists already; choose another file, or say that it may be overwritten", path.display())]
    FileExists {
        /// The file.
        path: PathBuf,
    },
    /// The file or standard output cannot be written.
    #[error("{to} cannot be written")]
    Write {
        /// The file, or standard output.
        to: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The target could not be reached to begin with.
    #[error(transparent)]
    Deployment(Box<changetape_deployment::Error>),
    /// The target could not take an event.
    #[error(transparent)]
    Target(Box<TargetError>),
    /// The operating system would not start a thread.
    #[error("a thread could not be started")]
    Thread(#[source] std::io::Error),
}

impl Error {
    /// Whether the command line was at fault rather than anything that happened.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::BadSpeed { .. }
            | Self::BadSink { .. }
            | Self::BadMap { .. }
            | Self::FileExists { .. } => true,
            Self::Deployment(cause) => {
                matches!(**cause, changetape_deployment::Error::BadUri { .. })
            }
            _ => false,
        }
    }

    pub(crate) fn deployment(error: changetape_deployment::Error) -> Self {
        Self::Deployment(Box::new(error))
    }

    pub(crate) fn tape(error: changetape_tape::Error) -> Self {
        Self::Tape(Box::new(error))
    }

    pub(crate) fn event(seq: Seq) -> impl Fn(changetape_core::Error) -> Self {
        move |source| Self::Event { seq, source }
    }
}
