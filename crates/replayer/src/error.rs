//! Why a replay could not begin or go on.

use std::path::PathBuf;
use std::time::Duration;

use changetape_core::{Namespace, Seq};
use thiserror::Error;

use crate::sink::mongod::{RestoreError, TargetError};

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
    /// Text that is no rate: the user's mistake.
    #[error("{input:?} is not a rate: expected events a second, above 0, such as 1000/s or 0.5/s")]
    BadRate {
        /// The text.
        input: String,
    },
    /// Text that is no number of laps: the user's mistake.
    #[error("{input:?} is not how often a tape can be played: expected a number from 1, or inf")]
    BadLaps {
        /// The text.
        input: String,
    },
    /// Text that is no sink: the user's mistake.
    #[error(
        "{input:?} is not a sink: expected mongodb://…, mongodb+srv://…, - (standard output), \
         file:PATH, tcp://HOST:PORT, unix:PATH or null:"
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
        "{tape} ({}) and what {rule:?} maps would both be played into {namespace}; \
         map one of them elsewhere or exclude it",
        match seq { Some(seq) => format!("at {seq}"), None => "in the base".to_owned() }
    )]
    MapCollision {
        /// The event that shows it; `None` if the base does.
        seq: Option<Seq>,
        /// Where both would go.
        namespace: Box<Namespace>,
        /// The namespace on the tape.
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
    /// A base was asked for and the tape has none: the user's mistake.
    #[error(
        "the tape has no base: one is recorded when a tape is begun (record --snapshot); leave \
         --base out to play the events alone"
    )]
    NoBase,
    /// A base was asked for, and events from later on: the user's mistake.
    #[error(
        "the base is what was there before the tape's first event, so events cannot begin later \
         behind it: leave out --base or the beginning that was asked for"
    )]
    BaseWithStart,
    /// Events between the base and the first that the tape still has are gone.
    #[error(
        "what followed the base was dropped from the tape before {start} (--retain), so the base \
         and what is left do not fit; leave --base out to play the events alone"
    )]
    BaseNotFollowed {
        /// The first event that is left.
        start: Seq,
    },
    /// What a target was to go on with is gone.
    #[error(
        "the replay would go on at {next}, and the tape begins at {start} by now (--retain): what lies \
         between is lost to this target; begin again with an empty one"
    )]
    NotFollowed {
        /// Where the target has come to.
        next: Seq,
        /// The first event that is left.
        start: Seq,
    },
    /// A base was to go where no collections are: the user's mistake.
    #[error(
        "a base can be restored into a database only: give a mongodb:// sink, or leave --base out"
    )]
    BaseNeedsDatabase,
    /// A view would be in another database than what it is on: the user's mistake.
    #[error(
        "the view {view} cannot be played into another database than {on}, which it is on; map \
         both into one, or leave the view out (--exclude {view})"
    )]
    ViewApart {
        /// The view, as the tape has it.
        view: Box<Namespace>,
        /// What it is on.
        on: Box<Namespace>,
    },
    /// A definition in a base does not say what it must say.
    #[error("the definition of {namespace} in the base cannot be used")]
    Definition {
        /// Of what.
        namespace: Box<Namespace>,
        /// What is wrong with it.
        source: changetape_core::Error,
    },
    /// The target has what the base would be mixed with: the user's mistake.
    #[error(
        "{hosts} has {what} already, and a base is not mixed with what is there: --drop drops \
         {} first, --map-ns restores elsewhere",
        match found { 1 => "it".to_owned(), found => format!("all {found}") }
    )]
    BaseMeets {
        /// `host:port`, comma-separated.
        hosts: String,
        /// The collections and views, the first of them by name.
        what: String,
        /// How many.
        found: usize,
    },
    /// The target could not take something of the base.
    #[error(transparent)]
    Restore(Box<RestoreError>),
    /// A restoration ended with an error in the middle.
    #[error(
        "the target holds only a part of the base ({documents} of {of} documents), which \
         --base --drop begins again"
    )]
    PartOfBase {
        /// How many documents the target has acknowledged.
        documents: u64,
        /// How many there are.
        of: u64,
        /// Why it ended.
        source: Box<Error>,
    },
    /// The file to write is there already: the user's mistake.
    #[error("{} exists already; choose another file, or say that it may be overwritten", path.display())]
    FileExists {
        /// The file.
        path: PathBuf,
    },
    /// How late events left was to be written as an HDR histogram log: the user's mistake.
    #[error(
        "{} would have to be an HDR histogram log, which is not written: give a file of another name, \
         which gets every event's times as CSV",
        path.display()
    )]
    NoHdrLog {
        /// The file.
        path: PathBuf,
    },
    /// The file, standard output or a socket cannot be written.
    #[error("{to} cannot be written")]
    Write {
        /// The file, standard output or the socket.
        to: String,
        /// The cause.
        source: std::io::Error,
    },
    /// There is something at the path of a socket that is none: the user's mistake.
    #[error("{} is there already and is no socket; choose another path", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// A consumer cannot be listened for.
    #[error(
        "cannot listen on {at}{}",
        match source.kind() {
            std::io::ErrorKind::AddrInUse => "; another program does, so choose another address",
            _ => "",
        }
    )]
    Listen {
        /// Where.
        at: String,
        /// The cause.
        source: std::io::Error,
    },
    /// No consumer was there to begin with.
    #[error("no consumer answers at {at}; start it first, or wait for it (--on-disconnect wait)")]
    Connect {
        /// Where.
        at: String,
        /// The cause.
        source: std::io::Error,
    },
    /// No consumer came in time.
    #[error(
        "no consumer was there within {max_outage:?} (--max-outage), at {at}{}",
        match next {
            Some(next) => format!("; everything before {next} was written, so replay from {next}"),
            None => String::new(),
        }
    )]
    NoConsumer {
        /// Where.
        at: String,
        /// How long the replay waited.
        max_outage: Duration,
        /// The first event that was not written; `None` before the first.
        next: Option<Seq>,
        /// What stood in the way last.
        source: Option<std::io::Error>,
    },
    /// The target could not be reached to begin with.
    #[error(transparent)]
    Deployment(Box<changetape_deployment::Error>),
    /// The target could not take an event.
    #[error(transparent)]
    Target(Box<TargetError>),
    /// A sink cannot be asked for how far a replay has come: the user's mistake.
    #[error("--resume needs a database as its sink, which keeps how far the replay has come")]
    KeepsNoProgress,
    /// The target keeps the progress of a replay that covers something else.
    #[error(
        "the target was replayed into from the same tape with {there:?}, and this replay is of \
         {asked:?}; go on with the same flags, or begin again without --resume"
    )]
    OtherPart {
        /// What that one covers.
        there: String,
        /// What this one does.
        asked: String,
    },
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
            | Self::BadRate { .. }
            | Self::BadLaps { .. }
            | Self::BadSink { .. }
            | Self::BadMap { .. }
            | Self::KeepsNoProgress
            | Self::OtherPart { .. }
            | Self::NoBase
            | Self::BaseWithStart
            | Self::BaseNeedsDatabase
            | Self::ViewApart { .. }
            | Self::BaseMeets { .. }
            | Self::NoHdrLog { .. }
            | Self::FileExists { .. }
            | Self::NotASocket { .. } => true,
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
