//! Describing a diff as the public `updateDescription`.
//!
//! ```text
//! { updatedFields: {<path>: <value>, …}                       from u, i, b and u<index>
//!   removedFields: [<path>, …]                                from d
//!   truncatedArrays: [{field: <path>, newSize: <length>}, …]  from l
//!   disambiguatedPaths: {<path>: [<name or index>, …], …} }   where asked for
//! ```
//! A path is the names on the way, joined by dots; array elements by index. Within one
//! level the order is `u`, `i`, `b`, `d`, then the sub-diffs, each with all that is in it;
//! in an array the new length first, then the elements. Nothing is merged: two different
//! fields that share a path appear twice, as they do from a server.
//!
//! Values stay the bytes they are, except that an array's elements are numbered anew, also
//! those of arrays directly in it; so the server does, by decoding that far and no further.

use super::index::{self, IndexName};
use super::read::{self, ArrayDiff, DocumentDiff, ElementChange, Level, SubDiff};
use super::{MAX_BUILT, MAX_NESTING, WHAT};
use crate::Error;
use crate::raw::{self, DocumentWriter, Element, kind};

/// Whether a description lists the paths that could be read in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DisambiguatedPaths {
    /// No, as in a plain `watch()`, and before MongoDB 6.1 in any.
    #[default]
    Omit,
    /// Yes, as `disambiguatedPaths`, also where there are none: MongoDB 6.1 and later do so
    /// with `showExpandedEvents`.
    Show,
}

/// Writes the description of `diff` into the document that is open.
pub(super) fn describe(
    diff: &[u8],
    paths: DisambiguatedPaths,
    out: &mut DocumentWriter,
) -> Result<(), Error> {
    let diff = read::outermost(diff)?;
    out.open(kind::DOCUMENT, b"updatedFields");
    let mut describer = Describer {
        out,
        path: Path::default(),
        removed: List::default(),
        truncated: List::default(),
        disambiguated: (paths == DisambiguatedPaths::Show).then(DocumentWriter::new),
    };
    describer.document(&diff, 0)?;
    let Describer { out, removed, truncated, disambiguated, .. } = describer;
    out.close();
    out.value(kind::ARRAY, b"removedFields", &removed.into_bytes());
    out.value(kind::ARRAY, b"truncatedArrays", &truncated.into_bytes());
    if let Some(disambiguated) = disambiguated {
        out.value(kind::DOCUMENT, b"disambiguatedPaths", &disambiguated.into_bytes());
    }
    Ok(())
}

/// One walk through a diff. Updated fields, mostly all there is, go straight to `out`.
struct Describer<'o> {
    out: &'o mut DocumentWriter,
    path: Path,
    removed: List,
    truncated: List,
    disambiguated: Option<DocumentWriter>,
}

impl Describer<'_> {
    fn document(&mut self, diff: &DocumentDiff<'_>, depth: usize) -> Result<(), Error> {
        for section in [&diff.updates, &diff.inserts, &diff.binaries] {
            for element in section.clone() {
                let element = element?;
                self.path.push(element.name, Step::Field);
                self.updated(element, depth)?;
                self.path.pop();
            }
        }
        for element in diff.deletes.clone() {
            self.path.push(element?.name, Step::Field);
            self.removed.next().string(self.path.dotted());
            self.disambiguate()?;
            self.path.pop();
        }
        for sub in diff.subs.clone() {
            let sub = sub?;
            self.inside(&sub, sub.field, Step::Field, depth)?;
        }
        Ok(())
    }

    fn array(&mut self, diff: ArrayDiff<'_>, depth: usize) -> Result<(), Error> {
        if let Some(len) = diff.len {
            let len = i32::try_from(len).unwrap_or(i32::MAX);
            self.truncated.next().truncation(self.path.dotted(), len);
            self.disambiguate()?;
        }
        for change in diff {
            let change = change?;
            let name = IndexName::new(change.index);
            match change.what {
                ElementChange::Set(element) => {
                    self.path.push(name.as_bytes(), Step::Index);
                    self.updated(element, depth)?;
                    self.path.pop();
                }
                ElementChange::Inside(sub) => {
                    self.inside(&sub, name.as_bytes(), Step::Index, depth)?;
                }
            }
        }
        Ok(())
    }

    fn inside(
        &mut self,
        sub: &SubDiff<'_>,
        name: &[u8],
        step: Step,
        depth: usize,
    ) -> Result<(), Error> {
        let depth = depth + 1;
        self.path.push(name, step);
        let described = sub.open(depth).and_then(|level| match level {
            Level::Document(diff) => self.document(&diff, depth),
            Level::Array(diff) => self.array(diff, depth),
        });
        self.path.pop();
        described.map_err(|error| error.within(sub.key, name))
    }

    fn updated(&mut self, value: Element<'_>, depth: usize) -> Result<(), Error> {
        let path = self.path.dotted();
        match value.array() {
            Some(array) if !is_numbered(array, depth)? => {
                self.out.open(kind::ARRAY, path);
                number(array, self.out)?;
                self.out.close();
            }
            _ => self.out.value(value.kind, path, value.value),
        }
        self.disambiguate()
    }

    /// Lists the current path if it can be read in two ways; called once for each entry of
    /// the description, so it also keeps the bound.
    fn disambiguate(&mut self) -> Result<(), Error> {
        let mut built = self.out.written() + self.removed.written() + self.truncated.written();
        if let Some(out) = self.disambiguated.as_mut().filter(|_| self.path.is_ambiguous()) {
            out.open(kind::ARRAY, self.path.dotted());
            for (at, (name, step)) in self.path.parts().enumerate() {
                let index = IndexName::new(at);
                match step {
                    Step::Field => out.string(index.as_bytes(), name),
                    Step::Index => {
                        let value = index::parse(name).and_then(|value| i32::try_from(value).ok());
                        out.int32(index.as_bytes(), value.unwrap_or(i32::MAX));
                    }
                }
            }
            out.close();
            built += out.written();
        }
        if built > MAX_BUILT {
            return Err(Error::bad_diff(b"", "a description larger than a server can build"));
        }
        Ok(())
    }
}

/// How a part of a path is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Field,
    Index,
}

/// The names on the way to where the walk is.
#[derive(Default)]
struct Path {
    dotted: Vec<u8>,
    parts: Vec<Part>,
}

struct Part {
    start: usize,
    step: Step,
    /// Whether the path up to here can be read in two ways; then so can all that follow.
    ambiguous: bool,
}

impl Path {
    fn push(&mut self, name: &[u8], step: Step) {
        let before = self.parts.last();
        // A dot in a name looks like a step; digits look like an index, except at the start,
        // where there is no array.
        let ambiguous = before.is_some_and(|part| part.ambiguous)
            || (step == Step::Field
                && (name.contains(&b'.') || (before.is_some() && index::is_index(name))));
        if before.is_some() {
            self.dotted.push(b'.');
        }
        self.parts.push(Part { start: self.dotted.len(), step, ambiguous });
        self.dotted.extend_from_slice(name);
    }

    fn pop(&mut self) {
        if let Some(part) = self.parts.pop() {
            // The dot before a part goes with it; before the first there is none.
            self.dotted.truncate(part.start.saturating_sub(1));
        }
    }

    fn dotted(&self) -> &[u8] {
        &self.dotted
    }

    fn is_ambiguous(&self) -> bool {
        self.parts.last().is_some_and(|part| part.ambiguous)
    }

    fn parts(&self) -> impl Iterator<Item = (&[u8], Step)> {
        let ends = self.parts.iter().skip(1).map(|next| next.start.saturating_sub(1));
        let ends = ends.chain([self.dotted.len()]);
        self.parts
            .iter()
            .zip(ends)
            .map(|(part, end)| (self.dotted.get(part.start..end).unwrap_or_default(), part.step))
    }
}

/// An array that is mostly empty: nothing is allocated before there is an entry.
#[derive(Default)]
struct List {
    out: Option<DocumentWriter>,
    len: usize,
}

/// The entry of a list that is written next.
struct Entry<'l> {
    out: &'l mut DocumentWriter,
    index: IndexName,
}

impl List {
    fn next(&mut self) -> Entry<'_> {
        let index = IndexName::new(self.len);
        self.len += 1;
        Entry { out: self.out.get_or_insert_default(), index }
    }

    fn written(&self) -> usize {
        self.out.as_ref().map_or(0, DocumentWriter::written)
    }

    fn into_bytes(self) -> Vec<u8> {
        self.out.map_or_else(|| raw::EMPTY_DOCUMENT.to_vec(), DocumentWriter::into_bytes)
    }
}

impl Entry<'_> {
    fn string(self, text: &[u8]) {
        self.out.string(self.index.as_bytes(), text);
    }

    fn truncation(self, field: &[u8], new_size: i32) {
        self.out.open(kind::DOCUMENT, self.index.as_bytes());
        self.out.string(b"field", field);
        self.out.int32(b"newSize", new_size);
        self.out.close();
    }
}

/// Whether the elements of an array, and of arrays directly in it, are named 0, 1, 2, …
fn is_numbered(array: &[u8], depth: usize) -> Result<bool, Error> {
    if depth > MAX_NESTING {
        return Err(Error::bad_diff(b"", "nested deeper than a server allows"));
    }
    for (index, element) in raw::elements(WHAT, array)?.enumerate() {
        let element = element?;
        if element.name != IndexName::new(index).as_bytes() {
            return Ok(false);
        }
        if let Some(inner) = element.array()
            && !is_numbered(inner, depth + 1)?
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes an array's elements into the array that is open, named 0, 1, 2, …
fn number(array: &[u8], out: &mut DocumentWriter) -> Result<(), Error> {
    number_nested(array, out, 0)
}

fn number_nested(array: &[u8], out: &mut DocumentWriter, depth: usize) -> Result<(), Error> {
    if depth > MAX_NESTING {
        return Err(Error::bad_diff(b"", "nested deeper than a server allows"));
    }
    for (index, element) in raw::elements(WHAT, array)?.enumerate() {
        let element = element?;
        let name = IndexName::new(index);
        match element.array() {
            Some(inner) => {
                out.open(kind::ARRAY, name.as_bytes());
                number_nested(inner, out, depth + 1)?;
                out.close();
            }
            None => out.value(element.kind, name.as_bytes(), element.value),
        }
    }
    Ok(())
}
