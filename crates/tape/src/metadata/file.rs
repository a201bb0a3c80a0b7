//! Metadata as a document, and the file `metadata` that holds it.
//!
//! A frame (see `frame`, magic "CTMD") around a BSON document: see [`to_document`] and
//! docs/tape-format.md. A field that is absent has no value, as `replicaSetId` of a source that
//! would not tell.

use std::path::Path;

use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{Bson, Document, doc};
use changetape_core::{NamespaceFilter, NamespacePattern, OperationType};

use super::{Metadata, SourceIdentity, StreamOptions, UpdateForm};
use crate::frame::{self, Magic};
use crate::{Error, disk, layout};

pub(crate) const MAGIC: Magic = *b"CTMD";

/// Writes the file of a new tape.
pub(crate) fn create(dir: &Path, metadata: &Metadata) -> Result<(), Error> {
    let path = dir.join(layout::METADATA);
    let bytes = encode(metadata).ok_or_else(|| Error::does_not_fit("write", &path))?;
    disk::write_new(&path, &bytes)
}

/// Reads a tape's file; `None` if it is not what was written.
pub(crate) fn read(tape: &Path) -> Result<Option<Metadata>, Error> {
    let bytes = disk::read_small(&tape.join(layout::METADATA), frame::MAX_LEN as u64)?;
    Ok(bytes.and_then(|bytes| decode(&bytes)))
}

/// The file's bytes; `None` if the document is longer than allowed.
pub(crate) fn encode(metadata: &Metadata) -> Option<Vec<u8>> {
    frame::encode(MAGIC, &to_document(metadata)?)
}

/// `None` if the bytes are not what was written.
pub(crate) fn decode(bytes: &[u8]) -> Option<Metadata> {
    from_document(frame::decode(MAGIC, bytes)?)
}

/// Metadata as a document; `None` if it cannot be one.
pub(crate) fn to_document(metadata: &Metadata) -> Option<RawDocumentBuf> {
    let Metadata { source, stream, created_by, created_at } = metadata;
    let text = |values: &[NamespacePattern]| values.iter().map(ToString::to_string).collect();
    let include: Vec<String> = text(&stream.filter.include);
    let exclude: Vec<String> = text(&stream.filter.exclude);
    let operations: Vec<&str> = stream.operations.iter().map(OperationType::as_str).collect();
    let mut document = doc! {
        "replicaSet": &source.replica_set,
        "serverVersion": &source.server_version,
        "include": include,
        "exclude": exclude,
        "operations": operations,
        "updates": stream.updates.as_str(),
        "createdBy": created_by,
        "createdAt": bson::DateTime::from(*created_at),
    };
    let optional = [
        ("replicaSetId", source.replica_set_id.map(Bson::ObjectId)),
        ("fullDocument", stream.full_document.clone().map(Bson::String)),
        ("fullDocumentBeforeChange", stream.full_document_before_change.clone().map(Bson::String)),
    ];
    document
        .extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    let mut document = RawDocumentBuf::try_from(&document).ok()?;
    // The stages are copied as bytes: they are the user's own.
    let mut pipeline = bson::raw::RawArrayBuf::new();
    stream.pipeline.iter().for_each(|stage| pipeline.push(stage.clone()));
    document.append(bson::cstr!("pipeline"), pipeline);

    Some(document)
}

/// Reads what [`to_document`] made.
pub(crate) fn from_document(raw: &RawDocument) -> Option<Metadata> {
    let document = Document::try_from(raw).ok()?;
    let text = |name: &str| document.get_str(name).ok().map(str::to_owned);
    let texts = |name: &str| {
        let values = document.get_array(name).ok()?;
        values.iter().map(Bson::as_str).collect::<Option<Vec<_>>>()
    };
    let patterns = |name: &str| {
        let parsed = texts(name)?.into_iter().map(str::parse).collect::<Result<_, _>>();
        parsed.ok()
    };
    let stages = raw.get_array("pipeline").ok()?.into_iter();
    let stage = |stage: bson::error::Result<bson::raw::RawBsonRef<'_>>| {
        stage.ok()?.as_document().map(ToOwned::to_owned)
    };
    Some(Metadata {
        source: SourceIdentity {
            replica_set: text("replicaSet")?,
            replica_set_id: document.get_object_id("replicaSetId").ok(),
            server_version: text("serverVersion")?,
        },
        stream: StreamOptions {
            filter: NamespaceFilter {
                include: patterns("include")?,
                exclude: patterns("exclude")?,
            },
            operations: texts("operations")?.into_iter().map(OperationType::from).collect(),
            pipeline: stages.map(stage).collect::<Option<_>>()?,
            updates: match document.get_str("updates").ok()? {
                "raw" => UpdateForm::Raw,
                "public" => UpdateForm::Public,
                _ => return None,
            },
            full_document: text("fullDocument"),
            full_document_before_change: text("fullDocumentBeforeChange"),
        },
        created_by: text("createdBy")?,
        created_at: (*document.get_datetime("createdAt").ok()?).into(),
    })
}
