//! Why a recording could not begin or go on.

use std::path::PathBuf;

use changetape_core::ClusterTime;
use changetape_deployment::Deployment;
use thiserror::Error;

/// A recording that stopped. What was durable before stays on the tape.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The source cannot be reached or refuses.
    #[error(transparent)]
    Deployment(#[from] changetape_deployment::Error),
    /// The tape cannot be made, continued or written.
    #[error(transparent)]
    Tape(#[from] changetape_tape::Error),
    /// An event or token cannot be read.
    #[error(transparent)]
    Event(#[from] changetape_core::Error),
    /// Text that says where to begin, and says nothing we know.
    #[error(
        "{input:?} is no place to begin: expected now, an RFC 3339 time (2026-03-01T12:00:00Z), \
         a cluster time (1772366400:1) or a resume token (the hex digits of its _data)"
    )]
    BadSince {
        /// The text.
        input: String,
    },
    /// A stage of the user's pipeline cannot be read.
    #[error("a stage of the pipeline is not well-formed")]
    BadPipeline {
        /// What the decoder says.
        source: Box<bson::error::Error>,
    },
    /// The user may not watch the deployment.
    #[error(
        "{user} may not watch {hosts}: it lacks the actions find and changeStream on every \
         database ({{db: \"\", collection: \"\"}}), which the role readAnyDatabase holds: \
         db.grantRolesToUser({user:?}, [{{role: \"readAnyDatabase\", db: \"admin\"}}])"
    )]
    MayNotWatch {
        /// The user's name.
        user: String,
        /// `host:port`, comma-separated.
        hosts: String,
        /// The server's own words, which the sentence above replaces.
        answer: Box<changetape_deployment::Error>,
    },
    /// The deployment lets nobody watch who does not say who they are.
    #[error(
        "{hosts} lets nobody watch without a user: put one into the connection string \
         (mongodb://USER:PASSWORD@…), with the role readAnyDatabase"
    )]
    NeedsUser {
        /// `host:port`, comma-separated.
        hosts: String,
        /// The server's own words, which the sentence above replaces.
        answer: Box<changetape_deployment::Error>,
    },
    /// The server has forgotten what happened after the place where the recording should go on.
    #[error(
        "the oplog of {hosts} no longer reaches back to {place}: changes after it are lost to \
         this recording; give the oplog more room; --on-gap continue notes a gap and goes on from there"
    )]
    HistoryLost {
        /// `host:port`, comma-separated.
        hosts: String,
        /// Where the recording should have gone on.
        place: String,
        /// The server's own words, which the sentence above replaces.
        answer: Box<changetape_deployment::Error>,
    },
    /// An event is larger than the server can send.
    #[error(
        "an event after {place} is larger than the 16 MB that {hosts} can send, and the stream \
         cannot go past it; --on-gap continue notes a gap and goes on behind it, --exclude leaves \
         its namespace out of a new tape"
    )]
    EventTooLarge {
        /// `host:port`, comma-separated.
        hosts: String,
        /// The last place that could be read.
        place: String,
        /// The server's own words, which the sentence above replaces.
        answer: Box<changetape_deployment::Error>,
    },
    /// The fragments of an event over 16 MB do not follow each other.
    #[error(
        "an event that the server sent in fragments cannot be put together: expected {expected}, \
         the server sent {found}"
    )]
    BadFragment {
        /// What should have come.
        expected: String,
        /// What came.
        found: String,
    },
    /// The oldest point of the oplog is gone again before the stream is open there.
    #[error(
        "the oplog of {hosts} rolls over faster than a change stream can be opened at its oldest \
         point; give the oplog more room"
    )]
    OplogTooFast {
        /// `host:port`, comma-separated.
        hosts: String,
    },
    /// The source does not tell how far it is.
    #[error(
        "{hosts} tells no cluster time: a set with authentication does when it has made its \
         signing keys, some seconds after it was initiated"
    )]
    NoTime {
        /// `host:port`, comma-separated.
        hosts: String,
    },
    /// The server cannot show the events that a tape holds.
    #[error(
        "{hosts} runs MongoDB {version} and cannot show the events that a tape holds; MongoDB 6.0 \
         or later is needed"
    )]
    TooOld {
        /// `host:port`, comma-separated.
        hosts: String,
        /// The server's version.
        version: String,
        /// The server's own words, which the sentence above replaces.
        answer: Box<changetape_deployment::Error>,
    },
    /// The server refuses to give updates in their raw form, and nothing else was asked for.
    #[error("{hosts} does not show updates in their raw form; use --updates public")]
    NoRawUpdates {
        /// `host:port`, comma-separated.
        hosts: String,
        /// The server's own words, which the sentence above replaces.
        answer: Box<changetape_deployment::Error>,
    },
    /// A base was asked for on a tape that was begun without one.
    #[error(
        "{path} was begun without a base, and one that is taken now would not fit what is on it; \
         leave --snapshot out, or record onto a new tape"
    )]
    TooLateForBase {
        /// The tape.
        path: PathBuf,
    },
    /// A tape was to continue before its end.
    #[error(
        "{path} has the events up to {end}, and those from {since} on would be on it twice; give a \
         --since that is later, or leave --reset out"
    )]
    ResetBackwards {
        /// The tape.
        path: PathBuf,
        /// When it ends.
        end: ClusterTime,
        /// Where it was to continue.
        since: ClusterTime,
    },
    /// Collections that cannot be part of a base.
    #[error(
        "no base can be taken of {what} at {hosts}: leave it out of the recording with \
         --exclude {exclude}"
    )]
    NotInBase {
        /// `host:port`, comma-separated.
        hosts: String,
        /// The collections, each with what stands in the way.
        what: String,
        /// Their names for a command line.
        exclude: String,
    },
    /// The user may not read what a base needs.
    #[error(
        "{user} may not {doing} at {hosts}: a base needs the actions find, listCollections and \
         listIndexes on what is recorded, and listDatabases, which the role readAnyDatabase \
         holds: db.grantRolesToUser({user:?}, [{{role: \"readAnyDatabase\", db: \"admin\"}}])"
    )]
    MayNotTakeBase {
        /// The user's name.
        user: String,
        /// `host:port`, comma-separated.
        hosts: String,
        /// What was attempted, as an infinitive.
        doing: String,
        /// The server's own words, which the sentence above replaces.
        answer: Box<changetape_deployment::Error>,
    },
    /// The server keeps nothing of what was there.
    #[error(
        "{hosts} keeps nothing of what was there for a base to be read from: its \
         minSnapshotHistoryWindowInSeconds is 0; set it on every node while the base is taken \
         (db.adminCommand({{setParameter: 1, minSnapshotHistoryWindowInSeconds: 3600}}))"
    )]
    NoHistory {
        /// `host:port`, comma-separated.
        hosts: String,
    },
    /// Reading took longer than the server keeps what it is read from.
    #[error(
        "{hosts} no longer knows what {namespace} held at {time}: reading the base had taken \
         {seconds} s, and a server keeps what was there for minSnapshotHistoryWindowInSeconds, 300 \
         by default; raise it on every node while the base is taken \
         (db.adminCommand({{setParameter: 1, minSnapshotHistoryWindowInSeconds: 3600}})), or record \
         less with --include"
    )]
    SnapshotTooOld {
        /// `host:port`, comma-separated.
        hosts: String,
        /// The time that was read at.
        time: ClusterTime,
        /// How long reading had taken by then.
        seconds: u64,
        /// What was being read.
        namespace: String,
        /// The server's own words, which the sentence above replaces.
        answer: Box<changetape_deployment::Error>,
    },
    /// A base was begun again and again, and never became whole.
    #[error(
        "no base could be taken of {hosts} in {attempts} attempts: {why}; try when collections and \
         indexes are at rest, or leave what changes out with --exclude"
    )]
    NoBase {
        /// `host:port`, comma-separated.
        hosts: String,
        /// How often it was begun.
        attempts: u32,
        /// Why the last attempt failed.
        why: String,
    },
    /// The recording was told to stop before its base was whole.
    #[error(
        "stopped before the base was whole, and nothing is kept of it; the next recording takes \
         it from the beginning"
    )]
    BaseStopped,
    /// The recording was told to stop before its stream was open.
    #[error("stopped before the change stream was open; no event was recorded")]
    StoppedOpening,
    /// The time of the recording was over before its stream was open.
    #[error(
        "{hosts} had not opened the change stream after {seconds} s, and no event was recorded; give \
         it more time with --duration"
    )]
    NotOpened {
        /// `host:port`, comma-separated.
        hosts: String,
        /// How long that was waited for.
        seconds: u64,
    },
    /// A reply of the server lacks what every reply has.
    #[error("the server's reply lacks {missing}")]
    BadReply {
        /// What it lacks.
        missing: &'static str,
    },
    /// The stream ended although streams of a whole deployment never do.
    #[error("the server closed the change stream")]
    StreamClosed,
    /// The operating system gives no thread.
    #[error("cannot start the thread that writes the tape")]
    Thread(#[source] std::io::Error),
    /// A bug: the appending thread ended without a result.
    #[error("the thread that writes the tape ended unexpectedly; this is a bug in changetape")]
    AppenderDied,
    /// A bug: the thread that writes the base ended without a result.
    #[error("the thread that writes the base ended unexpectedly; this is a bug in changetape")]
    WriterDied,
}

impl Error {
    pub(crate) fn bad_pipeline(source: bson::error::Error) -> Self {
        Self::BadPipeline { source: Box::new(source) }
    }

    pub(crate) fn no_time(deployment: &Deployment) -> Self {
        Self::NoTime { hosts: deployment.hosts().to_owned() }
    }

    /// Whether events are known to be lost to the recording, rather than merely not read yet.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::HistoryLost { .. } | Self::EventTooLarge { .. })
    }

    /// Whether the user asked for what cannot be.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::TooLateForBase { .. } | Self::ResetBackwards { .. })
    }

    /// Whether the recording was told to stop before there was anything to keep.
    #[must_use]
    pub fn is_interruption(&self) -> bool {
        matches!(self, Self::BaseStopped | Self::StoppedOpening)
    }
}
