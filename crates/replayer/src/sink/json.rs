//! BSON bytes as canonical Extended JSON (version 2), without decoding a document.
//!
//! ```text
//! {"_id":{"$oid":"65…"},"n":{"$numberInt":"1"},"tags":["a"]}
//! ```
//! Fields keep their order, and a name that stands twice is written twice. The types that
//! make up nearly all of a tape are written straight from their bytes; the rest goes through
//! the `bson` crate. Bytes that are no UTF-8 become U+FFFD, which JSON leaves no way around.
//!
//! Source: <https://github.com/mongodb/specifications/blob/master/source/extended-json/extended-json.md>

use std::io::Write;

use bson::raw::RawDocument;
use bson::{Bson, Document};
use changetape_core::Error;
use changetape_core::raw::{self, DocumentWriter, Element, Elements, kind};

const WHAT: &str = "the event";

/// Types that [`kind`] does not name, for it needs not look into them.
const OBJECT_ID: u8 = 0x07;
const DATE: u8 = 0x09;
const TIMESTAMP: u8 = 0x11;

/// Appends a document, on one line, without the line's end.
///
/// # Errors
/// [`Error::Malformed`] or [`Error::MalformedAt`] if the bytes are not one well-formed
/// document; what was appended until then is to be thrown away.
pub fn append_canonical(out: &mut Vec<u8>, document: &[u8]) -> Result<(), Error> {
    // A stack rather than recursion: depth is the input's choice.
    let mut open: Vec<(Elements<'_>, u8)> = Vec::new();
    enter(out, &mut open, kind::DOCUMENT, document)?;
    while let Some((elements, container)) = open.last_mut() {
        let container = *container;
        let Some(element) = elements.next() else {
            out.push(if container == kind::ARRAY { b']' } else { b'}' });
            open.pop();
            continue;
        };
        let element = element?;
        if !matches!(out.last(), Some(b'{' | b'[')) {
            out.push(b',');
        }
        if container == kind::DOCUMENT {
            string(out, element.name);
            out.push(b':');
        }
        match element.kind {
            kind::DOCUMENT | kind::ARRAY => enter(out, &mut open, element.kind, element.value)?,
            _ => scalar(out, element)?,
        }
    }
    Ok(())
}

fn enter<'a>(
    out: &mut Vec<u8>,
    open: &mut Vec<(Elements<'a>, u8)>,
    kind: u8,
    bytes: &'a [u8],
) -> Result<(), Error> {
    out.push(if kind == kind::ARRAY { b'[' } else { b'{' });
    open.push((raw::elements(WHAT, bytes)?, kind));
    Ok(())
}

fn scalar(out: &mut Vec<u8>, element: Element<'_>) -> Result<(), Error> {
    match (element.kind, element.value) {
        // The length before and the zero after are no part of the text.
        (kind::STRING, [_, _, _, _, text @ .., 0]) => string(out, text),
        (kind::BOOLEAN, [0]) => out.extend_from_slice(b"false"),
        (kind::BOOLEAN, _) => out.extend_from_slice(b"true"),
        (kind::NULL, []) => out.extend_from_slice(b"null"),
        (kind::INT32, value) => wrapped(out, "$numberInt", i32::from_le_bytes(fixed(value)?)),
        (kind::INT64, value) => wrapped(out, "$numberLong", i64::from_le_bytes(fixed(value)?)),
        (DATE, value) => {
            out.extend_from_slice(b"{\"$date\":");
            wrapped(out, "$numberLong", i64::from_le_bytes(fixed(value)?));
            out.push(b'}');
        }
        (OBJECT_ID, id) => {
            out.extend_from_slice(b"{\"$oid\":\"");
            for byte in id {
                text(out, format_args!("{byte:02x}"));
            }
            out.extend_from_slice(b"\"}");
        }
        (TIMESTAMP, value) => {
            let both = u64::from_le_bytes(fixed(value)?);
            let (seconds, increment) = (both >> 32, both & u64::from(u32::MAX));
            text(out, format_args!("{{\"$timestamp\":{{\"t\":{seconds},\"i\":{increment}}}}}"));
        }
        _ => rare(out, element)?,
    }
    Ok(())
}

/// Everything else, as the `bson` crate has it.
fn rare(out: &mut Vec<u8>, element: Element<'_>) -> Result<(), Error> {
    let malformed = |source| Error::Malformed { what: WHAT, source: Box::new(source) };
    let mut alone = DocumentWriter::new();
    alone.value(element.kind, b"", element.value);
    let alone = alone.into_bytes();
    let decoded = RawDocument::from_bytes(&alone).and_then(Document::try_from);
    let value = decoded.map_err(malformed)?.remove("").unwrap_or(Bson::Null);
    text(out, format_args!("{}", value.into_canonical_extjson()));
    Ok(())
}

/// A value of fixed size; the walk over the elements has measured it already.
fn fixed<const N: usize>(value: &[u8]) -> Result<[u8; N], Error> {
    value.try_into().map_err(|_| Error::MalformedAt { what: WHAT, offset: 0 })
}

fn wrapped(out: &mut Vec<u8>, name: &str, number: impl std::fmt::Display) {
    text(out, format_args!("{{\"{name}\":\"{number}\"}}"));
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    // Writing a string into memory cannot fail.
    let _ = serde_json::to_writer(out, &*text);
}

fn text(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    // Nor can this.
    let _ = out.write_fmt(arguments);
}

#[cfg(test)]
mod tests;
