//! Whether a database is what a tape says.
//!
//! ```text
//! base ─┐                                                   database
//!       ├─► collections (which there are, what they are) ──► compare ──► Comparison
//! tape ─┘   documents (of one part: what each must be)   ──► compare ─┘
//! ```
//! What must be there is computed from the tape alone, with our own diffs' rules: no server is
//! asked how. Then the database is: definitions once, documents by their `_id`s, byte for byte.
//!
//! # Memory
//! The documents of a tape need not fit. They are in parts by a hash of their `_id`s (`part`);
//! a pass over the tape keeps those of one part only, and gives up some where they outgrow
//! [`MEMORY`], for the next pass.
//!
//! # What is judged
//! Documents that the tape touches, and of collections whose content it knows as a whole
//! (`collections`) all others, too: they are extra. To find those, documents are counted first;
//! only where there are more than were found is the tape read again to tell which.
//!
//! A document that is changed before the tape has said what it was, or in the public form, is
//! *unknown*: counted and named, never passed off as right; but it has to be there. So is one that is
//! missing and that the server may have removed by itself (`expiry`).
//!
//! Nobody may write to the database meanwhile. Not compared: UUIDs, the order of documents.

mod ahead;
mod change;
mod collections;
mod compare;
mod definition;
mod difference;
mod documents;
mod expiry;
mod part;
mod progress;
mod report;
mod target;

use std::ops::Range;
use std::time::Instant;

use changetape_core::{Namespace, NamespaceFilter, Position, Seq};
use changetape_deployment::Deployment;
use changetape_tape::{Base, TapeReader};

pub use difference::{FieldDifference, How};
pub use progress::VerifyProgress;
pub use report::{Comparison, Difference, Differences, Found, Subject, Unknown};

use crate::{Error, Missing, NamespaceMap, Stop, selection};
use ahead::ahead;
use change::Change;
use collections::{Collections, Effect, Lineage};
use compare::Comparing;
use documents::Documents;
use part::Part;
use target::Target;

/// How much memory the documents of a part may take, in bytes, unless told: some of the largest
/// documents, and for most tapes all of them. With all else it stays well below 200 MiB.
pub const MEMORY: usize = 96 << 20;

/// What to compare and how.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// The first event that counts; `None` for the tape's first. What was there before a later
    /// one is not known, so neither is a base.
    pub start: Option<Position>,
    /// The first event that no longer does; `None` for none.
    pub end: Option<Position>,
    /// Which collections, by the name that they have after the last event.
    pub namespaces: NamespaceFilter,
    /// Under which names the tape was played.
    pub map: NamespaceMap,
    /// What to do where events are missing. (Damage always ends it.)
    pub missing: Missing,
    /// How many differences are listed; all are counted.
    pub limit: usize,
    /// How much memory the documents of a part may take, in bytes.
    pub memory: usize,
}

/// A comparison of a database with a tape.
pub struct Verification {
    tape: TapeReader,
    target: Target,
    options: VerifyOptions,
}

/// What is done with a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// Its documents are compared.
    Compare,
    /// Others are looked for.
    FindExtra,
}

/// What every pass over the tape needs.
struct Run<'a> {
    tape: &'a TapeReader,
    range: Range<Seq>,
    base: Option<Base>,
    memory: usize,
    progress: &'a VerifyProgress,
    stop: &'a Stop,
}

impl Verification {
    /// A comparison that has not begun. Must be called inside a multi-threaded tokio runtime,
    /// which must live as long.
    #[must_use]
    pub fn new(tape: TapeReader, deployment: Deployment, options: VerifyOptions) -> Self {
        Self { tape, target: Target::new(deployment), options }
    }

    /// Compares; `None` if a stop was requested before the end. Blocks: from asynchronous code,
    /// call it where blocking is allowed (`spawn_blocking`).
    ///
    /// # Errors
    /// See [`Error`].
    pub fn run(self, progress: &VerifyProgress, stop: &Stop) -> Result<Option<Comparison>, Error> {
        let begun = Instant::now();
        let range = selection::range(&self.tape, self.options.start, self.options.end)?;
        // Where events behind it are left out or were dropped, a base says nothing about the rest.
        let follows = range.start == self.tape.start() && self.tape.dropped().is_none();
        let base = if follows { self.tape.base().map_err(Error::tape)? } else { None };
        let gaps = self.options.missing.crossed(&self.tape, base.is_some(), &range)?;
        let comparison = Comparison::new(range.clone(), gaps, self.options.limit);
        let mut comparing = Comparing::new(&self.target, &self.options, comparison);
        let (tape, memory) = (&self.tape, self.options.memory);
        let run = Run { tape, range, base, memory, progress, stop };
        let whole = run.round(Round::Compare, &mut comparing)?
            && (!comparing.finds_more_than_expected()?
                || run.round(Round::FindExtra, &mut comparing)?);
        let mut comparison = comparing.done();
        comparison.elapsed = begun.elapsed();
        Ok(whole.then_some(comparison))
    }
}

impl Run<'_> {
    /// Reads the tape as often as all its documents need; `false` if a stop was requested before
    /// the end.
    fn round(&self, round: Round, comparing: &mut Comparing<'_>) -> Result<bool, Error> {
        let (mut next, mut left) = (Some(Part::ALL), 0);
        while let Some(part) = next {
            let pass = comparing.next_pass();
            self.progress.begin(pass, pass + left, self.range.end.since(self.range.start));
            let begun = Instant::now();
            let Some((collections, documents)) = self.pass(part)? else { return Ok(false) };
            comparing.has_read(begun.elapsed());
            let whole = match round {
                Round::Compare => {
                    if part == Part::ALL {
                        comparing.definitions(&collections)?;
                    }
                    comparing.documents(&collections, &documents, self.progress, self.stop)?
                }
                Round::FindExtra => comparing.extra(&collections, &documents, self.stop)?,
            };
            if !whole {
                return Ok(false);
            }
            next = documents.part().rest();
            left = documents.part().as_many_in_rest().saturating_sub(1);
        }
        Ok(true)
    }

    /// Reads base and tape for the documents of a part, or as many of them as there is memory
    /// for; `None` if a stop was requested before the end.
    fn pass(&self, part: Part) -> Result<Option<(Collections, Documents)>, Error> {
        let full_document = self.tape.metadata().stream.full_document.as_deref();
        let post_images = matches!(full_document, Some("required" | "whenAvailable"));
        let mut collections = Collections::default();
        let mut documents = Documents::new(part, post_images);
        if let Some(base) = &self.base {
            for collection in base.collections() {
                let collection = collection.map_err(Error::tape)?;
                let namespace = || collection.definition.namespace();
                let bad = |source| Error::Definition { namespace: Box::new(namespace()), source };
                let lineage = collections.put(&collection.definition).map_err(bad)?;
                let whole = ahead(
                    || base.blocks(&collection),
                    |block| {
                        for document in block.map_err(Error::tape)?.documents() {
                            documents.put(lineage, document.as_bytes()).map_err(bad)?;
                        }
                        documents.fit_into(self.memory);
                        Ok(!self.stop.is_requested())
                    },
                )?;
                if !whole {
                    return Ok(None);
                }
            }
        }
        let mut reader = Reader { collections, documents, at: None };
        let blocks = || self.tape.blocks(self.range.start).until(self.range.end);
        let whole = ahead(blocks, |block| {
            let block = block.map_err(Error::tape)?;
            for recorded in block.events().filter(|it| self.range.contains(&it.seq)) {
                reader.take(&recorded.event).map_err(Error::event(recorded.seq))?;
            }
            reader.documents.fit_into(self.memory);
            self.progress.read(block.end().min(self.range.end).since(self.range.start));
            Ok(!self.stop.is_requested())
        })?;
        Ok(whole.then_some((reader.collections, reader.documents)))
    }
}

/// Follows the events of a pass.
struct Reader {
    collections: Collections,
    documents: Documents,
    /// The collection of the last event: the next one is most likely about the same.
    at: Option<(Namespace, Lineage, bool)>,
}

impl Reader {
    fn take(
        &mut self,
        event: &changetape_core::ChangeEvent<'_>,
    ) -> Result<(), changetape_core::Error> {
        let change = Change::read(event)?;
        if !change.is_of_a_document() {
            self.at = None;
            match self.collections.apply(event)? {
                Effect::Nothing => {}
                Effect::Dropped(lineages) => {
                    for lineage in lineages {
                        self.documents.drop_all(lineage);
                    }
                }
                Effect::Converted(lineage) => self.documents.convert(lineage),
            }
            return Ok(());
        }
        let is_at = |ns: &Namespace| {
            ns.db.as_bytes() == change.db
                && ns.coll.as_deref().is_some_and(|coll| coll.as_bytes() == change.coll)
        };
        if self.at.as_ref().is_none_or(|(ns, ..)| !is_at(ns)) {
            let ns = event.namespace()?;
            let ns = ns.ok_or(changetape_core::Error::MissingField { field: "ns" })?;
            let collection = self.collections.at(&ns);
            self.at = Some((ns, collection.lineage, collection.whole));
        }
        let Some((_, lineage, whole)) = &self.at else { return Ok(()) };
        self.documents.apply(&change, *lineage, *whole)
    }
}
