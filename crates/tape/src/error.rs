//! What can be wrong with a tape, each with what to do about it.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use changetape_core::Seq;

use crate::lock::Holder;

/// A tape that cannot be made, opened, written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing at the path.
    #[error("there is no tape at {path}")]
    NotFound {
        /// Where a tape was looked for.
        path: PathBuf,
    },
    /// There is something at the path, but no tape.
    #[error("{path} is not a tape: {found}")]
    NotATape {
        /// Where a tape was looked for.
        path: PathBuf,
        /// What is there instead.
        found: &'static str,
    },
    /// A new tape cannot be made where something is.
    #[error("cannot make a tape at {path}: {found}; choose another path or remove it first")]
    Exists {
        /// Where the tape was to be.
        path: PathBuf,
        /// What is there already.
        found: &'static str,
    },
    /// The tape, or a block on it, was written by a newer version of this program.
    #[error(
        "{path} has {what} version {found}, and this program reads versions up to {supported}; \
         use a newer changetape"
    )]
    TooNew {
        /// The tape.
        path: PathBuf,
        /// What is too new: `format`, `segment`, `block` or `base`.
        what: &'static str,
        /// The version on disk.
        found: u32,
        /// The newest version that this program reads.
        supported: u32,
    },
    /// Another process has the tape open.
    #[error("{path} is open in another process ({holder}); wait for it to end, or end it")]
    InUse {
        /// The tape.
        path: PathBuf,
        /// Who has it open.
        holder: Holder,
    },
    /// The tape is not what was written. Nothing was changed on disk.
    #[error(
        "{path} is damaged: {damage}; nothing was changed on disk: keep a copy, and run \
         `changetape verify {path}` to see what can be kept"
    )]
    Damaged {
        /// The tape.
        path: PathBuf,
        /// What is wrong with it and which events it concerns.
        damage: Box<Damage>,
    },
    /// The tape belongs to another recording than the one that wants to continue it.
    #[error("{0}; record onto a new tape, or as the tape was begun")]
    Differs(Box<Mismatch>),
    /// An event that was there when its reading began.
    #[error("event {seq} of {path} has been dropped: the tape keeps events from {start} on")]
    Dropped {
        /// The tape.
        path: PathBuf,
        /// The event.
        seq: Seq,
        /// The first that is kept.
        start: Seq,
    },
    /// An event larger than a tape holds.
    #[error("event {seq} is {bytes} bytes long; a tape holds events up to {limit} bytes")]
    EventTooLarge {
        /// The place it would have had.
        seq: Seq,
        /// Its length.
        bytes: usize,
        /// The longest that a tape holds.
        limit: usize,
    },
    /// A document larger than a base holds.
    #[error("a document is {bytes} bytes long; a base holds documents up to {limit} bytes")]
    DocumentTooLarge {
        /// Its length.
        bytes: usize,
        /// The longest that a base holds.
        limit: usize,
    },
    /// An event or token that cannot be read as one.
    #[error("event {seq} cannot be read")]
    Event {
        /// Its place.
        seq: Seq,
        /// What is wrong with it.
        source: changetape_core::Error,
    },
    /// An append failed, so what the disk holds is unknown until the tape is opened again.
    #[error(
        "an append to {path} failed before; what is durable ends at {next}; open the tape again"
    )]
    Broken {
        /// The tape.
        path: PathBuf,
        /// One past the last event that is durable for certain.
        next: Seq,
    },
    /// The user may not do this to a file of the tape.
    #[error("not permitted to {doing} {path}; run as the user who owns the tape")]
    NotPermitted {
        /// What was tried.
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The disk is full.
    #[error(
        "cannot {doing} {path}, for the disk is full; what was recorded before is kept: make room \
         and go on"
    )]
    DiskFull {
        /// What was tried.
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The operating system refused something.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The embedded log failed.
    #[error("cannot {doing} the log {path}")]
    Log {
        /// What was tried.
        doing: &'static str,
        /// The log's directory.
        path: PathBuf,
        /// What the log says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::PermissionDenied => Self::NotPermitted { doing, path, source },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { doing, path, source }
            }
            _ => Self::Io { doing, path, source },
        }
    }

    /// What is to be written is more than the format has a place for.
    pub(crate) fn does_not_fit(doing: &'static str, path: &Path) -> Self {
        Self::io(doing, path)(io::ErrorKind::InvalidInput.into())
    }

    pub(crate) fn damaged(path: &Path, damage: Damage) -> Self {
        Self::Damaged { path: path.to_owned(), damage: Box::new(damage) }
    }
}

/// The events that a damage costs that costs none.
pub(crate) const NO_EVENTS: Range<Seq> = Seq::ZERO..Seq::ZERO;

/// What is wrong with a tape, and which of its events are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Which part of the tape is wrong and how: found and expected.
    pub what: String,
    /// The events that cannot be read for it: all, where the tape cannot be opened. Empty if every
    /// event is still there, `None` if that is not known.
    pub events: Option<Range<Seq>>,
}

impl Damage {
    pub(crate) fn of(what: String, events: Option<Range<Seq>>) -> Self {
        Self { what, events }
    }

    /// Something is wrong, and every event is still there.
    pub(crate) fn losing_nothing(what: impl Into<String>) -> Self {
        Self::of(what.into(), Some(NO_EVENTS))
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.events {
            None => Ok(()),
            Some(events) if events.is_empty() => f.write_str("; no event is lost"),
            Some(events) => {
                let last = Seq::new(events.end.get() - 1);
                write!(f, "; events {} to {last} cannot be read", events.start)
            }
        }
    }
}

/// In what a recording differs from the one that a tape holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The property: `deployment`, `namespace filter`, `update form`, …
    pub what: &'static str,
    /// Its value on the tape.
    pub tape: String,
    /// Its value now.
    pub now: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the tape's {} is {}, but now it is {}", self.what, self.tape, self.now)
    }
}
