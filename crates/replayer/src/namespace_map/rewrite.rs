//! Writing an event under its new names. Whatever is not a name is copied byte for byte.
//!
//! | where | what |
//! | --- | --- |
//! | `ns`, `to` | `db` and `coll` |
//! | `operationDescription.to` | the same |
//! | `operationDescription.viewOn` | a collection of the view's own database |
//! | `operationDescription.indexes[].ns` | `db.collection`, as servers before 4.4 write it |
//! | `viewOn` of a view in the base | as in `operationDescription` |
//!
//! Names inside a view's pipeline (`$lookup`, `$unionWith`) are left alone: under a rule for
//! a whole database they stay right, and under a rule for a collection only people can tell.

use bson::raw::{RawDocument, RawDocumentBuf};
use changetape_core::raw::{self, DocumentWriter, Element, kind};
use changetape_core::{ChangeEvent, Error, Namespace};

use super::{Mapped, NamespaceMap};

const WHAT: &str = "the event";

/// The event with its names as the map has them; `target` is what its `ns` becomes.
pub(super) fn event(
    map: &NamespaceMap,
    event: &ChangeEvent<'_>,
    ns: &Namespace,
    target: &Namespace,
) -> Result<Mapped, Error> {
    let bytes = event.as_bytes();
    let mut writer = DocumentWriter::with_capacity(bytes.len() + 64);
    for element in raw::elements(WHAT, bytes)? {
        let element = element?;
        match (element.name, element.document()) {
            (b"ns", Some(_)) => write_namespace(&mut writer, element, target)?,
            (b"to", Some(_)) => match event.renamed_to()? {
                Some(to) => write_namespace(&mut writer, element, &map.target(&to))?,
                None => writer.element(element),
            },
            (b"operationDescription", Some(description)) => {
                writer.open(kind::DOCUMENT, element.name);
                let view_stays = write_description(&mut writer, map, description, ns, target)?;
                writer.close();
                if !view_stays {
                    return Ok(Mapped::Impossible(
                        "a view cannot be in another database than what it is on",
                    ));
                }
            }
            _ => writer.element(element),
        }
    }
    Ok(Mapped::Changed(ChangeEvent::from(writer.finish()?)))
}

/// The options of a collection or view with its names as the map has them; `None` for a view that
/// would not stay in the database of what it is on.
pub(super) fn options(
    map: &NamespaceMap,
    options: &RawDocument,
    ns: &Namespace,
    target: &Namespace,
) -> Result<Option<RawDocumentBuf>, Error> {
    let mut writer = DocumentWriter::new();
    let view_stays = write_description(&mut writer, map, options.as_bytes(), ns, target)?;
    view_stays.then(|| writer.finish()).transpose()
}

/// Returns whether a view, if it is one, stays in the database of what it is on.
fn write_description(
    writer: &mut DocumentWriter,
    map: &NamespaceMap,
    description: &[u8],
    ns: &Namespace,
    target: &Namespace,
) -> Result<bool, Error> {
    for element in raw::elements(WHAT, description)? {
        let element = element?;
        match (element.name, element.kind) {
            (b"to", kind::DOCUMENT) => {
                let to = namespace(element)?;
                write_namespace(writer, element, &map.target(&to))?;
            }
            (b"viewOn", kind::STRING) => {
                let on = Namespace::collection(&*ns.db, text(element).into_owned());
                let on = map.target(&on);
                if on.db != target.db {
                    return Ok(false);
                }
                writer.string(element.name, on.coll.unwrap_or_default().as_bytes());
            }
            (b"indexes", kind::ARRAY) => {
                writer.open(kind::ARRAY, element.name);
                for index in raw::elements(WHAT, element.value)? {
                    write_index(writer, index?, target)?;
                }
                writer.close();
            }
            _ => writer.element(element),
        }
    }
    Ok(true)
}

fn write_index(
    writer: &mut DocumentWriter,
    index: Element<'_>,
    target: &Namespace,
) -> Result<(), Error> {
    let Some(spec) = index.document() else {
        writer.element(index);
        return Ok(());
    };
    writer.open(kind::DOCUMENT, index.name);
    for element in raw::elements(WHAT, spec)? {
        let element = element?;
        match (element.name, element.kind) {
            (b"ns", kind::STRING) => writer.string(b"ns", target.to_string().as_bytes()),
            _ => writer.element(element),
        }
    }
    writer.close();
    Ok(())
}

fn write_namespace(
    writer: &mut DocumentWriter,
    element: Element<'_>,
    target: &Namespace,
) -> Result<(), Error> {
    writer.open(kind::DOCUMENT, element.name);
    for part in raw::elements(WHAT, element.value)? {
        let part = part?;
        match (part.name, &target.coll) {
            (b"db", _) => writer.string(part.name, target.db.as_bytes()),
            (b"coll", Some(coll)) => writer.string(part.name, coll.as_bytes()),
            _ => writer.element(part),
        }
    }
    writer.close();
    Ok(())
}

fn namespace(element: Element<'_>) -> Result<Namespace, Error> {
    let mut ns = Namespace::database("");
    for part in raw::elements(WHAT, element.value)? {
        let part = part?;
        match part.name {
            b"db" => ns.db = text(part).into_owned(),
            b"coll" => ns.coll = Some(text(part).into_owned()),
            _ => {}
        }
    }
    Ok(ns)
}

/// A string's text, without its length before and its zero after.
fn text(element: Element<'_>) -> std::borrow::Cow<'_, str> {
    let end = element.value.len().saturating_sub(1);
    String::from_utf8_lossy(element.value.get(4..end).unwrap_or_default())
}
