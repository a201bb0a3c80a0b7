//! What can be wrong with an event or with text that names a place on a tape.

use thiserror::Error;

/// An event, a diff or a position that cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that should be BSON are not.
    #[error("{what} is not well-formed BSON")]
    Malformed {
        /// What was being read.
        what: &'static str,
        /// What the decoder says.
        source: Box<bson::error::Error>,
    },
    /// Bytes that should be BSON end early or carry an impossible length or type.
    #[error("{what} is not well-formed BSON at byte {offset}")]
    MalformedAt {
        /// What was being read.
        what: &'static str,
        /// Offset within the document that was being read.
        offset: usize,
    },
    /// A field that every event of its kind has is not there.
    #[error("the event has no field {field:?}")]
    MissingField {
        /// The field's name.
        field: &'static str,
    },
    /// A field is there but has another type.
    #[error("the event's field {field:?} is not {expected}")]
    WrongType {
        /// The field's name.
        field: &'static str,
        /// The BSON type expected, with its article.
        expected: &'static str,
    },
    /// An update diff that breaks the `$v: 2` format.
    #[error("the update diff cannot be read: {reason} (at {path:?})")]
    BadDiff {
        /// Where in the diff: its own names (`sa.s1.zz`), dotted, for people.
        path: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// An update diff that does not fit the document it is applied to.
    #[error("the update diff does not fit the document: {reason} (at {path:?})")]
    DiffMismatch {
        /// Where in the document: field names and indexes, dotted, for people.
        path: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Text that names no place on a tape.
    #[error(
        "{input:?} is not a position: expected an RFC 3339 time (2026-03-01T12:00:00Z), \
         a cluster time (1772366400:1) or a sequence number (#42)"
    )]
    BadPosition {
        /// The text.
        input: String,
    },
    /// Text that names no namespaces.
    #[error(
        "{input:?} is not a namespace pattern: expected db, db.collection or a glob such as shop.* or *.orders"
    )]
    BadPattern {
        /// The text.
        input: String,
    },
}

impl Error {
    pub(crate) fn malformed(what: &'static str, source: bson::error::Error) -> Self {
        Self::Malformed { what, source: Box::new(source) }
    }

    pub(crate) fn bad_diff(key: &[u8], reason: &'static str) -> Self {
        Self::BadDiff { path: String::from_utf8_lossy(key).into_owned(), reason }
    }

    pub(crate) fn diff_mismatch(field: &[u8], reason: &'static str) -> Self {
        Self::DiffMismatch { path: String::from_utf8_lossy(field).into_owned(), reason }
    }

    /// Prepends one step to the path on the way out of a sub-diff, so that nobody keeps a
    /// path while nothing is wrong: `key` is the diff's own name, `field` the document's.
    pub(crate) fn within(mut self, key: &[u8], field: &[u8]) -> Self {
        let (path, step) = match &mut self {
            Self::BadDiff { path, .. } => (path, key),
            Self::DiffMismatch { path, .. } => (path, field),
            _ => return self,
        };
        let step = String::from_utf8_lossy(step);
        *path = if path.is_empty() { step.into_owned() } else { format!("{step}.{path}") };
        self
    }
}
