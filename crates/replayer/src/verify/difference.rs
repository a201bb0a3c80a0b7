//! Where two documents first part, and how.
//!
//! Documents are the same if their bytes are. Fields are compared in order, so a field that is
//! in another place is a difference, though both have the same fields.

use std::fmt;

use changetape_core::Error;
use changetape_core::raw::{self, Element, kind};

const WHAT: &str = "a document to compare";

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldDifference {
    /// Its path, dotted.
    pub path: String,
    /// How it differs.
    pub how: How,
}

/// How a field differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It is not there.
    Missing,
    /// It should not be there.
    Extra,
    /// It is there, and elsewhere among its neighbours.
    Order,
    /// Its value is of another type.
    Type {
        /// The BSON type it should have.
        expected: &'static str,
        /// The one it has.
        found: &'static str,
    },
    /// Its value is another one of the same type.
    Value,
}

impl How {
    /// A word for programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Order => "order",
            Self::Type { .. } => "type",
            Self::Value => "value",
        }
    }
}

impl fmt::Display for FieldDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match self.how {
            How::Missing => write!(f, "field {path:?} is missing"),
            How::Extra => write!(f, "field {path:?} is extra"),
            How::Order => write!(f, "field {path:?} is in another place"),
            How::Type { expected, found } => {
                write!(f, "field {path:?} is of type {found} instead of {expected}")
            }
            How::Value => write!(f, "field {path:?} has another value"),
        }
    }
}

/// Where two documents first differ; `None` if their bytes are the same.
///
/// # Errors
/// If one of them is no BSON.
pub(super) fn first(
    mut expected: &[u8],
    mut found: &[u8],
) -> Result<Option<FieldDifference>, Error> {
    let mut path = String::new();
    while expected != found {
        let (here, there) = (fields(expected)?, fields(found)?);
        let same = here.iter().zip(&there).take_while(|(a, b)| a == b).count();
        let (should, is) = (here.get(same), there.get(same));
        let has = |fields: &[Element<'_>], name: &[u8]| fields.iter().any(|it| it.name == name);
        let (at, how) = match (should, is) {
            (Some(should), Some(is)) if should.name == is.name => {
                if let Some((outer, inner)) = nested(*should).zip(nested(*is))
                    && should.kind == is.kind
                {
                    step(&mut path, should);
                    (expected, found) = (outer, inner);
                    continue;
                }
                (should, value(*should, *is))
            }
            (Some(should), _) if !has(&there, should.name) => (should, How::Missing),
            (_, Some(is)) if !has(&here, is.name) => (is, How::Extra),
            (Some(should), _) => (should, How::Order),
            (None, Some(is)) => (is, How::Extra),
            // The same fields, and lengths that say otherwise.
            (None, None) => break,
        };
        step(&mut path, at);
        return Ok(Some(FieldDifference { path, how }));
    }
    Ok(None)
}

/// How two values differ that are not the same.
pub(super) fn value(expected: Element<'_>, found: Element<'_>) -> How {
    if expected.kind == found.kind {
        How::Value
    } else {
        How::Type { expected: type_name(expected.kind), found: type_name(found.kind) }
    }
}

fn fields(document: &[u8]) -> Result<Vec<Element<'_>>, Error> {
    raw::elements(WHAT, document)?.collect()
}

fn nested(element: Element<'_>) -> Option<&[u8]> {
    element.document().or(element.array())
}

fn step(path: &mut String, element: &Element<'_>) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(&element.name_lossy());
}

/// A BSON type as MongoDB's `$type` calls it.
fn type_name(of: u8) -> &'static str {
    match of {
        kind::DOUBLE => "double",
        kind::STRING => "string",
        kind::DOCUMENT => "object",
        kind::ARRAY => "array",
        kind::BINARY => "binData",
        0x06 => "undefined",
        0x07 => "objectId",
        kind::BOOLEAN => "bool",
        0x09 => "date",
        kind::NULL => "null",
        0x0B => "regex",
        0x0C => "dbPointer",
        0x0D => "javascript",
        0x0E => "symbol",
        0x0F => "javascriptWithScope",
        kind::INT32 => "int",
        0x11 => "timestamp",
        kind::INT64 => "long",
        0x13 => "decimal",
        0x7F => "maxKey",
        0xFF => "minKey",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use bson::{RawDocumentBuf, rawdoc};

    use super::*;

    #[test]
    fn the_first_field_that_differs_is_named_with_how() {
        let expected = rawdoc! {"_id": 1, "a": {"b": [1, {"c": "x"}]}, "d": 2, "e": 3};
        let other = |found: RawDocumentBuf| {
            let first = first(expected.as_bytes(), found.as_bytes()).unwrap().unwrap();
            (first.path, first.how)
        };
        let a = || rawdoc! {"b": [1, {"c": "x"}]};
        let long = How::Type { expected: "int", found: "long" };
        for (found, path, how) in [
            (
                rawdoc! {"_id": 1, "a": {"b": [1, {"c": "y"}]}, "d": 2, "e": 3},
                "a.b.1.c",
                How::Value,
            ),
            (rawdoc! {"_id": 1, "a": a(), "d": 2_i64, "e": 3}, "d", long),
            (rawdoc! {"_id": 1, "a": a(), "e": 3, "d": 2}, "d", How::Order),
            (rawdoc! {"_id": 1, "a": a(), "e": 3}, "d", How::Missing),
            (rawdoc! {"_id": 1, "a": a(), "d": 2}, "e", How::Missing),
            (rawdoc! {"_id": 1, "n": 0, "a": a(), "d": 2, "e": 3}, "n", How::Extra),
            (rawdoc! {"_id": 1, "a": a(), "d": 2, "e": 3, "f": 4}, "f", How::Extra),
            (rawdoc! {"_id": 1, "a": {"b": [1]}, "d": 2, "e": 3}, "a.b.1", How::Missing),
        ] {
            assert_eq!(other(found), (path.to_owned(), how));
        }
    }

    #[test]
    fn what_is_the_same_has_no_difference_and_what_is_no_bson_an_error() {
        let one = rawdoc! {"a": f64::NAN};
        assert_eq!(first(one.as_bytes(), one.as_bytes()).unwrap(), None);
        assert!(first(one.as_bytes(), &[1, 2, 3]).is_err());
    }
}
