//! `Restoration`: a tape's base on its way into a database, before the first event.
//!
//! ```text
//! base ──► selection ──► map ──► order ──► sink: each collection, its documents, its indexes;
//!          (which)       (names) (views last)    then the views
//! ```
//! - A base is what was there before the tape's first event. So nothing may be left out between
//!   the two: a selection that begins later is refused, and so is a tape whose first events were
//!   dropped.
//! - It is never mixed with what is there: where a name is taken, the sink refuses before it writes
//!   anything, or drops what has the name, as was asked for ([`Existing`]).
//! - It is not restored at once. What is interrupted leaves a part, and has to be begun again;
//!   whoever interrupts it is told so.
//! - Operation types select among events; the base is the same for all of them.

mod order;

use std::time::Duration;

use bson::raw::{RawArrayBuf, RawDocument, RawDocumentBuf};
use bson::{cstr, rawdoc};
use changetape_core::{Namespace, Seq};
use changetape_tape::{Base, BaseBlocks, BaseCollection, Definition, TapeReader};

use crate::{Coverage, Error, ReplayOptions, Resume};

/// What to do with what has a name of the base.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Existing {
    /// Not begin.
    #[default]
    Refuse,
    /// Drop it first.
    Drop,
}

/// What of a tape's base is restored, under which names, in which order.
#[derive(Debug)]
pub struct Restoration {
    base: Base,
    parts: Vec<Part>,
    existing: Existing,
    /// Of the replay that it begins, and where its events begin.
    coverage: Coverage,
    next: Seq,
}

/// A collection or view that is restored.
#[derive(Debug)]
pub(crate) struct Part {
    /// Under the names that it is to have.
    definition: Definition,
    source: BaseCollection,
}

/// How much of a base is in the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Extent {
    /// Nothing of it, and what was there is untouched.
    #[default]
    Nothing,
    /// A part, which is of no use by itself.
    Part,
    /// All of it.
    Whole,
}

/// What came of a restoration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restored {
    /// How much of the base the target holds.
    pub extent: Extent,
    /// Collections and views that are there with all that belongs to them.
    pub collections: u64,
    /// Documents that the target has acknowledged.
    pub documents: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Collections and views that were dropped for it.
    pub dropped: u64,
    /// How long it took.
    pub elapsed: Duration,
}

impl Restoration {
    /// What a replay with these options restores first.
    ///
    /// # Errors
    /// [`Error::NoBase`], [`Error::BaseWithStart`], [`Error::BaseNotFollowed`];
    /// [`Error::MapCollision`] and [`Error::ViewApart`] where the names that it would get cannot
    /// be; [`Error::Tape`].
    pub fn of(
        tape: &TapeReader,
        options: &ReplayOptions,
        existing: Existing,
    ) -> Result<Self, Error> {
        if options.selection.start.is_some() {
            return Err(Error::BaseWithStart);
        }
        let Some(base) = tape.base().map_err(Error::tape)? else {
            return Err(Error::NoBase);
        };
        // Whether a replay that goes on needs the base at all, its target knows.
        if let Some(dropped) = tape.dropped().filter(|_| options.resume == Resume::No) {
            return Err(Error::BaseNotFollowed { start: dropped.end });
        }
        let mut parts = Vec::new();
        for source in base.collections() {
            let source = source.map_err(Error::tape)?;
            if options.selection.namespaces.matches(&source.definition.namespace()) {
                let definition = options.map.definition(&source.definition)?;
                parts.push(Part { definition, source });
            }
        }
        let parts = order::views_last(parts, |part| &part.definition);
        let (coverage, next) = (Coverage::of(tape.metadata(), options), tape.start());
        Ok(Self { base, parts, existing, coverage, next })
    }

    /// What is restored, in this order.
    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The documents of a part.
    pub(crate) fn blocks(&self, part: &Part) -> BaseBlocks<'_> {
        self.base.blocks(&part.source)
    }

    /// The part of the tape that the replay covers.
    pub(crate) fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// The first event behind the base.
    pub(crate) fn next(&self) -> Seq {
        self.next
    }

    pub(crate) fn existing(&self) -> Existing {
        self.existing
    }

    /// How many documents are restored.
    pub(crate) fn documents(&self) -> u64 {
        self.parts.iter().map(|part| part.source.documents).sum()
    }
}

impl Part {
    /// Where it is restored.
    pub(crate) fn namespace(&self) -> Namespace {
        self.definition.namespace()
    }

    /// What it is created with, as a `create` event would say it.
    pub(crate) fn creation(&self) -> RawDocumentBuf {
        let mut description = self.definition.options.clone();
        let is_id = |index: &&RawDocumentBuf| name(index) == Some("_id_") && !is_clustered(index);
        if let Some(index) = self.definition.indexes.iter().find(is_id) {
            description.append(cstr!("idIndex"), index.clone());
        }
        description
    }

    /// The other indexes, as a `createIndexes` event would tell them; `None` if there are none.
    pub(crate) fn indexes(&self) -> Option<RawDocumentBuf> {
        let mut indexes = RawArrayBuf::new();
        for index in &self.definition.indexes {
            if name(index) != Some("_id_") && !is_clustered(index) {
                indexes.push(index.clone());
            }
        }
        (!indexes.is_empty()).then(|| rawdoc! {"indexes": indexes})
    }
}

/// What a collection is clustered by is among its options, whatever its name.
fn is_clustered(index: &RawDocument) -> bool {
    index.get_bool("clustered").unwrap_or(false)
}

fn name(index: &RawDocument) -> Option<&str> {
    index.get_str("name").ok()
}

#[cfg(test)]
mod tests;
