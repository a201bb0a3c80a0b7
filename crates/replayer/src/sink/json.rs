//! BSON bytes as Extended JSON (version 2), canonical or relaxed, without decoding a document.
//!
//! ```text
//! canonical   {"_id":{"$oid":"65…"},"n":{"$numberInt":"1"},"tags":["a"]}
//! relaxed     {"_id":{"$oid":"65…"},"n":1,"tags":["a"]}
//! ```
//! Relaxed, numbers are JSON's own and dates are text; which type a number had is no longer to be
//! seen, and a reader that takes every number for a 64-bit float loses digits of a long.
//! Fields keep their order, and a name that stands twice is written twice. The types that
//! make up nearly all of a tape are written straight from their bytes; the rest goes through
//! the `bson` crate. Bytes that are no UTF-8 become U+FFFD, which JSON leaves no way around.
//!
//! Source: <https://github.com/mongodb/specifications/blob/master/source/extended-json/extended-json.md>

use std::io::Write;

use bson::raw::RawDocument;
use bson::{Bson, DateTime, Document};
use changetape_core::Error;
use changetape_core::raw::{self, DocumentWriter, Element, Elements, kind};

const WHAT: &str = "the event";

/// A type that [`kind`] does not name, for it needs not look into it.
const OBJECT_ID: u8 = 0x07;

/// The last millisecond of the year 9999.
const LAST_TEXT_DATE: i64 = 253_402_300_799_999;

/// Which of the two forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Json {
    /// Every value with its type.
    Canonical,
    /// Numbers and dates as people write them.
    Relaxed,
}

/// Appends a document, on one line, without the line's end.
///
/// # Errors
/// [`Error::Malformed`] or [`Error::MalformedAt`] if the bytes are not one well-formed
/// document; what was appended until then is to be thrown away.
pub fn append(out: &mut Vec<u8>, form: Json, document: &[u8]) -> Result<(), Error> {
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
            _ => scalar(out, form, element)?,
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

fn scalar(out: &mut Vec<u8>, form: Json, element: Element<'_>) -> Result<(), Error> {
    match (element.kind, element.value) {
        // The length before and the zero after are no part of the text.
        (kind::STRING, [_, _, _, _, text @ .., 0]) => string(out, text),
        (kind::BOOLEAN, [0]) => out.extend_from_slice(b"false"),
        (kind::BOOLEAN, _) => out.extend_from_slice(b"true"),
        (kind::NULL, []) => out.extend_from_slice(b"null"),
        (kind::INT32, value) => {
            number(out, form, b"$numberInt", i32::from_le_bytes(fixed(value)?).into());
        }
        (kind::INT64, value) => append_long(out, form, i64::from_le_bytes(fixed(value)?)),
        (kind::DOUBLE, value) => decoded(out, form, f64::from_le_bytes(fixed(value)?).into()),
        (kind::DATE, value) => date(out, form, i64::from_le_bytes(fixed(value)?)),
        (OBJECT_ID, id) => {
            out.extend_from_slice(b"{\"$oid\":\"");
            out.extend(id.iter().flat_map(|byte| [hex(byte >> 4), hex(byte & 0xF)]));
            out.extend_from_slice(b"\"}");
        }
        (kind::TIMESTAMP, value) => {
            let both = u64::from_le_bytes(fixed(value)?);
            let (seconds, increment) = (both >> 32, both & u64::from(u32::MAX));
            text(out, format_args!("{{\"$timestamp\":{{\"t\":{seconds},\"i\":{increment}}}}}"));
        }
        _ => rare(out, form, element)?,
    }
    Ok(())
}

/// Everything else, as the `bson` crate has it.
fn rare(out: &mut Vec<u8>, form: Json, element: Element<'_>) -> Result<(), Error> {
    let malformed = |source| Error::Malformed { what: WHAT, source: Box::new(source) };
    let mut alone = DocumentWriter::new();
    alone.value(element.kind, b"", element.value);
    let alone = alone.into_bytes();
    let document = RawDocument::from_bytes(&alone).and_then(Document::try_from);
    decoded(out, form, document.map_err(malformed)?.remove("").unwrap_or(Bson::Null));
    Ok(())
}

fn decoded(out: &mut Vec<u8>, form: Json, value: Bson) {
    let value = match form {
        Json::Canonical => value.into_canonical_extjson(),
        Json::Relaxed => value.into_relaxed_extjson(),
    };
    text(out, format_args!("{value}"));
}

fn date(out: &mut Vec<u8>, form: Json, millis: i64) {
    // Relaxed, a date is text where a year has four digits and is none before 1970.
    let date = DateTime::from_millis(millis);
    if form == Json::Relaxed
        && (0..=LAST_TEXT_DATE).contains(&millis)
        && let Ok(date) = date.try_to_rfc3339_string()
    {
        text(out, format_args!("{{\"$date\":\"{date}\"}}"));
    } else {
        text(out, format_args!("{{\"$date\":{{\"$numberLong\":\"{millis}\"}}}}"));
    }
}

/// A value of fixed size; the walk over the elements has measured it already.
fn fixed<const N: usize>(value: &[u8]) -> Result<[u8; N], Error> {
    value.try_into().map_err(|_| Error::MalformedAt { what: WHAT, offset: 0 })
}

/// Appends a 64-bit integer.
pub fn append_long(out: &mut Vec<u8>, form: Json, value: i64) {
    number(out, form, b"$numberLong", value);
}

fn number(out: &mut Vec<u8>, form: Json, name: &[u8], number: i64) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(number).as_bytes();
    match form {
        Json::Canonical => {
            for part in [b"{\"", name, b"\":\"", digits, b"\"}"] {
                out.extend_from_slice(part);
            }
        }
        Json::Relaxed => out.extend_from_slice(digits),
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        0..10 => b'0' + digit,
        _ => b'a' + digit - 10,
    }
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    // Nearly all names and most texts are themselves.
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if bytes.iter().all(is_plain) {
        out.push(b'"');
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
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
