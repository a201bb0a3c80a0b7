//! `Definition`: what a collection or view has to be, apart from its documents.
//!
//! As `listCollections` and `listIndexes` tell it: from the base or from `create`, changed by what
//! the events say. What follows from an event only by the server's own rules is not judged: a
//! `collMod` of one of a validator's fields may bring others of them along.
//!
//! Fields are compared by name, as a server may list what was changed in another order, and
//! numbers by value: a server keeps a 32-bit `expireAfterSeconds` as 64 bits, and `size` too.

use std::collections::BTreeMap;

use bson::raw::RawDocument;
use changetape_core::Error;
use changetape_core::raw::{self, Element, kind};

use super::difference::{self, FieldDifference, How};

const WHAT: &str = "a definition";

/// What belongs together: a change of one may bring others along.
const VALIDATION: [&[u8]; 3] = [b"validator", b"validationLevel", b"validationAction"];

/// What is or is not recorded of changes; off is the same as not there.
const IMAGES: &[u8] = b"changeStreamPreAndPostImages";

/// Options or an index, by field name.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Fields(BTreeMap<Vec<u8>, Field>);

/// What a field has to be.
#[derive(Debug, Clone, PartialEq)]
enum Field {
    Value {
        kind: u8,
        value: Vec<u8>,
    },
    /// It may be anything, or missing.
    Anything,
}

/// What a name has to lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Collection,
    View,
    /// No change stream says what is in it.
    TimeSeries,
}

/// What a collection or view has to be; of one that was there before the tape only what the
/// events say.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Definition {
    pub(super) kind: Option<Kind>,
    /// `None` if they are not known.
    pub(super) options: Option<Fields>,
    /// By name; `None` for one that was dropped.
    pub(super) indexes: BTreeMap<String, Option<Fields>>,
    /// Whether there are no indexes but these.
    pub(super) all_indexes: bool,
}

impl Fields {
    pub(super) fn read(document: &[u8]) -> Result<Self, Error> {
        let mut fields = Self::default();
        for element in raw::elements(WHAT, document)? {
            fields.set(element?);
        }
        Ok(fields)
    }

    fn set(&mut self, element: Element<'_>) {
        let value = Field::Value { kind: element.kind, value: element.value.to_vec() };
        self.0.insert(element.name.to_vec(), value);
    }

    fn remove(&mut self, name: &[u8]) {
        self.0.remove(name);
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<Element<'_>> {
        let (name, field) = self.0.get_key_value(name)?;
        match field {
            Field::Value { kind, value } => Some(Element { kind: *kind, name, value }),
            Field::Anything => None,
        }
    }

    /// Puts another text into a field.
    pub(super) fn set_text(&mut self, name: &[u8], text: &str) {
        let mut value = i32::try_from(text.len() + 1).unwrap_or(i32::MAX).to_le_bytes().to_vec();
        value.extend_from_slice(text.as_bytes());
        value.push(0);
        self.0.insert(name.to_vec(), Field::Value { kind: kind::STRING, value });
    }

    fn text(&self, name: &[u8]) -> Option<String> {
        Some(String::from_utf8_lossy(self.get(name)?.string()?).into_owned())
    }

    /// The first field that differs in what a server lists.
    pub(super) fn difference(&self, found: &Self) -> Result<Option<FieldDifference>, Error> {
        for (name, field) in &self.0 {
            let Field::Value { kind, value } = field else { continue };
            let expected = Element { kind: *kind, name, value };
            let path = expected.name_lossy();
            let Some(found) = found.get(name) else {
                if is_off(expected)? {
                    continue;
                }
                return Ok(Some(FieldDifference { path, how: How::Missing }));
            };
            if expected == found || number(expected).is_some_and(|n| number(found) == Some(n)) {
                continue;
            }
            let inner =
                |element: Element<'_>| element.document().or(element.array()).map(<[u8]>::to_vec);
            if let (Some(outer), Some(inner)) = (inner(expected), inner(found))
                && expected.kind == found.kind
            {
                let Some(first) = difference::first(&outer, &inner)? else { continue };
                return Ok(Some(FieldDifference {
                    path: format!("{path}.{}", first.path),
                    ..first
                }));
            }
            return Ok(Some(FieldDifference { path, how: difference::value(expected, found) }));
        }
        for name in found.0.keys().filter(|name| !self.0.contains_key(*name)) {
            if let Some(element) = found.get(name)
                && !is_off(element)?
            {
                let path = element.name_lossy();
                return Ok(Some(FieldDifference { path, how: How::Extra }));
            }
        }
        Ok(None)
    }
}

/// Whether an option says what is so without it.
fn is_off(option: Element<'_>) -> Result<bool, Error> {
    let Some(images) = option.document().filter(|_| option.name == IMAGES) else {
        return Ok(false);
    };
    let enabled = raw::find(WHAT, images, "enabled")?;
    Ok(enabled.is_some_and(|enabled| enabled.kind == kind::BOOLEAN && enabled.value == [0]))
}

/// A number's value; those that are no whole numbers are compared as they are.
pub(super) fn number(element: Element<'_>) -> Option<i64> {
    if element.kind != kind::DOUBLE {
        return element.as_i64();
    }
    let value = f64::from_le_bytes(element.value.try_into().ok()?);
    // Sizes and seconds lie far within what a double holds exactly.
    #[allow(clippy::cast_possible_truncation)]
    (value.fract() == 0.0 && value.abs() < 9e15).then_some(value as i64)
}

impl Definition {
    /// What a base says of a collection or view.
    pub(super) fn in_base(base: &changetape_tape::Definition) -> Result<Self, Error> {
        let mut definition = Self {
            kind: Some(Kind::of(&base.kind)),
            options: Some(Fields::read(base.options.as_bytes())?),
            all_indexes: true,
            ..Self::default()
        };
        for index in &base.indexes {
            definition.add_index(index.as_bytes())?;
        }
        Ok(definition)
    }

    /// What a `create` makes.
    pub(super) fn created(description: &RawDocument) -> Result<Self, Error> {
        let mut definition =
            Self { kind: Some(Kind::Collection), all_indexes: true, ..Self::default() };
        let mut options = Fields::default();
        for element in raw::elements(WHAT, description.as_bytes())? {
            let element = element?;
            match element.name {
                // Only the server itself makes temporary collections.
                b"temp" => continue,
                b"idIndex" => {
                    definition.add_index(element.value)?;
                    continue;
                }
                b"timeseries" => definition.kind = Some(Kind::TimeSeries),
                b"viewOn" if element.string().is_some_and(is_bucket) => {
                    definition.kind = Some(Kind::TimeSeries);
                }
                b"viewOn" if definition.kind == Some(Kind::Collection) => {
                    definition.kind = Some(Kind::View);
                }
                _ => {}
            }
            options.set(element);
        }
        definition.options = Some(options);
        Ok(definition)
    }

    /// What a view is on, and its options; `None` if it is none.
    pub(super) fn view(&mut self) -> Option<(String, &mut Fields)> {
        let options = self.options.as_mut().filter(|_| self.kind == Some(Kind::View))?;
        Some((options.text(b"viewOn")?, options))
    }

    /// `createIndexes`.
    pub(super) fn create_indexes(&mut self, description: &RawDocument) -> Result<(), Error> {
        each_index(description, |index| self.add_index(index))
    }

    /// `dropIndexes`.
    pub(super) fn drop_indexes(&mut self, description: &RawDocument) -> Result<(), Error> {
        each_index(description, |index| {
            let name = index_name(index)?;
            if self.all_indexes {
                self.indexes.remove(&name);
            } else {
                self.indexes.insert(name, None);
            }
            Ok(())
        })
    }

    /// `collMod`.
    pub(super) fn modify(&mut self, description: &RawDocument) -> Result<(), Error> {
        let description = description.as_bytes();
        if let Some(index) = raw::find(WHAT, description, "index")?.and_then(|it| it.document()) {
            self.modify_index(index)?;
        }
        let Some(options) = &mut self.options else { return Ok(()) };
        for element in raw::elements(WHAT, description)? {
            let element = element?;
            match element.name {
                b"index" => {}
                b"expireAfterSeconds" if element.as_i64().is_none() => options.remove(element.name),
                b"expireAfterSeconds" | b"viewOn" | b"pipeline" | IMAGES => options.set(element),
                b"cappedSize" => options.set(Element { name: b"size", ..element }),
                b"cappedMax" => options.set(Element { name: b"max", ..element }),
                name if VALIDATION.contains(&name) => {
                    for other in VALIDATION {
                        options.0.entry(other.to_vec()).or_insert(Field::Anything);
                    }
                    options.set(element);
                    if element.document() == Some(raw::EMPTY_DOCUMENT) {
                        options.0.insert(name.to_vec(), Field::Anything);
                    }
                }
                name => drop(options.0.insert(name.to_vec(), Field::Anything)),
            }
        }
        Ok(())
    }

    fn add_index(&mut self, index: &[u8]) -> Result<(), Error> {
        // A clustered index is part of the collection, and none of its own.
        if raw::find(WHAT, index, "clustered")?.is_some() {
            return Ok(());
        }
        let mut fields = Fields::read(index)?;
        // As servers before 4.4 write it.
        fields.remove(b"ns");
        self.indexes.insert(index_name(index)?, Some(fields));
        Ok(())
    }

    fn modify_index(&mut self, change: &[u8]) -> Result<(), Error> {
        let name = raw::find(WHAT, change, "name")?.and_then(|name| name.string());
        let key = raw::find(WHAT, change, "keyPattern")?;
        let is_meant = |(index, fields): &(&String, &mut Fields)| match (name, key) {
            (Some(name), _) => index.as_bytes() == name,
            (None, Some(key)) => fields.get(b"key").is_some_and(|of| of.value == key.value),
            (None, None) => false,
        };
        let known = self.indexes.iter_mut().filter_map(|(name, it)| Some((name, it.as_mut()?)));
        let Some((_, index)) = known.into_iter().find(is_meant) else { return Ok(()) };
        for element in raw::elements(WHAT, change)? {
            let element = element?;
            match (element.name, element.value) {
                (b"name" | b"keyPattern", _) => {}
                // What is not so is not listed.
                (b"hidden" | b"prepareUnique" | b"unique", [0]) => index.remove(element.name),
                (b"unique", _) => {
                    index.remove(b"prepareUnique");
                    index.set(element);
                }
                (b"hidden" | b"prepareUnique" | b"expireAfterSeconds", _) => index.set(element),
                (name, _) => drop(index.0.insert(name.to_vec(), Field::Anything)),
            }
        }
        Ok(())
    }
}

impl Kind {
    /// By the name that `listCollections` has for it.
    pub(super) fn of(name: &str) -> Self {
        match name {
            "view" => Self::View,
            "timeseries" => Self::TimeSeries,
            _ => Self::Collection,
        }
    }
}

/// Whether a view is on what the server keeps a time-series collection's data in.
fn is_bucket(view_on: &[u8]) -> bool {
    view_on.starts_with(b"system.buckets.")
}

fn index_name(index: &[u8]) -> Result<String, Error> {
    let name = raw::find(WHAT, index, "name")?.and_then(|name| name.string());
    let name = name.ok_or(Error::MissingField { field: "operationDescription.indexes.name" })?;
    Ok(String::from_utf8_lossy(name).into_owned())
}

fn each_index(
    description: &RawDocument,
    mut take: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    const FIELD: &str = "operationDescription.indexes";
    let indexes = raw::find(WHAT, description.as_bytes(), "indexes")?;
    let indexes = indexes.and_then(|indexes| indexes.array());
    for index in raw::elements(WHAT, indexes.ok_or(Error::MissingField { field: FIELD })?)? {
        take(index?.value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
