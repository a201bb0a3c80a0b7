//! `Differences`: where two dumps part, in words.

use std::collections::BTreeMap;
use std::fmt;

use bson::raw::RawDocumentBuf;
use bson::{Bson, Document};
use changetape_core::raw::{self, DocumentWriter, Element};

use super::{Contents, DocumentKey, Dump};

/// How many differences are described; the rest is only counted.
const DESCRIBED: usize = 20;

/// How much of a value is shown, in characters.
const SHOWN: usize = 160;

/// What one dump, the one found, has different from another, the one expected.
///
/// Displayed a line each, the first twenty, then how many more there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    described: Vec<String>,
    total: usize,
}

impl Differences {
    /// Whether the two are the same, byte for byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// How many documents, indexes, options or whole collections differ.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    pub(super) fn between(expected: &Dump, found: &Dump) -> Self {
        let mut differences = Self::default();
        for (namespace, here, there) in paired(&expected.collections, &found.collections) {
            match (here, there) {
                (Some(expected), Some(found)) => {
                    differences.compare_contents(&namespace.to_string(), expected, found);
                }
                (Some(expected), None) => {
                    differences.add(|| format!("{namespace}: this {} is missing", expected.kind));
                }
                (None, _) => differences.add(|| format!("{namespace}: not expected to exist")),
            }
        }
        differences
    }

    fn compare_contents(&mut self, namespace: &str, expected: &Contents, found: &Contents) {
        if expected.kind != found.kind {
            let (expected, found) = (&expected.kind, &found.kind);
            self.add(|| format!("{namespace}: expected a {expected}, found a {found}"));
        }
        let options = || format!("{namespace}: options");
        self.compare_documents(options, Some(&expected.options), Some(&found.options));
        for (name, here, there) in paired(&expected.indexes, &found.indexes) {
            self.compare_documents(|| format!("{namespace}: index {name:?}"), here, there);
        }
        for (key, here, there) in paired(&expected.documents, &found.documents) {
            self.compare_documents(|| format!("{namespace}: document {key}"), here, there);
        }
        if let (Some(expected), Some(found)) = (&expected.order, &found.order)
            && let Some((here, there)) = expected.iter().zip(found).find(|(a, b)| a != b)
        {
            self.add(|| format!("{namespace}: where {here} should be in the order, {there} is"));
        }
    }

    fn compare_documents(
        &mut self,
        what: impl Fn() -> String,
        expected: Option<&RawDocumentBuf>,
        found: Option<&RawDocumentBuf>,
    ) {
        match (expected, found) {
            (Some(expected), Some(found)) if expected.as_bytes() == found.as_bytes() => {}
            (Some(expected), Some(found)) => self.add(|| {
                let place = first_difference("", expected.as_bytes(), found.as_bytes());
                format!("{}: {}", what(), place.unwrap_or_else(|| "bytes differ".to_owned()))
            }),
            (Some(_), None) => self.add(|| format!("{} is missing", what())),
            (None, _) => self.add(|| format!("{} is not expected", what())),
        }
    }

    fn add(&mut self, describe: impl FnOnce() -> String) {
        self.total += 1;
        if self.described.len() < DESCRIBED {
            self.described.push(describe());
        }
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("identical");
        }
        f.write_str(&self.described.join("\n"))?;
        match self.total - self.described.len() {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl fmt::Display for DocumentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(Element { kind: self.kind, name: b"_id", value: &self.value }))
    }
}

/// The entries of both maps, in order, those of one key together.
fn paired<'a, K: Ord, V>(
    left: &'a BTreeMap<K, V>,
    right: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, Option<&'a V>, Option<&'a V>)> {
    let only_right = right.iter().filter(|(key, _)| !left.contains_key(key));
    let in_left = left.iter().map(|(key, value)| (key, Some(value), right.get(key)));
    in_left.chain(only_right.map(|(key, value)| (key, None, Some(value))))
}

/// Where two documents first part, and how.
fn first_difference(path: &str, expected: &[u8], found: &[u8]) -> Option<String> {
    let elements =
        |bytes| raw::elements("a document", bytes).ok()?.collect::<Result<Vec<_>, _>>().ok();
    let (expected, found) = (elements(expected)?, elements(found)?);
    let place = |name: String| if path.is_empty() { name } else { format!("{path}.{name}") };
    for (here, there) in expected.iter().zip(&found) {
        if here == there {
            continue;
        }
        let at = place(here.name_lossy());
        if here.name != there.name {
            let instead = there.name_lossy();
            return Some(format!("where {at:?} should be, the field {instead:?} is"));
        }
        let nested =
            |element: &Element<'_>| element.document().is_some() || element.array().is_some();
        if here.kind == there.kind && nested(here) {
            return first_difference(&at, here.value, there.value);
        }
        return Some(format!("at {at:?}: expected {}, found {}", shown(*here), shown(*there)));
    }
    let (lost, extra) = (expected.get(found.len()), found.get(expected.len()));
    let lost = lost.map(|e| format!("{:?} is missing: {}", place(e.name_lossy()), shown(*e)));
    lost.or_else(|| {
        extra.map(|e| format!("{:?} is not expected: {}", place(e.name_lossy()), shown(*e)))
    })
}

/// A value as canonical Extended JSON, which tells types apart; the bytes if it cannot be
/// read or if another value would look the same.
fn shown(element: Element<'_>) -> String {
    let mut writer = DocumentWriter::new();
    writer.value(element.kind, b"v", element.value);
    let value = Document::from_reader(writer.into_bytes().as_slice());
    let text = match value.ok().and_then(|mut document| document.remove("v")) {
        // There are many NaNs.
        Some(Bson::Double(number)) if number.is_nan() => format!("NaN {:02x?}", element.value),
        Some(value) => value.into_canonical_extjson().to_string(),
        None => format!("type {:#04x} {:02x?}", element.kind, element.value),
    };
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}…", text.get(..cut).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests;
