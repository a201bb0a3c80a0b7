//! `Metadata`: what a tape was recorded from and how.
//!
//! Fixed when the tape is made, and kept in a file of its own, `metadata`, so that it can be
//! read without opening the log. A resume token belongs to the stream it came from, so a
//! recording may continue a tape only from the same deployment with the same options.

mod file;

use std::fmt::Write;

use bson::oid::ObjectId;
use bson::raw::RawDocumentBuf;
use changetape_core::{NamespaceFilter, OperationType, WallTime};

use crate::{Error, Mismatch};

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use file::decode;
#[cfg(test)]
pub(crate) use file::encode;
pub(crate) use file::{create, from_document, read, to_document};

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

impl StreamOptions {
    /// The stream of a whole deployment, with nothing added to it and nothing left out.
    #[must_use]
    pub fn everything(updates: UpdateForm) -> Self {
        Self {
            filter: NamespaceFilter::default(),
            operations: Vec::new(),
            pipeline: Vec::new(),
            updates,
            full_document: None,
            full_document_before_change: None,
        }
    }
}

/// The form in which updates are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateForm {
    /// The server's own diff, `rawUpdateDescription`: exact.
    Raw,
    /// The public `updateDescription`: lossy.
    Public,
}

impl UpdateForm {
    /// As `--updates` takes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Public => "public",
        }
    }
}

impl Metadata {
    /// Whether a recording from `source` with `stream` may continue on this tape.
    ///
    /// The server's version does not count: an upgrade leaves its tokens valid. Nor does the
    /// order of namespaces or operations.
    ///
    /// # Errors
    /// [`Error::Differs`] names the first property that differs, with both values.
    pub fn check_continues(
        &self,
        source: &SourceIdentity,
        stream: &StreamOptions,
    ) -> Result<(), Error> {
        if !self.source.is_same_deployment(source) {
            return Err(differs("deployment", self.source.describe(), source.describe()));
        }
        let then = self.stream.describe();
        let now = stream.describe();
        for ((what, tape), (_, now)) in then.into_iter().zip(now) {
            if tape != now {
                return Err(differs(what, tape, now));
            }
        }
        // By bytes: text does not tell all of BSON's types apart.
        if self.stream.pipeline != stream.pipeline {
            let (tape, now) = (self.stream.describe_pipeline(), stream.describe_pipeline());
            return Err(differs("pipeline", tape, now));
        }
        Ok(())
    }
}

fn differs(what: &'static str, tape: String, now: String) -> Error {
    Error::Differs(Box::new(Mismatch { what, tape, now }))
}

impl SourceIdentity {
    /// By id where both are known: a replica set may be called like another one.
    fn is_same_deployment(&self, other: &Self) -> bool {
        let same_id = self.replica_set_id.zip(other.replica_set_id).is_none_or(|(a, b)| a == b);
        same_id && self.replica_set == other.replica_set
    }

    fn describe(&self) -> String {
        match self.replica_set_id {
            Some(id) => format!("replica set {} (id {id})", self.replica_set),
            None => format!("replica set {}", self.replica_set),
        }
    }
}

impl StreamOptions {
    /// What a token depends on besides the pipeline: each property with its value in a form in
    /// which equal means the same stream.
    fn describe(&self) -> [(&'static str, String); 5] {
        let or_none = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".into());
        [
            ("namespace filter", self.describe_filter()),
            ("operation filter", self.describe_operations()),
            ("update form", self.updates.as_str().to_owned()),
            ("fullDocument", or_none(&self.full_document)),
            ("fullDocumentBeforeChange", or_none(&self.full_document_before_change)),
        ]
    }

    fn describe_filter(&self) -> String {
        let include = sorted(&self.filter.include);
        let exclude = sorted(&self.filter.exclude);
        let mut text = if include.is_empty() { "every namespace".to_owned() } else { include };
        if !exclude.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(text, " without {exclude}");
        }
        text
    }

    fn describe_operations(&self) -> String {
        let operations = sorted(&self.operations);
        if operations.is_empty() { "every operation".to_owned() } else { operations }
    }

    fn describe_pipeline(&self) -> String {
        let stage = |stage: &RawDocumentBuf| match bson::Document::try_from(stage.as_ref()) {
            Ok(document) => document.to_string(),
            Err(_) => format!("{} bytes", stage.as_bytes().len()),
        };
        format!("[{}]", self.pipeline.iter().map(stage).collect::<Vec<_>>().join(", "))
    }
}

fn sorted(values: &[impl ToString]) -> String {
    let mut values: Vec<String> = values.iter().map(ToString::to_string).collect();
    values.sort_unstable();
    values.dedup();
    values.join(", ")
}

#[cfg(test)]
mod tests;
