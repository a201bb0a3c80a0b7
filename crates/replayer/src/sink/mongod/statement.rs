//! One event as one statement (rarely two) of an `insert`, `update` or `delete` command.
//!
//! Documents and diffs are copied as the bytes they are. Where the plain form would change
//! them, another is taken:
//!
//! - A replacement must not have top-level names that begin with `$`; a pipeline
//!   `[{$replaceWith: {$literal: …}}]` may.
//! - `insert` and replacements fill in a top-level `Timestamp(0, 0)`; the pipeline does not.
//!
//! Tried on MongoDB 6.0.5.

use bson::raw::{RawDocument, RawDocumentBuf};
use changetape_core::raw::{self, DocumentWriter, Element, kind};
use changetape_core::{ChangeEvent, Error, OperationType};

use super::public_update;

pub(super) const WHAT: &str = "the event";

/// The BSON type of a `Timestamp`.
const TIMESTAMP: u8 = 0x11;

/// What is known that decides in which form events are applied.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Form {
    /// Documents to be inserted have been found to be there.
    pub(super) documents_exist: bool,
    /// `fullDocument` of an update is its post-image.
    pub(super) post_images: bool,
    /// The target is a sharded cluster: documents are found by their whole key. Elsewhere
    /// `_id` is enough, and takes the server's shortest way.
    pub(super) sharded: bool,
}

/// The command that a statement goes into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Insert,
    Update,
    Delete,
}

/// What a statement is to do, and so what its result means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Insert; fails if the document is there.
    Insert,
    /// Insert, or replace what is there.
    PutAgain,
    /// Change what is there.
    Update,
    /// Change what is there, ahead of the `Update` of the same event.
    Prepare,
    /// Replace, or insert if it is missing.
    Replace,
    /// Delete.
    Delete,
}

/// A statement, ready to be copied into a command.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) effect: Effect,
    /// The statement's document.
    pub(super) bytes: Vec<u8>,
    /// How it finds its document; empty for an insert.
    pub(super) query: RawDocumentBuf,
    pub(super) inexact: bool,
}

/// Which command an event's statements go into; `None` if it changes no document.
pub(super) fn command(event: &ChangeEvent<'_>, form: Form) -> Result<Option<Command>, Error> {
    Ok(match event.operation_type()? {
        OperationType::Insert => {
            Some(if form.documents_exist || fills_timestamps(full_document(event)?)? {
                Command::Update
            } else {
                Command::Insert
            })
        }
        OperationType::Update | OperationType::Replace => Some(Command::Update),
        OperationType::Delete => Some(Command::Delete),
        _ => None,
    })
}

/// The statements of an event that changes a document.
pub(super) fn statements(
    event: &ChangeEvent<'_>,
    command: Command,
    form: Form,
) -> Result<Vec<Statement>, Error> {
    if command == Command::Insert {
        return Ok(vec![insert(full_document(event)?)]);
    }
    let query = query(event, form)?;
    let one = |effect, writer: DocumentWriter| Statement {
        effect,
        bytes: writer.into_bytes(),
        query: query.clone(),
        inexact: false,
    };
    Ok(match event.operation_type()? {
        OperationType::Delete => {
            let mut writer = begin(&query);
            writer.int32(b"limit", 1);
            vec![one(Effect::Delete, writer)]
        }
        OperationType::Insert => {
            vec![one(Effect::PutAgain, put(&query, full_document(event)?)?)]
        }
        OperationType::Replace => {
            vec![one(Effect::Replace, put(&query, full_document(event)?)?)]
        }
        _ => match (event.raw_update()?, event.full_document()?) {
            (Some(diff), _) => {
                let mut writer = begin(&query);
                writer.open(kind::ARRAY, b"u");
                writer.open(kind::DOCUMENT, b"0");
                writer.open(kind::DOCUMENT, b"$_internalApplyOplogUpdate");
                writer.value(kind::DOCUMENT, b"oplogUpdate", diff.as_bytes());
                writer.close();
                writer.close();
                writer.close();
                vec![one(Effect::Update, writer)]
            }
            (None, Some(after)) if form.post_images => {
                vec![one(Effect::Replace, put(&query, after.as_bytes())?)]
            }
            (None, _) => {
                let description = event
                    .update_description()?
                    .ok_or(Error::MissingField { field: "updateDescription" })?;
                public_update::statements(&query, description.as_bytes())?
            }
        },
    })
}

/// What puts a document of a base where there is none.
pub(super) fn restoring(document: &[u8]) -> Result<(Command, Statement), Error> {
    if fills_timestamps(document)? {
        let id = raw::find("a document", document, "_id")?;
        let query = by_id(id.ok_or(Error::MissingField { field: "_id" })?)?;
        let bytes = put(&query, document)?.into_bytes();
        let effect = Effect::PutAgain;
        return Ok((Command::Update, Statement { effect, bytes, query, inexact: false }));
    }
    Ok((Command::Insert, insert(document)))
}

fn insert(document: &[u8]) -> Statement {
    let (bytes, query) = (document.to_vec(), RawDocumentBuf::new());
    Statement { effect: Effect::Insert, bytes, query, inexact: false }
}

/// Begins a statement that finds its document by `query`.
pub(super) fn begin(query: &RawDocumentBuf) -> DocumentWriter {
    let mut writer = DocumentWriter::with_capacity(256);
    writer.value(kind::DOCUMENT, b"q", query.as_bytes());
    writer
}

/// Puts a document in place, whether one is there or not.
fn put(query: &RawDocumentBuf, document: &[u8]) -> Result<DocumentWriter, Error> {
    let mut writer = begin(query);
    if has_dollar_names(document)? || fills_timestamps(document)? {
        writer.open(kind::ARRAY, b"u");
        writer.open(kind::DOCUMENT, b"0");
        writer.open(kind::DOCUMENT, b"$replaceWith");
        writer.value(kind::DOCUMENT, b"$literal", document);
        writer.close();
        writer.close();
        writer.close();
    } else {
        writer.value(kind::DOCUMENT, b"u", document);
    }
    writer.value(kind::BOOLEAN, b"upsert", &[1]);
    Ok(writer)
}

/// How an event's document is found. The server allows no `_id` and no shard key that would
/// mean something else in a query: no regular expression, no array, no operator.
fn query(event: &ChangeEvent<'_>, form: Form) -> Result<RawDocumentBuf, Error> {
    let key = event.document_key()?.ok_or(Error::MissingField { field: "documentKey" })?;
    if form.sharded {
        return Ok(key.to_owned());
    }
    by_id(id_in(key)?)
}

fn by_id(id: Element<'_>) -> Result<RawDocumentBuf, Error> {
    let mut writer = DocumentWriter::with_capacity(id.value.len() + 16);
    writer.element(id);
    writer.finish()
}

/// The `_id` of an event's document.
pub(super) fn id<'e>(event: &'e ChangeEvent<'_>) -> Result<Element<'e>, Error> {
    id_in(event.document_key()?.ok_or(Error::MissingField { field: "documentKey" })?)
}

fn id_in(key: &RawDocument) -> Result<Element<'_>, Error> {
    raw::find(WHAT, key.as_bytes(), "_id")?.ok_or(Error::MissingField { field: "documentKey._id" })
}

fn full_document<'e>(event: &'e ChangeEvent<'_>) -> Result<&'e [u8], Error> {
    let document = event.full_document()?.ok_or(Error::MissingField { field: "fullDocument" })?;
    Ok(document.as_bytes())
}

fn has_dollar_names(document: &[u8]) -> Result<bool, Error> {
    for element in raw::elements(WHAT, document)? {
        if element?.name.starts_with(b"$") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the server would put the current time into a field (never into `_id`).
fn fills_timestamps(document: &[u8]) -> Result<bool, Error> {
    for element in raw::elements(WHAT, document)? {
        let element = element?;
        if element.kind == TIMESTAMP && element.value == [0; 8] && element.name != b"_id" {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use bson::{Timestamp, rawdoc};

    use super::*;

    #[test]
    fn a_document_of_a_base_takes_the_form_that_keeps_its_bytes() {
        let zero = Timestamp { time: 0, increment: 0 };
        for plain in [
            rawdoc! {"_id": 1, "$set": 2, "a.b": {"t": zero}},
            rawdoc! {"_id": zero, "t": Timestamp { time: 0, increment: 1 }},
        ] {
            let (command, statement) = restoring(plain.as_bytes()).unwrap();
            assert_eq!((command, statement.effect), (Command::Insert, Effect::Insert));
            assert_eq!(statement.bytes, plain.as_bytes());
        }
        let filled = rawdoc! {"$set": 1, "_id": {"a": 1}, "t": zero};
        let (command, statement) = restoring(filled.as_bytes()).unwrap();
        assert_eq!((command, statement.effect), (Command::Update, Effect::PutAgain));
        let literally = rawdoc! {"$replaceWith": {"$literal": filled}};
        let expected = rawdoc! {"q": {"_id": {"a": 1}}, "u": [literally], "upsert": true};
        assert_eq!(statement.bytes, expected.as_bytes());
        assert!(restoring(rawdoc! {"t": zero}.as_bytes()).is_err());
    }
}
