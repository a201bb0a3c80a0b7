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
//! The documents of a tape need not fit. They are in parts by a hash of their `_id`s
//! ([`part`]); a pass over the tape keeps those of one part only, and one that outgrows
//! [`MEMORY`] is split, by what it looks like needing, and read again.
//!
//! # What is judged
//! Documents that the tape touches, and of collections whose content it knows as a whole
//! ([`collections`]) all others, too: they are extra. To find those, documents are counted first;
//! only where there are more than were found is the tape read again to tell which.
//!
//! A document that is changed before the tape has said what it was, or in the public form, is
//! *unknown*: counted and named, never passed off as right.
//!
//! Nobody may write to the database meanwhile. Not compared: UUIDs, the order of documents.

mod change;
mod collections;
mod compare;
mod definition;
mod difference;
mod documents;
mod part;
mod progress;
mod report;
mod target;

use std::ops::Range;
use std::time::Instant;

use changetape_core::{Namespace, NamespaceFilter, Seq};
use changetape_deployment::Deployment;
use changetape_tape::{Base, TapeReader};

pub use difference::{FieldDifference, How};
pub use progress::VerifyProgress;
pub use report::{Comparison, Difference, Differences, Found, Subject, Unknown};

use crate::{Error, Missing, NamespaceMap, Stop};
use change::Change;
use collections::{Collections, Effect, Lineage};
use compare::Comparing;
use documents::Documents;
use part::Part;
use target::Target;

/// How much memory the documents of a part may take, in bytes, unless told: some of the largest
/// documents, and for most tapes all of them.
pub const MEMORY: usize = 64 << 20;

/// What to compare and how.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Which collections, by the name that they have at the end of the tape.
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

/// How a pass over the tape ended.
enum Pass {
    Stopped,
    /// The documents of the part do not fit; into how many parts it looks like having to be split.
    Full(u64),
    Read(Collections, Documents),
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
        let range = self.tape.start()..self.tape.end();
        let gaps = self.options.missing.crossed(&self.tape, &range)?;
        // Where events behind it were dropped, a base says nothing about the rest.
        let base = match self.tape.dropped() {
            Some(_) => None,
            None => self.tape.base().map_err(Error::tape)?,
        };
        let comparison = Comparison::new(range.clone(), gaps, self.options.limit);
        let mut comparing = Comparing::new(&self.target, &self.options, comparison);
        let (mut waiting, mut done) = (vec![Part::ALL], Vec::new());
        while let Some(part) = waiting.pop() {
            let pass = comparing.next_pass();
            progress.begin(pass, pass + waiting.len() as u64, range.end.since(range.start));
            match self.pass(part, &range, base.as_ref(), progress, stop)? {
                Pass::Stopped => return Ok(None),
                Pass::Full(parts) => waiting.extend(part.split(parts)),
                Pass::Read(collections, documents) => {
                    if done.is_empty() {
                        comparing.definitions(&collections)?;
                    }
                    if !comparing.documents(&collections, &documents, progress, stop)? {
                        return Ok(None);
                    }
                    done.push(part);
                }
            }
        }
        if comparing.finds_more_than_expected()? {
            for (part, left) in done.iter().zip((0..done.len() as u64).rev()) {
                let pass = comparing.next_pass();
                progress.begin(pass, pass + left, range.end.since(range.start));
                match self.pass(*part, &range, base.as_ref(), progress, stop)? {
                    Pass::Read(collections, documents)
                        if comparing.extra(&collections, &documents, stop)? => {}
                    _ => return Ok(None),
                }
            }
        }
        let mut comparison = comparing.done();
        comparison.elapsed = begun.elapsed();
        Ok(Some(comparison))
    }

    /// Reads base and tape for the documents of one part.
    fn pass(
        &self,
        part: Part,
        range: &Range<Seq>,
        base: Option<&Base>,
        progress: &VerifyProgress,
        stop: &Stop,
    ) -> Result<Pass, Error> {
        let full_document = self.tape.metadata().stream.full_document.as_deref();
        let post_images = matches!(full_document, Some("required" | "whenAvailable"));
        let mut collections = Collections::default();
        let mut documents = Documents::new(part, post_images);
        // A part is as large as what was read of it makes likely, and as all that was kept.
        let full = |documents: &Documents, read: u64, of: u64| {
            let (bytes, most) = (documents.bytes() as u64, self.options.memory as u64);
            let full = bytes > most && part.can_split();
            full.then(|| (bytes.saturating_mul(of) / read.max(1)).div_ceil(most.max(1)))
        };
        let in_base = base.map_or(0, |base| base.summary().documents);
        let all = in_base + range.end.since(range.start);
        let mut read = 0;
        for collection in base.into_iter().flat_map(Base::collections) {
            let collection = collection.map_err(Error::tape)?;
            let bad = |source| Error::Base { namespace: collection.definition.namespace(), source };
            let lineage = collections.put(&collection.definition).map_err(bad)?;
            for block in base.into_iter().flat_map(|base| base.blocks(&collection)) {
                let block = block.map_err(Error::tape)?;
                for document in block.documents() {
                    documents.put(lineage, document.as_bytes()).map_err(bad)?;
                }
                read += block.len() as u64;
                if stop.is_requested() {
                    return Ok(Pass::Stopped);
                }
                if let Some(parts) = full(&documents, read, all) {
                    return Ok(Pass::Full(parts));
                }
            }
        }
        let mut reader = Reader { collections, documents, at: None };
        for block in self.tape.blocks(range.start).until(range.end) {
            let block = block.map_err(Error::tape)?;
            for recorded in block.events().filter(|recorded| range.contains(&recorded.seq)) {
                reader.take(&recorded.event).map_err(Error::event(recorded.seq))?;
            }
            let events = block.end().min(range.end).since(range.start);
            progress.read(events);
            if stop.is_requested() {
                return Ok(Pass::Stopped);
            }
            if let Some(parts) = full(&reader.documents, in_base + events, all) {
                return Ok(Pass::Full(parts));
            }
        }
        Ok(Pass::Read(reader.collections, reader.documents))
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
