//! What events become while expiries are held back.

use bson::Document;
use bson::raw::{RawDocument, RawDocumentBuf};
use changetape_core::raw::{self, DocumentWriter, Element, kind};
use changetape_core::{ChangeEvent, Error, Namespace};

use super::{EXPIRY, Held, LONGEST};

pub(super) const WHAT: &str = "the event";

impl Held {
    /// Holds the expiry that a collection is created with.
    pub(in crate::sink::mongod) fn create(
        &mut self,
        description: &RawDocument,
        ns: &Namespace,
    ) -> Result<RawDocumentBuf, Error> {
        let is_clustered = field(description.as_bytes(), "clusteredIndex")?.is_some();
        // The data of time series is in no change stream.
        let is_series = field(description.as_bytes(), "timeseries")?.is_some();
        match field(description.as_bytes(), EXPIRY)?.and_then(seconds) {
            Some(seconds) if is_clustered && !is_series => {
                self.hold(ns, None, seconds);
                rewritten(description, |writer, element| {
                    if element.name != EXPIRY.as_bytes() {
                        writer.element(element);
                    }
                    Ok(())
                })
            }
            _ => Ok(description.to_owned()),
        }
    }

    /// Holds the expiries of indexes that are created, where the target has these `present`.
    pub(in crate::sink::mongod) fn create_indexes(
        &mut self,
        description: &RawDocument,
        ns: &Namespace,
        present: &[Document],
    ) -> Result<RawDocumentBuf, Error> {
        rewritten(description, |writer, element| {
            let Some(indexes) = element.array().filter(|_| element.name == b"indexes") else {
                writer.element(element);
                return Ok(());
            };
            writer.open(kind::ARRAY, element.name);
            for index in raw::elements(WHAT, indexes)? {
                self.create_index(writer, index?, ns, present)?;
            }
            writer.close();
            Ok(())
        })
    }

    fn create_index(
        &mut self,
        writer: &mut DocumentWriter,
        index: Element<'_>,
        ns: &Namespace,
        present: &[Document],
    ) -> Result<(), Error> {
        let (Some(name), Some(seconds)) = (text(index.value, "name")?, fires_after(index.value)?)
        else {
            writer.element(index);
            return Ok(());
        };
        let fires = present.iter().any(|it| is(it, &name) && fires(it));
        writer.open(kind::DOCUMENT, index.name);
        copy_held(writer, index.value, fires)?;
        writer.close();
        self.hold(ns, Some(name), seconds);
        Ok(())
    }

    /// Holds the expiry to which something is modified, where the target has these indexes
    /// `present`.
    pub(in crate::sink::mongod) fn modify(
        &mut self,
        description: &RawDocument,
        ns: &Namespace,
        present: &[Document],
    ) -> Result<RawDocumentBuf, Error> {
        rewritten(description, |writer, element| {
            match (element.name, element.document()) {
                (name, _) if name == EXPIRY.as_bytes() => {
                    match seconds(element) {
                        Some(seconds) => self.hold(ns, None, seconds),
                        None => self.retain(|(of, index)| of != ns || index.is_some()),
                    }
                    // Refused, as the other would be, by what is not clustered.
                    writer.string(EXPIRY.as_bytes(), b"off");
                }
                (b"index", Some(change)) => {
                    self.modify_index(writer, element, change, ns, present)?;
                }
                _ => writer.element(element),
            }
            Ok(())
        })
    }

    fn modify_index(
        &mut self,
        writer: &mut DocumentWriter,
        element: Element<'_>,
        change: &[u8],
        ns: &Namespace,
        present: &[Document],
    ) -> Result<(), Error> {
        let name = text(change, "name")?;
        let named = name.and_then(|name| present.iter().find(|index| is(index, &name)));
        let seconds = field(change, EXPIRY)?.and_then(seconds);
        // What is not there is refused.
        let (Some(index), Some(seconds)) = (named, seconds) else {
            writer.element(element);
            return Ok(());
        };
        let fires = fires(index);
        let has_more = raw::elements(WHAT, change)?
            .flatten()
            .any(|field| field.name != b"name" && field.name != EXPIRY.as_bytes());
        if fires || has_more {
            writer.open(kind::DOCUMENT, element.name);
            copy_held(writer, change, fires)?;
            writer.close();
        }
        self.hold(ns, index.get_str("name").ok().map(str::to_owned), seconds);
        Ok(())
    }
}

pub(super) fn field<'a>(document: &'a [u8], name: &str) -> Result<Option<Element<'a>>, Error> {
    raw::find(WHAT, document, name)
}

pub(super) fn text(document: &[u8], name: &str) -> Result<Option<String>, Error> {
    let text = field(document, name)?.and_then(|element| element.string());
    Ok(text.map(|text| String::from_utf8_lossy(text).into_owned()))
}

/// An expiry. Servers list a whole number now, and listed whatever they were given once.
fn seconds(element: Element<'_>) -> Option<i64> {
    if element.kind != kind::DOUBLE {
        return element.as_i64();
    }
    let seconds = f64::from_le_bytes(element.value.try_into().ok()?);
    #[expect(clippy::cast_possible_truncation, reason = "the server cuts it off likewise")]
    seconds.is_finite().then_some(seconds as i64)
}

/// After how many seconds the documents in an index expire, if they do.
fn fires_after(index: &[u8]) -> Result<Option<i64>, Error> {
    let is_plain = match field(index, "key")?.and_then(|key| key.document()) {
        Some(key) => {
            let mut fields = raw::elements(WHAT, key)?;
            let only = fields.next().transpose()?;
            only.is_some_and(|only| only.kind != kind::STRING) && fields.next().is_none()
        }
        None => false,
    };
    let expiry = field(index, EXPIRY)?;
    Ok(expiry.filter(|_| is_plain).and_then(seconds))
}

/// The same of one that the target lists.
pub(super) fn fires(index: &Document) -> bool {
    let key = index.get_document("key").ok();
    let is_plain = key.is_some_and(|key| {
        let mut directions = key.values();
        directions.next().is_some_and(|it| it.as_str().is_none()) && directions.next().is_none()
    });
    is_plain && index.contains_key(EXPIRY)
}

pub(super) fn is(index: &Document, name: &str) -> bool {
    index.get_str("name").is_ok_and(|of| of == name)
}

/// Copies an index, or a change of one, without its expiry; with the longest one if the target's
/// `fires`.
fn copy_held(writer: &mut DocumentWriter, index: &[u8], fires: bool) -> Result<(), Error> {
    for element in raw::elements(WHAT, index)? {
        let element = element?;
        if element.name != EXPIRY.as_bytes() {
            writer.element(element);
        }
    }
    if fires {
        writer.int32(EXPIRY.as_bytes(), LONGEST);
    }
    Ok(())
}

/// A document made of another, whose fields `put` writes as they are to be.
fn rewritten<'a>(
    document: &'a RawDocument,
    mut put: impl FnMut(&mut DocumentWriter, Element<'a>) -> Result<(), Error>,
) -> Result<RawDocumentBuf, Error> {
    let mut writer = DocumentWriter::with_capacity(document.as_bytes().len());
    for element in raw::elements(WHAT, document.as_bytes())? {
        put(&mut writer, element?)?;
    }
    writer.finish()
}

/// Whether a description has an expiry, be it of an index.
pub(in crate::sink::mongod) fn has_expiry(description: &RawDocument) -> Result<bool, Error> {
    for element in raw::elements(WHAT, description.as_bytes())? {
        let element = element?;
        let of_index = |index: &[u8]| Ok::<_, Error>(field(index, EXPIRY)?.is_some());
        let has = match (element.name, element.document(), element.array()) {
            (b"index", Some(index), _) => of_index(index)?,
            (b"indexes", _, Some(indexes)) => {
                let mut has = false;
                for index in raw::elements(WHAT, indexes)? {
                    has |= of_index(index?.value)?;
                }
                has
            }
            (name, ..) => name == EXPIRY.as_bytes(),
        };
        if has {
            return Ok(true);
        }
    }
    Ok(false)
}

/// An event with another description.
pub(in crate::sink::mongod) fn describe(
    event: &ChangeEvent<'_>,
    description: &RawDocument,
) -> Result<ChangeEvent<'static>, Error> {
    let event = rewritten(event.as_raw(), |writer, element| {
        match element.name {
            name @ b"operationDescription" => {
                writer.value(kind::DOCUMENT, name, description.as_bytes());
            }
            _ => writer.element(element),
        }
        Ok(())
    });
    event.map(ChangeEvent::from)
}
