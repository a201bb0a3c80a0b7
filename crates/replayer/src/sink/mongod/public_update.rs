//! An update from its public description, as well as that can be done.
//!
//! `updateDescription` names what changed by dotted paths and does not say what a dot or a
//! number in a path is, nor in which order fields came to be. So what is done here is always
//! counted as inexact.
//!
//! ```text
//! truncatedArrays                      u: {$push: {path: {$each: [], $slice: size}}}
//! paths with odd names                 u: [{$replaceWith: $setField inside $setField …}]
//! the other updated, removed fields    u: {$set: {path: value}, $unset: {path: ""}}
//! ```
//! in this order, each a statement of its own, for one update must not touch a path twice.
//! Operators take a number in a path for an index or a name by what they find in the
//! document, which is the best guess there is. Names that are empty, contain a dot or begin
//! with `$` are beyond them; `disambiguatedPaths` (from MongoDB 6.1, with
//! `showExpandedEvents`) tells where there are any.

use bson::raw::RawDocumentBuf;
use changetape_core::Error;
use changetape_core::raw::{self, DocumentWriter, Element, kind};

use super::statement::{Effect, Statement, begin};

const WHAT: &str = "the update description";

/// What happens at a path.
#[derive(Debug, Clone, Copy)]
enum Change<'a> {
    Set(Element<'a>),
    Remove,
    Truncate(i32),
}

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step<'a> {
    Field(&'a [u8]),
    Index(i32),
}

/// A path and what happens there.
#[derive(Debug)]
struct Edit<'a> {
    /// As the server writes it.
    path: &'a [u8],
    steps: Vec<Step<'a>>,
    change: Change<'a>,
}

/// The statements of an update; the last one is its `Update`, those before it prepare it.
pub(super) fn statements(
    query: &RawDocumentBuf,
    description: &[u8],
) -> Result<Vec<Statement>, Error> {
    let edits = edits(description)?;
    let (odd, plain): (Vec<_>, Vec<_>) = edits.into_iter().partition(Edit::is_odd);
    let (truncations, plain): (Vec<_>, Vec<_>) =
        plain.into_iter().partition(|edit| matches!(edit.change, Change::Truncate(_)));

    let mut bodies = Vec::new();
    if !truncations.is_empty() {
        bodies.push(truncate(query, &truncations));
    }
    if !odd.is_empty() {
        bodies.push(pipeline(query, &odd));
    }
    if !plain.is_empty() || bodies.is_empty() {
        bodies.push(operators(query, &plain));
    }
    let last = bodies.len() - 1;
    let statement = |(n, writer): (usize, DocumentWriter)| Statement {
        effect: if n == last { Effect::Update } else { Effect::Prepare },
        bytes: writer.into_bytes(),
        query: query.clone(),
        inexact: n == last,
    };
    Ok(bodies.into_iter().enumerate().map(statement).collect())
}

fn edits(description: &[u8]) -> Result<Vec<Edit<'_>>, Error> {
    let part = |name| raw::find(WHAT, description, name);
    let told = part("disambiguatedPaths")?.and_then(|paths| paths.document());
    let mut edits = Vec::new();
    let mut add = |path, change| -> Result<(), Error> {
        edits.push(Edit { path, steps: steps(path, told)?, change });
        Ok(())
    };
    if let Some(arrays) = part("truncatedArrays")?.and_then(|arrays| arrays.array()) {
        for entry in raw::elements(WHAT, arrays)? {
            let entry = entry?;
            let path = raw::find(WHAT, entry.value, "field")?.and_then(string);
            let size = raw::find(WHAT, entry.value, "newSize")?.and_then(|size| size.as_i64());
            let size = size.and_then(|size| i32::try_from(size).ok());
            let (Some(path), Some(size)) = (path, size) else { return Err(bad("truncatedArrays")) };
            add(path, Change::Truncate(size))?;
        }
    }
    if let Some(updated) = part("updatedFields")?.and_then(|updated| updated.document()) {
        for element in raw::elements(WHAT, updated)? {
            let element = element?;
            add(element.name, Change::Set(element))?;
        }
    }
    if let Some(removed) = part("removedFields")?.and_then(|removed| removed.array()) {
        for path in raw::elements(WHAT, removed)? {
            let path = string(path?).ok_or_else(|| bad("removedFields"))?;
            add(path, Change::Remove)?;
        }
    }
    Ok(edits)
}

/// The steps of a path: as the server tells them, otherwise split at its dots.
fn steps<'a>(path: &'a [u8], told: Option<&'a [u8]>) -> Result<Vec<Step<'a>>, Error> {
    for element in told.map(|told| raw::elements(WHAT, told)).transpose()?.into_iter().flatten() {
        let element = element?;
        let Some(steps) = element.array().filter(|_| element.name == path) else { continue };
        let step = |step: Result<Element<'a>, Error>| {
            let step = step?;
            let index = step.as_i64().and_then(|index| i32::try_from(index).ok());
            let step = string(step).map(Step::Field).or(index.map(Step::Index));
            step.ok_or_else(|| bad("disambiguatedPaths"))
        };
        return raw::elements(WHAT, steps)?.map(step).collect();
    }
    Ok(path.split(|&byte| byte == b'.').map(Step::Field).collect())
}

impl Edit<'_> {
    /// Whether a name on its path is beyond the update operators.
    fn is_odd(&self) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Field(name) => name.is_empty() || name.starts_with(b"$") || name.contains(&b'.'),
            Step::Index(_) => false,
        })
    }
}

fn truncate(query: &RawDocumentBuf, edits: &[Edit<'_>]) -> DocumentWriter {
    let mut writer = begin(query);
    writer.open(kind::DOCUMENT, b"u");
    writer.open(kind::DOCUMENT, b"$push");
    for edit in edits {
        if let Change::Truncate(size) = edit.change {
            writer.open(kind::DOCUMENT, edit.path);
            writer.open(kind::ARRAY, b"$each");
            writer.close();
            writer.int32(b"$slice", size);
            writer.close();
        }
    }
    writer
}

fn operators(query: &RawDocumentBuf, edits: &[Edit<'_>]) -> DocumentWriter {
    let mut writer = begin(query);
    writer.open(kind::DOCUMENT, b"u");
    writer.open(kind::DOCUMENT, b"$set");
    for edit in edits {
        if let Change::Set(element) = edit.change {
            writer.element(element);
        }
    }
    writer.close();
    writer.open(kind::DOCUMENT, b"$unset");
    for edit in edits.iter().filter(|edit| matches!(edit.change, Change::Remove)) {
        writer.string(edit.path, b"");
    }
    writer
}

/// One stage for each edit: `$$e` is bound to the document, then to what each step leads to.
fn pipeline(query: &RawDocumentBuf, edits: &[Edit<'_>]) -> DocumentWriter {
    let mut writer = begin(query);
    writer.open(kind::ARRAY, b"u");
    for (n, edit) in edits.iter().enumerate() {
        writer.open(kind::DOCUMENT, n.to_string().as_bytes());
        bind(&mut writer, b"$replaceWith", |writer| writer.string(b"e", b"$$ROOT"));
        edited(&mut writer, b"in", &edit.steps, edit.change);
        close(&mut writer, 3);
    }
    writer
}

/// Opens `name: {$let: {vars: {e: …}, `; the caller writes `in` and closes two.
fn bind(writer: &mut DocumentWriter, name: &[u8], e: impl FnOnce(&mut DocumentWriter)) {
    writer.open(kind::DOCUMENT, name);
    writer.open(kind::DOCUMENT, b"$let");
    writer.open(kind::DOCUMENT, b"vars");
    e(writer);
    writer.close();
}

/// Writes `name: ` and the expression for `$$e` after the change at the end of the steps.
fn edited(writer: &mut DocumentWriter, name: &[u8], steps: &[Step<'_>], change: Change<'_>) {
    let Some((step, rest)) = steps.split_first() else {
        return end(writer, name, change);
    };
    match step {
        Step::Field(field) if rest.is_empty() && matches!(change, Change::Remove) => {
            writer.open(kind::DOCUMENT, name);
            writer.open(kind::DOCUMENT, b"$unsetField");
            of_e(writer, field);
            close(writer, 2);
        }
        Step::Field(field) => {
            writer.open(kind::DOCUMENT, name);
            writer.open(kind::DOCUMENT, b"$setField");
            of_e(writer, field);
            bind(writer, b"value", |writer| {
                writer.open(kind::DOCUMENT, b"e");
                writer.open(kind::DOCUMENT, b"$getField");
                of_e(writer, field);
                close(writer, 2);
            });
            edited(writer, b"in", rest, change);
            close(writer, 4);
        }
        Step::Index(index) => element_edited(writer, name, *index, rest, change),
    }
}

/// `$$e` is an array: what comes before the element, the element changed, what comes after.
fn element_edited(
    writer: &mut DocumentWriter,
    name: &[u8],
    index: i32,
    rest: &[Step<'_>],
    change: Change<'_>,
) {
    let slice = |writer: &mut DocumentWriter, name: &[u8], from: i32, count: i32| {
        writer.open(kind::DOCUMENT, name);
        writer.open(kind::ARRAY, b"$slice");
        writer.string(b"0", b"$$e");
        writer.int32(b"1", from);
        writer.int32(b"2", count);
        close(writer, 2);
    };
    writer.open(kind::DOCUMENT, name);
    writer.open(kind::ARRAY, b"$concatArrays");
    if index > 0 {
        slice(writer, b"0", 0, index);
    }
    writer.open(kind::ARRAY, b"1");
    bind(writer, b"0", |writer| {
        writer.open(kind::DOCUMENT, b"e");
        writer.open(kind::ARRAY, b"$arrayElemAt");
        writer.string(b"0", b"$$e");
        writer.int32(b"1", index);
        close(writer, 2);
    });
    edited(writer, b"in", rest, change);
    close(writer, 3);
    slice(writer, b"2", index.saturating_add(1), i32::MAX);
    close(writer, 2);
}

fn end(writer: &mut DocumentWriter, name: &[u8], change: Change<'_>) {
    writer.open(kind::DOCUMENT, name);
    match change {
        Change::Set(element) => writer.value(element.kind, b"$literal", element.value),
        // `$slice` refuses to take nothing.
        Change::Truncate(size) if size > 0 => {
            writer.open(kind::ARRAY, b"$slice");
            writer.string(b"0", b"$$e");
            writer.int32(b"1", size);
            writer.close();
        }
        Change::Truncate(_) => {
            writer.open(kind::ARRAY, b"$literal");
            writer.close();
        }
        // An element that is removed from an array leaves null, as `$unset` has it.
        Change::Remove => writer.value(kind::NULL, b"$literal", &[]),
    }
    writer.close();
}

/// `field: {$literal: …}, input: "$$e"`: a name that is never taken for a path.
fn of_e(writer: &mut DocumentWriter, field: &[u8]) {
    writer.open(kind::DOCUMENT, b"field");
    writer.string(b"$literal", field);
    writer.close();
    writer.string(b"input", b"$$e");
}

fn close(writer: &mut DocumentWriter, times: usize) {
    for _ in 0..times {
        writer.close();
    }
}

fn string(element: Element<'_>) -> Option<&[u8]> {
    match element.value {
        [_, _, _, _, text @ .., 0] if element.kind == kind::STRING => Some(text),
        _ => None,
    }
}

fn bad(field: &'static str) -> Error {
    Error::WrongType { field, expected: "as the server writes it" }
}
