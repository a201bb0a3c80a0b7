//! Applying a diff to a document.
//!
//! Fields that stay are copied as the bytes they are, in their order. A field that is set
//! keeps its place; one that is new goes to the end, first those of `u`, then those of `i`.
//! An array's elements are numbered anew, which changes bytes only where a name was no
//! index before.

use super::index::IndexName;
use super::read::{self, ArrayChange, ArrayDiff, DocumentDiff, ElementChange, Level, SubDiff};
use super::{MAX_BUILT, WHAT};
use crate::Error;
use crate::raw::{self, DocumentWriter, Element, kind};

const DOCUMENT: &str = "the document";

/// Up to this many changes, looking through them all is quicker than building an index.
const FEW: usize = 8;

/// Writes what `diff` makes of the document `pre` into the document that is open.
pub(super) fn apply(pre: &[u8], diff: &[u8], out: &mut DocumentWriter) -> Result<(), Error> {
    apply_to_document(pre, &read::outermost(diff)?, out, 0)
}

/// What one level of a diff does to one field.
#[derive(Clone, Copy)]
enum Change<'a> {
    Delete,
    Update(Element<'a>),
    Insert(Element<'a>),
    Binary(Element<'a>),
    Inside(SubDiff<'a>),
}

struct FieldChange<'a> {
    field: &'a [u8],
    change: Change<'a>,
    /// Whether the document has the field.
    met: bool,
}

/// The changes of one level, in the diff's order, to be found by field.
struct Changes<'a> {
    all: Vec<FieldChange<'a>>,
    /// Positions in `all`, sorted by field; empty while there are [`FEW`].
    by_field: Vec<usize>,
}

impl<'a> Changes<'a> {
    fn read(diff: &DocumentDiff<'a>) -> Result<Self, Error> {
        let mut all = Vec::new();
        let mut add = |field, change| all.push(FieldChange { field, change, met: false });
        for element in diff.deletes.clone() {
            add(element?.name, Change::Delete);
        }
        for element in diff.updates.clone() {
            let element = element?;
            add(element.name, Change::Update(element));
        }
        for element in diff.inserts.clone() {
            let element = element?;
            add(element.name, Change::Insert(element));
        }
        for element in diff.binaries.clone() {
            let element = element?;
            add(element.name, Change::Binary(element));
        }
        for sub in diff.subs.clone() {
            let sub = sub?;
            add(sub.field, Change::Inside(sub));
        }
        let mut changes = Self { all, by_field: Vec::new() };
        if changes.all.len() > FEW {
            changes.by_field = (0..changes.all.len()).collect();
            changes.by_field.sort_unstable_by_key(|&at| changes.all.get(at).map(|c| c.field));
        }
        match changes.named_twice() {
            Some(field) => Err(Error::bad_diff(field, "a field named twice")),
            None => Ok(changes),
        }
    }

    fn field(&self, at: usize) -> Option<&'a [u8]> {
        self.all.get(at).map(|change| change.field)
    }

    fn named_twice(&self) -> Option<&'a [u8]> {
        if self.by_field.is_empty() {
            let mut fields = self.all.iter().map(|change| change.field);
            while let Some(field) = fields.next() {
                if fields.clone().any(|other| other == field) {
                    return Some(field);
                }
            }
            return None;
        }
        let neighbours = self.by_field.iter().zip(self.by_field.iter().skip(1));
        neighbours
            .map(|(&left, &right)| (self.field(left), self.field(right)))
            .find_map(|(left, right)| left.filter(|_| left == right))
    }

    fn find(&mut self, field: &[u8]) -> Option<&mut FieldChange<'a>> {
        if self.by_field.is_empty() {
            return self.all.iter_mut().find(|change| change.field == field);
        }
        let found = self.by_field.binary_search_by(|&at| self.field(at).cmp(&Some(field))).ok()?;
        let at = *self.by_field.get(found)?;
        self.all.get_mut(at)
    }
}

fn apply_to_document(
    pre: &[u8],
    diff: &DocumentDiff<'_>,
    out: &mut DocumentWriter,
    depth: usize,
) -> Result<(), Error> {
    let mut changes = Changes::read(diff)?;
    for element in raw::elements(DOCUMENT, pre)? {
        let element = element?;
        let Some(found) = changes.find(element.name) else {
            out.element(element);
            continue;
        };
        found.met = true;
        match found.change {
            // What is inserted is appended below, also where the field existed before.
            Change::Delete | Change::Insert(_) => {}
            Change::Update(new) => out.element(new),
            Change::Binary(change) => apply_to_binary(element, change, out)?,
            Change::Inside(sub) => apply_inside(element.name, Some(element), &sub, out, depth)?,
        }
    }
    for change in &changes.all {
        match change.change {
            Change::Insert(new) => out.element(new),
            Change::Update(new) if !change.met => out.element(new),
            _ => {}
        }
    }
    Ok(())
}

/// Writes, under `name`, what a sub-diff makes of an element, `None` if it is not there.
fn apply_inside(
    name: &[u8],
    pre: Option<Element<'_>>,
    sub: &SubDiff<'_>,
    out: &mut DocumentWriter,
    depth: usize,
) -> Result<(), Error> {
    let depth = depth + 1;
    let applied = sub.open(depth).and_then(|level| {
        let document = pre.and_then(|element| element.document());
        let array = pre.and_then(|element| element.array());
        match (level, document, array) {
            (Level::Document(diff), Some(pre), _) => {
                out.open(kind::DOCUMENT, name);
                apply_to_document(pre, &diff, out, depth)?;
                out.close();
            }
            (Level::Array(diff), _, Some(pre)) => {
                out.open(kind::ARRAY, name);
                apply_to_array(pre, diff, out, depth)?;
                out.close();
            }
            // Not what the diff was made from: an event still to come rewrites this field,
            // and null keeps its place until then.
            _ => out.value(kind::NULL, name, &[]),
        }
        Ok(())
    });
    applied.map_err(|error| error.within(sub.key, name))
}

fn apply_to_array(
    pre: &[u8],
    mut diff: ArrayDiff<'_>,
    out: &mut DocumentWriter,
    depth: usize,
) -> Result<(), Error> {
    let mut elements = raw::elements(DOCUMENT, pre)?;
    let len = diff.len;
    let mut change = diff.next().transpose()?;
    let mut index = 0;
    loop {
        let kept =
            if len.is_none_or(|len| index < len) { elements.next().transpose()? } else { None };
        // Past the old elements, the new length or the last change says where it ends.
        if kept.is_none() && len.is_none_or(|len| index >= len) && change.is_none() {
            return Ok(());
        }
        if out.written() > MAX_BUILT {
            return Err(Error::bad_diff(b"", "an array longer than a document can hold"));
        }
        let name = IndexName::new(index);
        let name = name.as_bytes();
        match change {
            Some(ArrayChange { index: at, what }) if at == index => {
                match what {
                    ElementChange::Set(new) => out.value(new.kind, name, new.value),
                    ElementChange::Inside(sub) => apply_inside(name, kept, &sub, out, depth)?,
                }
                change = diff.next().transpose()?;
            }
            later => {
                match kept {
                    Some(element) => out.value(element.kind, name, element.value),
                    None => out.value(kind::NULL, name, &[]),
                }
                change = later;
            }
        }
        index += 1;
    }
}

/// Replaces what follows offset `o` of binary data by `d`; the subtype stays. Data that ends
/// before the offset was shortened by an event still to come, and stays as it is.
fn apply_to_binary(
    pre: Element<'_>,
    change: Element<'_>,
    out: &mut DocumentWriter,
) -> Result<(), Error> {
    let bad =
        || Error::bad_diff(change.name, "expected {o: <offset>, d: <binary>}").within(b"b", b"");
    let spec = change.document().ok_or_else(bad)?;
    let offset = raw::find(WHAT, spec, "o")?.and_then(|o| usize::try_from(o.as_i64()?).ok());
    let data = raw::find(WHAT, spec, "d")?.and_then(binary);
    let (offset, (_, data)) = offset.zip(data).ok_or_else(bad)?;
    let Some((subtype, old)) = binary(pre) else {
        return Err(Error::diff_mismatch(pre.name, "not binary data"));
    };
    let Some(kept) = old.get(..offset) else {
        out.element(pre);
        return Ok(());
    };
    let len = i32::try_from(kept.len() + data.len()).unwrap_or(i32::MAX);
    let mut value = Vec::with_capacity(5 + kept.len() + data.len());
    value.extend_from_slice(&len.to_le_bytes());
    value.push(subtype);
    value.extend_from_slice(kept);
    value.extend_from_slice(data);
    out.value(kind::BINARY, pre.name, &value);
    Ok(())
}

/// The subtype and the bytes of binary data.
fn binary(element: Element<'_>) -> Option<(u8, &[u8])> {
    let (&subtype, data) = element.value.get(4..)?.split_first()?;
    (element.kind == kind::BINARY).then_some((subtype, data))
}
