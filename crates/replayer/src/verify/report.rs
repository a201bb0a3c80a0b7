//! What a comparison found.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use bson::Bson;
use bson::raw::RawBsonRef;
use changetape_core::{Namespace, Seq, raw};
use changetape_tape::Gap;

use super::difference::FieldDifference;

/// How much of an `_id` is shown, in characters.
const SHOWN: usize = 120;

/// How many documents that cannot be judged are named.
const NAMED: usize = 10;

/// What a comparison found.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The part of the tape.
    pub range: Range<Seq>,
    /// How often the tape was read, for want of memory for everything at once.
    pub passes: u64,
    /// Gaps that were crossed.
    pub gaps: Vec<Gap>,
    /// Whether the tape says nothing, in this part, of what was to be compared.
    pub says_nothing: bool,
    /// Collections and views that were compared, those that are not there aside.
    pub collections: u64,
    /// Documents that were compared.
    pub documents: u64,
    /// Documents that cannot be judged: the tape does not say what they must be, or whether they
    /// must be there.
    pub unknown: u64,
    /// The first of them.
    pub unknowns: Vec<Unknown>,
    /// Every difference, counted.
    pub differences: Differences,
    /// As many of them as were asked for.
    pub listed: Vec<Difference>,
    /// How long it took to compute from the tape what must be there, all passes together.
    pub reading: Duration,
    /// How long all of it took.
    pub elapsed: Duration,
    /// How many are listed at most.
    limit: usize,
}

/// Differences, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Differences {
    /// Collections, indexes and documents that are not there.
    pub missing: u64,
    /// Those that should not be there.
    pub extra: u64,
    /// Those that are not what they should be, and options.
    pub different: u64,
}

/// A document that cannot be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// Its collection, as the database has it.
    pub namespace: Namespace,
    /// Its `_id`, as Extended JSON.
    pub id: String,
}

/// Something in the database that is not as the tape says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where, as the database has it.
    pub namespace: Namespace,
    /// What it is.
    pub subject: Subject,
    /// How it differs.
    pub found: Found,
}

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The collection or view itself.
    Collection,
    /// Its options.
    Options,
    /// An index, by name.
    Index(String),
    /// A document, by its `_id` as Extended JSON.
    Document(String),
}

/// How something differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It is not there.
    Missing,
    /// It should not be there.
    Extra,
    /// It is of another kind: a view and not a collection, or the reverse.
    OtherKind,
    /// This field of it differs.
    Field(FieldDifference),
}

impl Differences {
    /// How many there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.missing + self.extra + self.different
    }
}

impl Comparison {
    pub(super) fn new(range: Range<Seq>, gaps: Vec<Gap>, limit: usize) -> Self {
        Self {
            range,
            passes: 0,
            gaps,
            says_nothing: true,
            collections: 0,
            documents: 0,
            unknown: 0,
            unknowns: Vec::new(),
            differences: Differences::default(),
            listed: Vec::new(),
            reading: Duration::ZERO,
            elapsed: Duration::ZERO,
            limit,
        }
    }

    /// Whether the database is what the tape says, as far as it says something, and nothing is
    /// known to be missing from the tape.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.differences.total() == 0 && self.gaps.is_empty()
    }

    pub(super) fn add(&mut self, namespace: &Namespace, subject: Subject, found: Found) {
        match found {
            Found::Missing => self.differences.missing += 1,
            Found::Extra => self.differences.extra += 1,
            Found::OtherKind | Found::Field(_) => self.differences.different += 1,
        }
        if self.listed.len() < self.limit {
            self.listed.push(Difference { namespace: namespace.clone(), subject, found });
        }
    }

    pub(super) fn add_unknown(&mut self, namespace: &Namespace, key: &[u8]) {
        self.unknown += 1;
        if self.unknowns.len() < NAMED {
            let (namespace, id) = (namespace.clone(), shown(key));
            self.unknowns.push(Unknown { namespace, id });
        }
    }

    /// Puts what is listed in order: parts of a tape are compared in none.
    pub(super) fn sort(&mut self) {
        let key = |it: &Difference| (it.namespace.clone(), it.subject.clone());
        self.listed.sort_by_cached_key(key);
        self.unknowns.sort_by_cached_key(|it| (it.namespace.clone(), it.id.clone()));
    }
}

/// A key as people read it.
pub(super) fn shown(key: &[u8]) -> String {
    let Some((&kind, value)) = key.split_first() else { return String::new() };
    let mut writer = raw::DocumentWriter::with_capacity(value.len() + 16);
    writer.value(kind, b"_id", value);
    let document = writer.finish().ok();
    let id = document.as_ref().and_then(|document| document.get("_id").ok().flatten());
    let bson = id.and_then(|id: RawBsonRef<'_>| Bson::try_from(id).ok());
    let text = match bson {
        Some(bson) => bson.into_relaxed_extjson().to_string(),
        None => format!("{} bytes that are no BSON", value.len()),
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, subject, found } = self;
        write!(f, "{namespace}")?;
        match subject {
            Subject::Collection => {}
            Subject::Options => f.write_str(": options")?,
            Subject::Index(name) => write!(f, ": index {name:?}")?,
            Subject::Document(id) => write!(f, ": document {id}")?,
        }
        match found {
            Found::Missing => f.write_str(" is missing"),
            Found::Extra => f.write_str(" is extra"),
            Found::OtherKind => f.write_str(" is a view instead of a collection, or the reverse"),
            Found::Field(field) => write!(f, ": {field}"),
        }
    }
}
