//! BSON as bytes: walking elements and writing documents without decoding a value.
//!
//! The `bson` crate decodes what it copies; here an element is copied as the bytes it is,
//! so that what goes in comes out, whatever a value's type or encoding.
//!
//! ```text
//! document := int32 length, element*, 0x00
//! element  := type byte, name, 0x00, value
//! ```
//! Source: <https://bsonspec.org/spec.html>, version 1.1.

use bson::raw::{RawDocument, RawDocumentBuf};

use crate::Error;

/// The type bytes that the code looks at; every other type is only measured.
pub mod kind {
    /// A 64-bit float.
    pub const DOUBLE: u8 = 0x01;
    /// A UTF-8 string.
    pub const STRING: u8 = 0x02;
    /// An embedded document.
    pub const DOCUMENT: u8 = 0x03;
    /// An array: a document whose names are "0", "1", …
    pub const ARRAY: u8 = 0x04;
    /// Binary data: its length, its subtype, its bytes.
    pub const BINARY: u8 = 0x05;
    /// A boolean.
    pub const BOOLEAN: u8 = 0x08;
    /// Milliseconds since the Unix epoch.
    pub const DATE: u8 = 0x09;
    /// Null.
    pub const NULL: u8 = 0x0A;
    /// A 32-bit integer.
    pub const INT32: u8 = 0x10;
    /// Seconds since the Unix epoch and a counter.
    pub const TIMESTAMP: u8 = 0x11;
    /// A 64-bit integer.
    pub const INT64: u8 = 0x12;
}

/// The shortest document: a length and the closing zero.
pub const EMPTY_DOCUMENT: &[u8] = &[5, 0, 0, 0, 0];

/// One element of a document, undecoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// The BSON type byte; see [`kind`].
    pub kind: u8,
    /// The field's name, without its closing zero. Servers do not enforce UTF-8.
    pub name: &'a [u8],
    /// The value's bytes.
    pub value: &'a [u8],
}

impl<'a> Element<'a> {
    /// The name as text, with what is not UTF-8 replaced.
    #[must_use]
    pub fn name_lossy(&self) -> String {
        String::from_utf8_lossy(self.name).into_owned()
    }

    /// The value if it is an embedded document.
    #[must_use]
    pub fn document(&self) -> Option<&'a [u8]> {
        (self.kind == kind::DOCUMENT).then_some(self.value)
    }

    /// The value if it is an array.
    #[must_use]
    pub fn array(&self) -> Option<&'a [u8]> {
        (self.kind == kind::ARRAY).then_some(self.value)
    }

    /// The text if it is a string. Servers do not enforce UTF-8.
    #[must_use]
    pub fn string(&self) -> Option<&'a [u8]> {
        match self.value {
            [_, _, _, _, text @ .., 0] if self.kind == kind::STRING => Some(text),
            _ => None,
        }
    }

    /// The value if it is a date: milliseconds since the Unix epoch.
    #[must_use]
    pub fn date(&self) -> Option<i64> {
        (self.kind == kind::DATE).then(|| self.value.try_into().ok().map(i64::from_le_bytes))?
    }

    /// The value if it is a timestamp: seconds in the upper half, a counter in the lower.
    #[must_use]
    pub fn timestamp(&self) -> Option<u64> {
        (self.kind == kind::TIMESTAMP)
            .then(|| self.value.try_into().ok().map(u64::from_le_bytes))?
    }

    /// The value if it is a whole number that fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self.kind {
            kind::INT32 => Some(i32::from_le_bytes(self.value.try_into().ok()?).into()),
            kind::INT64 => Some(i64::from_le_bytes(self.value.try_into().ok()?)),
            _ => None,
        }
    }
}

/// Walks the elements of a document or array in order.
///
/// Ends after the first error, so a caller that stops on it reads each byte at most once.
#[derive(Debug, Clone)]
pub struct Elements<'a> {
    what: &'static str,
    doc: &'a [u8],
    at: usize,
}

/// Walks the elements of `doc`; `what` names it in errors.
///
/// # Errors
/// [`Error::MalformedAt`] if the length or the closing zero is wrong.
pub fn elements<'a>(what: &'static str, doc: &'a [u8]) -> Result<Elements<'a>, Error> {
    let stated = read_len(doc, 0).ok_or(Error::MalformedAt { what, offset: 0 })?;
    if stated != doc.len() || doc.len() < EMPTY_DOCUMENT.len() || doc.last() != Some(&0) {
        return Err(Error::MalformedAt { what, offset: 0 });
    }
    Ok(Elements { what, doc, at: 4 })
}

impl<'a> Elements<'a> {
    fn read(&mut self) -> Option<Element<'a>> {
        // The closing zero is no part of any element.
        let end = self.doc.len() - 1;
        let body = self.doc.get(self.at..end)?;
        let (&kind, rest) = body.split_first()?;
        let name_len = rest.iter().position(|&b| b == 0)?;
        let (name, rest) = rest.split_at(name_len);
        let rest = rest.get(1..)?;
        let value = rest.get(..value_len(kind, rest)?)?;
        self.at += 1 + name_len + 1 + value.len();
        Some(Element { kind, name, value })
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Element<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.doc.len() - 1 {
            return None;
        }
        // An error is made only where there is one: this is done for each field of each event.
        let Some(element) = self.read() else {
            let offset = std::mem::replace(&mut self.at, self.doc.len());
            return Some(Err(Error::MalformedAt { what: self.what, offset }));
        };
        Some(Ok(element))
    }
}

/// Where the first element called `name` is, if anywhere.
///
/// # Errors
/// [`Error::MalformedAt`] if the document ends early before it is found.
pub fn find<'a>(
    what: &'static str,
    doc: &'a [u8],
    name: &str,
) -> Result<Option<Element<'a>>, Error> {
    for element in elements(what, doc)? {
        let element = element?;
        if element.name == name.as_bytes() {
            return Ok(Some(element));
        }
    }
    Ok(None)
}

fn read_len(bytes: &[u8], at: usize) -> Option<usize> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    usize::try_from(i32::from_le_bytes(field.try_into().ok()?)).ok()
}

/// How many bytes a value of this type takes at the start of `rest`; `None` if the type
/// is unknown or the length impossible. The caller checks that they are there.
fn value_len(kind: u8, rest: &[u8]) -> Option<usize> {
    let fixed = match kind {
        0x06 | 0x0A | 0x7F | 0xFF => 0,
        0x08 => 1,
        0x10 => 4,
        0x01 | 0x09 | 0x11 | 0x12 => 8,
        0x07 => 12,
        0x13 => 16,
        // String, code, symbol: a length that counts the closing zero.
        0x02 | 0x0D | 0x0E => return read_len(rest, 0)?.checked_add(4),
        // Document, array, code with scope: a length that counts itself.
        0x03 | 0x04 | 0x0F => {
            return read_len(rest, 0).filter(|&len| len >= EMPTY_DOCUMENT.len());
        }
        0x05 => return read_len(rest, 0)?.checked_add(5),
        // Regular expression: two C strings.
        0x0B => {
            let first = rest.iter().position(|&b| b == 0)? + 1;
            return Some(first + rest.get(first..)?.iter().position(|&b| b == 0)? + 1);
        }
        // DBPointer: a string and an ObjectId.
        0x0C => return read_len(rest, 0)?.checked_add(4 + 12),
        _ => return None,
    };
    Some(fixed)
}

/// Writes one document, embedded ones in place, element by element.
#[derive(Debug)]
pub struct DocumentWriter {
    bytes: Vec<u8>,
    open: Vec<usize>,
}

impl Default for DocumentWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl DocumentWriter {
    /// An empty document.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(64)
    }

    /// An empty document with room for `bytes`.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        let mut buffer = Vec::with_capacity(bytes.max(EMPTY_DOCUMENT.len()));
        buffer.extend_from_slice(&[0; 4]);
        Self { bytes: buffer, open: vec![0] }
    }

    /// Copies an element.
    pub fn element(&mut self, element: Element<'_>) {
        self.value(element.kind, element.name, element.value);
    }

    /// Writes an element from its parts.
    pub fn value(&mut self, kind: u8, name: &[u8], value: &[u8]) {
        self.head(kind, name);
        self.bytes.extend_from_slice(value);
    }

    /// Writes a string.
    pub fn string(&mut self, name: &[u8], text: &[u8]) {
        self.head(kind::STRING, name);
        let len = i32::try_from(text.len() + 1).unwrap_or(i32::MAX);
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(text);
        self.bytes.push(0);
    }

    /// Writes a 32-bit integer.
    pub fn int32(&mut self, name: &[u8], value: i32) {
        self.value(kind::INT32, name, &value.to_le_bytes());
    }

    /// Opens an embedded document ([`kind::DOCUMENT`]) or array ([`kind::ARRAY`]); what is
    /// written next goes into it, until [`close`](Self::close).
    pub fn open(&mut self, kind: u8, name: &[u8]) {
        self.head(kind, name);
        self.open.push(self.bytes.len());
        self.bytes.extend_from_slice(&[0; 4]);
    }

    /// Closes the embedded document that was opened last.
    pub fn close(&mut self) {
        // The outermost document is closed by `finish` only.
        if self.open.len() > 1 {
            self.seal();
        }
    }

    /// How many bytes have been written so far, for callers that keep a bound.
    #[must_use]
    pub fn written(&self) -> usize {
        self.bytes.len()
    }

    /// The document's bytes, everything still open closed.
    #[must_use]
    pub fn into_bytes(mut self) -> Vec<u8> {
        while !self.open.is_empty() {
            self.seal();
        }
        self.bytes
    }

    /// The document.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the document outgrew what a BSON length can say (2 GiB).
    pub fn finish(self) -> Result<RawDocumentBuf, Error> {
        RawDocumentBuf::from_bytes(self.into_bytes())
            .map_err(|source| Error::malformed("a document just written", source))
    }

    fn head(&mut self, kind: u8, name: &[u8]) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(name);
        self.bytes.push(0);
    }

    fn seal(&mut self) {
        self.bytes.push(0);
        if let Some(start) = self.open.pop() {
            let len = i32::try_from(self.bytes.len() - start).unwrap_or(i32::MAX);
            if let Some(field) = self.bytes.get_mut(start..start + 4) {
                field.copy_from_slice(&len.to_le_bytes());
            }
        }
    }
}

/// Checks that bytes are one document whose elements, embedded ones included, add up.
///
/// # Errors
/// [`Error::MalformedAt`] at the first that does not.
pub fn check(what: &'static str, doc: &[u8]) -> Result<(), Error> {
    // A worklist rather than recursion: depth is the input's choice.
    let mut pending = vec![doc];
    while let Some(doc) = pending.pop() {
        for element in elements(what, doc)? {
            let element = element?;
            pending.extend(element.document().or(element.array()));
        }
    }
    Ok(())
}

/// The bytes as a document of the `bson` crate.
///
/// # Errors
/// [`Error::Malformed`] if the length does not fit.
pub fn document<'a>(what: &'static str, bytes: &'a [u8]) -> Result<&'a RawDocument, Error> {
    RawDocument::from_bytes(bytes).map_err(|source| Error::malformed(what, source))
}

#[cfg(test)]
mod tests {
    use bson::{Bson, doc};

    use super::*;

    fn every_type() -> Vec<u8> {
        let mut doc = doc! {
            "double": 1.5, "string": "text", "document": {"a": {"b": 1}}, "array": [1, [2], {}],
            "binary": Bson::Binary(bson::Binary { subtype: bson::spec::BinarySubtype::BinaryOld, bytes: vec![1, 2] }),
            "undefined": Bson::Undefined, "id": bson::oid::ObjectId::from_bytes([7; 12]), "bool": true,
            "date": bson::DateTime::from_millis(-1), "null": null,
            "regex": Bson::RegularExpression(bson::Regex { pattern: bson::cstr!("a.b").into(), options: bson::cstr!("i").into() }),
            "code": Bson::JavaScriptCode("x()".into()), "symbol": Bson::Symbol("s".into()),
            "scope": Bson::JavaScriptCodeWithScope(bson::JavaScriptCodeWithScope { code: "y".into(), scope: doc! {"z": 1} }),
            "int": 1_i32, "time": Bson::Timestamp(bson::Timestamp { time: 1, increment: 2 }), "long": 1_i64,
            "decimal": "1.25".parse::<bson::Decimal128>().unwrap(), "min": Bson::MinKey, "max": Bson::MaxKey,
        };
        doc.insert("", "an empty name");
        doc.to_vec().unwrap()
    }

    #[test]
    fn copying_every_type_changes_no_byte() {
        let bytes = every_type();
        check("test", &bytes).unwrap();
        let mut copy = DocumentWriter::new();
        for element in elements("test", &bytes).unwrap() {
            copy.element(element.unwrap());
        }
        assert_eq!(copy.into_bytes(), bytes);
    }

    #[test]
    fn a_document_cut_anywhere_is_noticed_and_never_panics() {
        let bytes = every_type();
        for len in 0..bytes.len() {
            assert!(check("test", &bytes[..len]).is_err(), "cut to {len}");
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0xFF;
            // Whether a flip is noticed depends on what it hits; surviving it does not.
            let _ = check("test", &flipped);
        }
    }

    #[test]
    fn nested_documents_are_written_in_place() {
        let mut writer = DocumentWriter::new();
        writer.int32(b"a", 1);
        writer.open(kind::DOCUMENT, b"b");
        writer.string(b"c", b"x");
        writer.open(kind::ARRAY, b"d");
        writer.close();
        writer.close();
        writer.value(kind::NULL, b"e", &[]);
        let expected = doc! {"a": 1, "b": {"c": "x", "d": []}, "e": null};
        assert_eq!(writer.into_bytes(), expected.to_vec().unwrap());
    }
}
