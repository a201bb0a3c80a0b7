//! `Metadata`: what a tape was recorded from and how.

use bson::oid::ObjectId;
use bson::raw::RawDocumentBuf;
use changetape_core::{NamespaceFilter, OperationType, WallTime};

use crate::Error;

/// What a tape was recorded from and how; fixed when it is created.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    /// The deployment.
    pub source: SourceIdentity,
    /// How its stream was opened.
    pub stream: StreamOptions,
    /// Name and version of the program that made the tape.
    pub created_by: String,
    /// When.
    pub created_at: WallTime,
}

/// Which deployment a tape was recorded from.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceIdentity {
    /// The replica set's name.
    pub replica_set: String,
    /// The replica set's id, where it could be read.
    pub replica_set_id: Option<ObjectId>,
    /// The server's version when the tape was created; it may change by an upgrade.
    pub server_version: String,
}

/// How the stream was opened: a resume token belongs to these.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamOptions {
    /// Which namespaces take part.
    pub filter: NamespaceFilter,
    /// Which operation types take part; empty means all.
    pub operations: Vec<OperationType>,
    /// The user's own stages after `$changeStream`.
    pub pipeline: Vec<RawDocumentBuf>,
    /// The form in which updates are recorded.
    pub updates: UpdateForm,
    /// `fullDocument`, the server's own value.
    pub full_document: Option<String>,
    /// `fullDocumentBeforeChange`, the server's own value.
    pub full_document_before_change: Option<String>,
}

/// The form in which updates are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateForm {
    /// The server's own diff, `rawUpdateDescription`: exact.
    Raw,
    /// The public `updateDescription`: lossy.
    Public,
}

impl Metadata {
    /// Whether a recording from `source` with `stream` may go on on this tape.
    ///
    /// # Errors
    /// [`Error`] that names what differs, with both values.
    pub fn check_continues(
        &self,
        _source: &SourceIdentity,
        _stream: &StreamOptions,
    ) -> Result<(), Error> {
        todo!()
    }
}
