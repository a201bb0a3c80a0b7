//! What to record: from when, what of it, for how long.

use std::str::FromStr;
use std::time::Duration;

use bson::raw::RawDocumentBuf;
use changetape_core::{
    ClusterTime, NamespaceFilter, OperationType, Position, ResumeToken, WallTime,
};
use changetape_tape::{StreamOptions, TapeOptions, UpdateForm};

use crate::Error;

/// One recording session.
#[derive(Debug, Clone, Default)]
pub struct RecordOptions {
    /// Where a new tape begins. A tape that has a checkpoint continues there instead, unless
    /// `continues` says otherwise.
    pub since: Since,
    /// Where a tape that is there continues.
    pub continues: Continues,
    /// Whether a new tape begins with a base. Then it begins there, whatever `since` says.
    pub base: TakeBase,
    /// What of the deployment's changes is recorded.
    pub request: Request,
    /// How the source is asked for them.
    pub fetch: Fetch,
    /// When the session ends by itself.
    pub limits: Limits,
    /// How the tape is written.
    pub tape: TapeOptions,
    /// What to do where events are lost to the recording.
    pub on_gap: OnGap,
}

/// Where a tape that is there continues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Continues {
    /// Exactly where it ends.
    #[default]
    AtItsEnd,
    /// Where [`RecordOptions::since`] says, behind a gap. That must be later than its end.
    Since,
}

/// Whether a new tape begins with a base: documents, options and indexes as they are at one
/// cluster time, after which the events follow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TakeBase {
    /// It has events only.
    #[default]
    No,
    /// The base is taken first.
    First,
}

/// What to do where events are lost to the recording.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnGap {
    /// End, saying so.
    #[default]
    Stop,
    /// Note a gap on the tape, and go on from the oldest point that the source still has.
    Continue,
}

/// What of the deployment's changes is recorded.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Which namespaces take part.
    pub filter: NamespaceFilter,
    /// Which operation types take part; empty means all.
    pub operations: Vec<OperationType>,
    /// Stages of the user's own, after `$changeStream`.
    pub pipeline: Vec<RawDocumentBuf>,
    /// The form in which updates are recorded.
    pub updates: Updates,
    /// `fullDocument`, the server's own value.
    pub full_document: Option<String>,
    /// `fullDocumentBeforeChange`, the server's own value.
    pub full_document_before_change: Option<String>,
}

impl Request {
    /// The stream to open for one form of updates, as the tape's metadata keeps it.
    #[must_use]
    pub fn stream(&self, updates: UpdateForm) -> StreamOptions {
        StreamOptions {
            filter: self.filter.clone(),
            operations: self.operations.clone(),
            pipeline: self.pipeline.clone(),
            updates,
            full_document: self.full_document.clone(),
            full_document_before_change: self.full_document_before_change.clone(),
        }
    }
}

/// The form in which updates are recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Updates {
    /// The server's own diff where it gives it, else the public form.
    #[default]
    Auto,
    /// The server's own diff; nothing else will do.
    Raw,
    /// The public `updateDescription`.
    Public,
}

impl Updates {
    /// The forms to ask the server for, best first.
    #[must_use]
    pub fn candidates(self) -> &'static [UpdateForm] {
        match self {
            Self::Auto => &[UpdateForm::Raw, UpdateForm::Public],
            Self::Raw => &[UpdateForm::Raw],
            Self::Public => &[UpdateForm::Public],
        }
    }
}

/// Where a new tape begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Since {
    /// With the next change.
    #[default]
    Now,
    /// With the first change in the second of this wall time, or after.
    Time(WallTime),
    /// With the first change at this cluster time, or after.
    Cluster(ClusterTime),
    /// With the first change after this one's.
    Token(ResumeToken),
}

impl FromStr for Since {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        if s == "now" {
            return Ok(Self::Now);
        }
        match s.parse() {
            // What cluster time can tell: 1970 to 2106.
            Ok(Position::Time(time)) if u32::try_from(time.as_millis() / 1000).is_ok() => {
                Ok(Self::Time(time))
            }
            Ok(Position::Cluster(time)) => Ok(Self::Cluster(time)),
            Ok(Position::Time(_) | Position::Seq(_)) | Err(_) => ResumeToken::from_data(s)
                .map(Self::Token)
                .map_err(|_| Error::BadSince { input: s.to_owned() }),
        }
    }
}

/// How the source is asked for changes: one cursor, one reply at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetch {
    /// Events in a reply, at most. The server also ends a reply at 16 MB. A reply becomes a block
    /// on the tape; the default follows from the tape's decision on block sizes.
    pub batch_size: u32,
    /// How long the server waits for a change before it answers that there is none. A change
    /// ends the wait, so this is not how late a change arrives, but how often a quiet source is
    /// asked: each answer also keeps the tape's token fresh.
    pub max_await: Duration,
}

impl Default for Fetch {
    fn default() -> Self {
        // A second is also what the server takes when it is not told.
        Self { batch_size: 2000, max_await: Duration::from_secs(1) }
    }
}

/// When a session ends by itself; what is `None` does not end it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// After this many events.
    pub count: Option<u64>,
    /// This long after the stream was opened. Opening it for the first time may itself take as
    /// long, and at least 10 s.
    pub duration: Option<Duration>,
    /// When no event has come for this long from a stream that is open.
    pub idle: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_since_is_read() {
        let token = "826B02A9B5000000132B022C0100296F04";
        assert_eq!("now".parse::<Since>().unwrap(), Since::Now);
        assert!(matches!("2026-03-01T12:00:00Z".parse().unwrap(), Since::Time(_)));
        assert!(matches!("1772366400:1".parse().unwrap(), Since::Cluster(_)));
        assert_eq!(
            token.parse::<Since>().unwrap(),
            Since::Token(ResumeToken::from_data(token).unwrap())
        );
        for bad in ["", "#4", "yesterday", "82xyz", "2200-01-01T00:00:00Z", "1969-12-31T00:00:00Z"]
        {
            let error = bad.parse::<Since>().unwrap_err().to_string();
            assert!(error.contains("now"), "{error}");
        }
    }
}
