//! What the random updates really were, counted in the server's diffs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bson::raw::RawDocument;
use bson::{Bson, Document};
use changetape_core::OperationType;
use changetape_core::raw::{self, Element, kind};

use super::UPDATES;

/// The least number of updates with each shape, in 10 000: about a third of what comes up, and of
/// what is rare less, for its number varies more.
const LEAST: &[(&str, usize)] = &[
    ("deleted field", 1000),
    ("updated field", 2000),
    ("inserted field", 1000),
    ("moved field", 250),
    ("more than eight fields in one level", 50),
    ("document sub-diff", 1500),
    ("document sub-diff in an array", 900),
    ("array sub-diff", 1500),
    ("array sub-diff in an array", 200),
    ("sub-diffs three deep", 600),
    ("array cut", 100),
    ("array element set", 900),
    ("array padded", 5),
    ("array value", 700),
    ("empty name", 20),
    ("name with a dot", 300),
    ("name with a $", 150),
    ("name that is a number", 1500),
];

/// The same for diffs that were applied to documents they were not made from, in 5 000.
const LEAST_LAGGING: &[(&str, usize)] = &[
    ("sub-diff of a missing field", 150),
    ("sub-diff of a missing element", 1),
    ("sub-diff of another type", 150),
    ("array padded", 5),
    ("moved field", 150),
];

#[derive(Default)]
pub(super) struct Shapes {
    updates: usize,
    counts: BTreeMap<&'static str, usize>,
    kinds: BTreeSet<u8>,
    others: BTreeMap<String, usize>,
    refused: BTreeMap<i32, usize>,
    lagging: usize,
    lagging_counts: BTreeMap<&'static str, usize>,
}

impl Shapes {
    pub(super) fn updates(&self) -> usize {
        self.updates
    }

    pub(super) fn update(&mut self, raw: &RawDocument, pre: &RawDocument) {
        self.updates += 1;
        for shape in Found::of(raw, pre, &mut self.kinds) {
            *self.counts.entry(shape).or_default() += 1;
        }
    }

    /// An event of the updated collection that is no update: the server found that the whole
    /// document is smaller than the diff.
    pub(super) fn other(&mut self, operation: &OperationType) {
        *self.others.entry(operation.to_string()).or_default() += 1;
    }

    pub(super) fn refused(&mut self, errors: &[Bson]) {
        for error in errors {
            let code = error.as_document().map(|error: &Document| error.get_i32("code").unwrap());
            *self.refused.entry(code.unwrap_or(0)).or_default() += 1;
        }
    }

    pub(super) fn lagging(&mut self, raw: &RawDocument, pre: &RawDocument) {
        self.lagging += 1;
        for shape in Found::of(raw, pre, &mut self.kinds) {
            *self.lagging_counts.entry(shape).or_default() += 1;
        }
    }

    #[track_caller]
    pub(super) fn assert_not_trivial(&self) {
        assert!(self.updates >= UPDATES && self.lagging * 5 >= UPDATES * 2, "too few updates");
        let of_lagging = LEAST_LAGGING.iter().map(|least| (&self.lagging_counts, least));
        for (counts, (shape, least)) in
            LEAST.iter().map(|least| (&self.counts, least)).chain(of_lagging)
        {
            let count = counts.get(shape).copied().unwrap_or(0);
            assert!(count >= *least, "{shape}: {count}, not {least}");
        }
        // Every type there is.
        let kinds: BTreeSet<u8> = (0x01..=0x13).chain([0x7F, 0xFF]).collect();
        assert_eq!(self.kinds, kinds, "the types of values");
    }
}

impl fmt::Display for Shapes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} updates; other events {:?}", self.updates, self.others)?;
        writeln!(f, "refused by the server, by code: {:?}", self.refused)?;
        self.counts.iter().try_for_each(|(shape, count)| writeln!(f, "{count:6} {shape}"))?;
        writeln!(f, "{} on lagging documents", self.lagging)?;
        self.lagging_counts.iter().try_for_each(|(shape, count)| writeln!(f, "{count:6} {shape}"))
    }
}

/// The shapes in one update.
struct Found<'k> {
    kinds: &'k mut BTreeSet<u8>,
    shapes: BTreeSet<&'static str>,
}

fn elements(document: &[u8]) -> impl Iterator<Item = Element<'_>> {
    raw::elements("", document).unwrap().map(Result::unwrap)
}

impl<'k> Found<'k> {
    fn of(
        raw: &RawDocument,
        pre: &RawDocument,
        kinds: &'k mut BTreeSet<u8>,
    ) -> BTreeSet<&'static str> {
        let diff = raw::find("", raw.as_bytes(), "diff").unwrap().unwrap();
        let mut found = Self { kinds, shapes: BTreeSet::new() };
        found.document(diff.value, pre.as_bytes(), 0);
        found.shapes
    }

    fn document(&mut self, diff: &[u8], pre: &[u8], depth: usize) {
        let pre: Vec<_> = elements(pre).collect();
        let before = |name: &[u8]| pre.iter().copied().find(|element| element.name == name);
        if depth >= 3 {
            self.shapes.insert("sub-diffs three deep");
        }
        let mut fields = 0;
        for section in elements(diff) {
            if let Some(field) = section.name.strip_prefix(b"s") {
                fields += 1;
                self.name(field);
                match before(field) {
                    Some(pre) => self.inside(section.value, pre, depth, false),
                    None => drop(self.shapes.insert("sub-diff of a missing field")),
                }
                continue;
            }
            for element in elements(section.value) {
                fields += 1;
                self.name(element.name);
                self.shapes.insert(match section.name {
                    b"d" => "deleted field",
                    b"u" => "updated field",
                    _ if before(element.name).is_some() => "moved field",
                    _ => "inserted field",
                });
                if section.name != b"d" {
                    self.value(element);
                }
            }
        }
        if fields > 8 {
            self.shapes.insert("more than eight fields in one level");
        }
    }

    fn inside(&mut self, diff: &[u8], pre: Element<'_>, depth: usize, in_array: bool) {
        let array = elements(diff).next().is_some_and(|first| first.name == b"a");
        self.shapes.insert(match (array, in_array) {
            (false, false) => "document sub-diff",
            (true, false) => "array sub-diff",
            (false, true) => "document sub-diff in an array",
            (true, true) => "array sub-diff in an array",
        });
        match (array, pre.kind) {
            (true, kind::ARRAY) => self.array(diff, pre.value, depth + 1),
            (false, kind::DOCUMENT) => self.document(diff, pre.value, depth + 1),
            _ => drop(self.shapes.insert("sub-diff of another type")),
        }
    }

    fn array(&mut self, diff: &[u8], pre: &[u8], depth: usize) {
        let pre: Vec<_> = elements(pre).collect();
        let mut end = pre.len();
        for change in elements(diff).skip(1) {
            let index = std::str::from_utf8(&change.name[1..]).unwrap().parse::<usize>();
            match (change.name[0], index) {
                (b'u', Ok(index)) => {
                    self.shapes.insert("array element set");
                    if index > end {
                        self.shapes.insert("array padded");
                    }
                    end = end.max(index + 1);
                    self.value(change);
                }
                (b's', Ok(index)) => match pre.get(index) {
                    Some(pre) => self.inside(change.value, *pre, depth, true),
                    None => drop(self.shapes.insert("sub-diff of a missing element")),
                },
                _ => drop(self.shapes.insert("array cut")),
            }
        }
    }

    fn name(&mut self, name: &[u8]) {
        if name.is_empty() {
            self.shapes.insert("empty name");
        }
        if name.contains(&b'.') {
            self.shapes.insert("name with a dot");
        }
        if name.starts_with(b"$") {
            self.shapes.insert("name with a $");
        }
        if !name.is_empty() && name.iter().all(u8::is_ascii_digit) {
            self.shapes.insert("name that is a number");
        }
    }

    fn value(&mut self, element: Element<'_>) {
        self.kinds.insert(element.kind);
        if element.array().is_some() {
            self.shapes.insert("array value");
        }
        for inner in element.document().or(element.array()).into_iter().flat_map(elements) {
            self.kinds.insert(inner.kind);
        }
    }
}
