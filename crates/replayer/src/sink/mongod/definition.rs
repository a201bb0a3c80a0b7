//! Collections, views and indexes: events that are about no document. A base has the same commands
//! ([`create`], [`create_indexes`], [`drop`]), and finds nothing there.
//!
//! | event | command | already so (*adapted*) | *divergent* |
//! | --- | --- | --- | --- |
//! | create | `create` | it exists with the same options | it exists with others |
//! | createIndexes | `createIndexes` | one of the name is there with other options: it is dropped first | |
//! | dropIndexes | `dropIndexes`, one for each | collection or index is not there | |
//! | modify | `collMod` | | collection or index is not there |
//! | rename | `renameCollection`, `dropTarget: true` | only the new name exists | neither exists |
//! | drop | `drop` | it is not there | |
//! | dropDatabase | `dropDatabase` | | |
//!
//! What the command takes comes from `operationDescription`, byte for byte, except `temp`
//! (only the server itself makes temporary collections, and a restart would remove them) and
//! an index's `ns` (which servers before 4.4 wrote). A rename always drops its target: where
//! the source succeeded, either nothing was there or it was dropped, and a rename over a
//! collection has no `drop` event of its own.
//!
//! `convertToCapped` shows as a `create` under a temporary name and a `rename` over the
//! collection (see [`conversion`]). So the rename is played as the conversion itself. (`cloneCollectionAsCapped` cannot be told from
//! a `create`: its documents are missing from every tape.)
//!
//! A time-series collection shows as the creation of a view whose data no change stream
//! contains; it is skipped. So are the sharding commands.

mod execute;

use std::borrow::Cow;

use bson::Document;
use bson::raw::{RawDocument, RawDocumentBuf};
use changetape_core::raw::{self, DocumentWriter, Element, kind};
use changetape_core::{ChangeEvent, Error, Namespace, OperationType};

pub(super) use execute::{Found, execute};

use super::target::write_concern;
use crate::conversion;

const WHAT: &str = "the event";

/// What is to be done about an event.
pub(super) enum Plan {
    /// Run these, in order.
    Commands(Vec<Definition>),
    /// Nothing can be done; why.
    Skip(Cow<'static, str>),
}

/// A command.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Definition {
    db: String,
    command: RawDocumentBuf,
    check: Check,
}

/// What it means when the server finds its object missing, or there.
#[derive(Debug, Clone, PartialEq)]
enum Check {
    /// Creating indexes that are there with other options; these drop them.
    MayDiffer(Vec<Definition>),
    /// Dropping what is not there.
    MayBeGone,
    /// Changing what is not there.
    MustBeThere,
    /// Creating what is there, with these options.
    MayExist(Document),
    /// Renaming what is not there, to this.
    MayHaveMoved(Namespace),
    /// Renaming the empty copy of this collection that a conversion has made.
    Converts(Namespace),
}

/// Who must have built an index before it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quorum {
    /// A standalone mongod, which knows no others.
    Alone,
    /// Most members of a replica set. The server's own default, every member that votes,
    /// would wait for one that is down for as long as it stays down.
    Majority,
}

/// Says what is to be done about an event.
pub(super) fn plan(
    event: &ChangeEvent<'_>,
    operation: &OperationType,
    ns: &Namespace,
    quorum: Quorum,
) -> Result<Plan, Error> {
    let described = || {
        let missing = Error::MissingField { field: "operationDescription" };
        event.operation_description()?.ok_or(missing)
    };
    let definition = match operation {
        OperationType::Create => return create(described()?, ns),
        OperationType::CreateIndexes => create_indexes(described()?, ns, quorum)?,
        OperationType::DropIndexes => {
            return Ok(Plan::Commands(drop_indexes(described()?, ns)?));
        }
        OperationType::Modify => {
            let mut writer = begin("collMod", ns);
            for element in raw::elements(WHAT, described()?.as_bytes())? {
                writer.element(element?);
            }
            finish(&ns.db, writer, Check::MustBeThere)?
        }
        OperationType::Rename => {
            let to = event.renamed_to()?.ok_or(Error::MissingField { field: "to" })?;
            let mut writer = DocumentWriter::new();
            writer.string(b"renameCollection", ns.to_string().as_bytes());
            writer.string(b"to", to.to_string().as_bytes());
            writer.value(kind::BOOLEAN, b"dropTarget", &[1]);
            let check =
                if conversion::is_copy(ns) { Check::Converts(to) } else { Check::MayHaveMoved(to) };
            finish("admin", writer, check)?
        }
        OperationType::Drop => drop(ns)?,
        OperationType::DropDatabase => {
            let mut writer = DocumentWriter::new();
            writer.int32(b"dropDatabase", 1);
            finish(&ns.db, writer, Check::MayBeGone)?
        }
        OperationType::ShardCollection
        | OperationType::RefineCollectionShardKey
        | OperationType::ReshardCollection => {
            return Ok(Plan::Skip("how a collection is sharded is not replayed".into()));
        }
        other => return Ok(Plan::Skip(format!("{other} events are not known").into())),
    };
    Ok(Plan::Commands(vec![definition]))
}

/// What creates a collection or view.
pub(super) fn create(description: &RawDocument, ns: &Namespace) -> Result<Plan, Error> {
    let mut writer = begin("create", ns);
    // As `listCollections` tells them.
    let mut options = DocumentWriter::new();
    for element in raw::elements(WHAT, description.as_bytes())? {
        let element = element?;
        match element.name {
            b"temp" => continue,
            b"timeseries" => return Ok(time_series()),
            b"viewOn" if is_bucket(element) => return Ok(time_series()),
            b"idIndex" => {}
            _ => options.element(element),
        }
        writer.element(element);
    }
    let options = Document::try_from(options.finish()?)
        .map_err(|source| Error::Malformed { what: WHAT, source: Box::new(source) })?;
    Ok(Plan::Commands(vec![finish(&ns.db, writer, Check::MayExist(options))?]))
}

/// What creates indexes.
pub(super) fn create_indexes(
    description: &RawDocument,
    ns: &Namespace,
    quorum: Quorum,
) -> Result<Definition, Error> {
    let mut writer = begin("createIndexes", ns);
    copy_indexes(&mut writer, description)?;
    if quorum == Quorum::Majority {
        writer.string(b"commitQuorum", b"majority");
    }
    let drops = drop_indexes(description, ns)?;
    finish(&ns.db, writer, Check::MayDiffer(drops))
}

/// What drops a collection or view.
pub(super) fn drop(ns: &Namespace) -> Result<Definition, Error> {
    finish(&ns.db, begin("drop", ns), Check::MayBeGone)
}

/// Whether a view is on what the server keeps a time-series collection's data in.
fn is_bucket(view_on: Element<'_>) -> bool {
    view_on.value.get(4..).is_some_and(|name| name.starts_with(b"system.buckets."))
}

fn time_series() -> Plan {
    Plan::Skip("no change stream contains the data of time-series collections".into())
}

fn drop_indexes(description: &RawDocument, ns: &Namespace) -> Result<Vec<Definition>, Error> {
    let mut definitions = Vec::new();
    for index in indexes(description)? {
        let name = raw::find(WHAT, index?.value, "name")?;
        let name =
            name.ok_or(Error::MissingField { field: "operationDescription.indexes.name" })?;
        let mut writer = begin("dropIndexes", ns);
        writer.value(name.kind, b"index", name.value);
        definitions.push(finish(&ns.db, writer, Check::MayBeGone)?);
    }
    Ok(definitions)
}

fn copy_indexes(writer: &mut DocumentWriter, description: &RawDocument) -> Result<(), Error> {
    writer.open(kind::ARRAY, b"indexes");
    for index in indexes(description)? {
        let index = index?;
        writer.open(kind::DOCUMENT, index.name);
        for element in raw::elements(WHAT, index.value)? {
            let element = element?;
            if element.name != b"ns" {
                writer.element(element);
            }
        }
        writer.close();
    }
    writer.close();
    Ok(())
}

/// `operationDescription.indexes`, an array of documents.
fn indexes(description: &RawDocument) -> Result<raw::Elements<'_>, Error> {
    const FIELD: &str = "operationDescription.indexes";
    let indexes = raw::find(WHAT, description.as_bytes(), "indexes")?
        .ok_or(Error::MissingField { field: FIELD })?;
    let array = indexes.array().ok_or(Error::WrongType { field: FIELD, expected: "an array" })?;
    raw::elements(WHAT, array)
}

/// A command about a collection.
fn begin(verb: &str, ns: &Namespace) -> DocumentWriter {
    let mut writer = DocumentWriter::new();
    writer.string(verb.as_bytes(), ns.coll.as_deref().unwrap_or_default().as_bytes());
    writer
}

fn finish(db: &str, mut writer: DocumentWriter, check: Check) -> Result<Definition, Error> {
    write_concern(&mut writer);
    Ok(Definition { db: db.to_owned(), command: writer.finish()?, check })
}

#[cfg(test)]
mod tests;
