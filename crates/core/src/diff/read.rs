//! Reading one level of a diff: its sections, its sub-diffs, an array's changes.
//!
//! Everything that can be wrong with the format is found here, so that applying and
//! describing refuse the same diffs.

use super::{MAX_NESTING, WHAT, index};
use crate::Error;
use crate::raw::{self, EMPTY_DOCUMENT, Element, Elements, kind};

/// One level of a diff.
pub(super) enum Level<'a> {
    Document(DocumentDiff<'a>),
    Array(ArrayDiff<'a>),
}

/// What changes in a document, section by section.
pub(super) struct DocumentDiff<'a> {
    pub(super) deletes: Elements<'a>,
    pub(super) updates: Elements<'a>,
    pub(super) inserts: Elements<'a>,
    pub(super) binaries: Elements<'a>,
    pub(super) subs: SubDiffs<'a>,
}

/// A diff that is still to be read.
#[derive(Clone, Copy)]
pub(super) struct SubDiff<'a> {
    /// What the enclosing diff calls it: `s`, then the field or index.
    pub(super) key: &'a [u8],
    /// The field that changes inside; the digits of an index in an array.
    pub(super) field: &'a [u8],
    diff: &'a [u8],
}

/// The sub-diffs at the end of a document's diff.
#[derive(Clone)]
pub(super) struct SubDiffs<'a>(Elements<'a>);

/// What changes in an array.
pub(super) struct ArrayDiff<'a> {
    /// The array's length afterwards, where the diff sets it.
    pub(super) len: Option<usize>,
    changes: Elements<'a>,
    /// The smallest index that may come next.
    least: usize,
}

/// A change of one array element.
pub(super) struct ArrayChange<'a> {
    pub(super) index: usize,
    pub(super) what: ElementChange<'a>,
}

/// How an array element changes.
pub(super) enum ElementChange<'a> {
    /// It becomes this value; the name is the diff's, not the array's.
    Set(Element<'a>),
    /// It changes inside.
    Inside(SubDiff<'a>),
}

/// Reads the outermost level.
pub(super) fn outermost(diff: &[u8]) -> Result<DocumentDiff<'_>, Error> {
    // An array's header is no section: the outermost diff is a document's.
    DocumentDiff::read(diff)
}

impl<'a> SubDiff<'a> {
    fn read(element: Element<'a>) -> Result<Self, Error> {
        let key = element.name;
        let field = key.get(1..).unwrap_or_default();
        let diff = element.document();
        let diff = diff.ok_or_else(|| Error::bad_diff(key, "expected a document"))?;
        Ok(Self { key, field, diff })
    }

    /// Reads its level; `depth` is how many levels enclose it.
    pub(super) fn open(&self, depth: usize) -> Result<Level<'a>, Error> {
        if depth > MAX_NESTING {
            return Err(Error::bad_diff(b"", "nested deeper than a server allows"));
        }
        let mut elements = raw::elements(WHAT, self.diff)?;
        match elements.next().transpose()? {
            Some(first) if first.name == b"a" => ArrayDiff::read(first, elements).map(Level::Array),
            _ => DocumentDiff::read(self.diff).map(Level::Document),
        }
    }
}

impl<'a> DocumentDiff<'a> {
    fn read(diff: &'a [u8]) -> Result<Self, Error> {
        let none = raw::elements(WHAT, EMPTY_DOCUMENT)?;
        let mut sections = [none.clone(), none.clone(), none.clone(), none.clone()];
        let mut subs = none;
        let mut least = 0;
        let mut rest = raw::elements(WHAT, diff)?;
        let mut at = rest.clone();
        let mut empty = true;
        while let Some(element) = rest.next().transpose()? {
            empty = false;
            let place = match element.name {
                b"d" => 0,
                b"u" => 1,
                b"i" => 2,
                b"b" => 3,
                [b's', ..] => {
                    subs = at;
                    break;
                }
                other => {
                    return Err(Error::bad_diff(other, "a section this version does not know"));
                }
            };
            if place < least {
                return Err(Error::bad_diff(element.name, "a section out of order"));
            }
            least = place + 1;
            let section = element.document();
            let section =
                section.ok_or_else(|| Error::bad_diff(element.name, "expected a document"))?;
            if let Some(slot) = sections.get_mut(place) {
                *slot = raw::elements(WHAT, section)?;
            }
            at = rest.clone();
        }
        if empty {
            return Err(Error::bad_diff(b"", "empty"));
        }
        let [deletes, updates, inserts, binaries] = sections;
        Ok(Self { deletes, updates, inserts, binaries, subs: SubDiffs(subs) })
    }
}

impl<'a> Iterator for SubDiffs<'a> {
    type Item = Result<SubDiff<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.and_then(|element| match element.name {
            [b's', ..] => SubDiff::read(element),
            b"d" | b"u" | b"i" | b"b" => {
                Err(Error::bad_diff(element.name, "a section out of order"))
            }
            other => Err(Error::bad_diff(other, "a section this version does not know")),
        }))
    }
}

impl<'a> ArrayDiff<'a> {
    fn read(header: Element<'a>, mut rest: Elements<'a>) -> Result<Self, Error> {
        if header.kind != kind::BOOLEAN || header.value != [1] {
            return Err(Error::bad_diff(header.name, "expected true"));
        }
        let changes = rest.clone();
        match rest.next().transpose()? {
            Some(element) if element.name == b"l" => {
                let len = (element.kind == kind::INT32).then(|| element.as_i64()).flatten();
                let len = len.and_then(|len| usize::try_from(len).ok());
                let len = len.ok_or_else(|| Error::bad_diff(b"l", "expected a length"))?;
                Ok(Self { len: Some(len), changes: rest, least: 0 })
            }
            _ => Ok(Self { len: None, changes, least: 0 }),
        }
    }
}

impl<'a> Iterator for ArrayDiff<'a> {
    type Item = Result<ArrayChange<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.changes.next()?.and_then(|element| self.change(element)))
    }
}

impl<'a> ArrayDiff<'a> {
    fn change(&mut self, element: Element<'a>) -> Result<ArrayChange<'a>, Error> {
        let key = element.name;
        let (prefix, digits) = key.split_first().unwrap_or((&0, &[]));
        let what = match prefix {
            b'u' => ElementChange::Set(element),
            b's' => ElementChange::Inside(SubDiff::read(element)?),
            _ => return Err(Error::bad_diff(key, "a change this version does not know")),
        };
        let index =
            index::parse(digits).ok_or_else(|| Error::bad_diff(key, "expected an index"))?;
        // Past these a server fails or aborts: it never wrote such a diff.
        if index < self.least {
            return Err(Error::bad_diff(key, "an index out of order"));
        }
        if self.len.is_some_and(|len| index >= len) {
            return Err(Error::bad_diff(key, "an index beyond the array's new length"));
        }
        self.least = index.saturating_add(1);
        Ok(ArrayChange { index, what })
    }
}
