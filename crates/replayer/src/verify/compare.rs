//! `Comparing`: what the tape says against what the database has.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bson::DateTime;
use bson::raw::RawDocumentBuf;
use changetape_core::{Namespace, raw};

use super::collections::{Collection, Collections};
use super::definition::{Definition, Fields};
use super::difference::{self, FieldDifference, How};
use super::documents::{Documents, Key, State, write_key};
use super::expiry::Expiry;
use super::report::{Found, Subject, shown};
use super::target::{Listed, Target};
use super::{Comparison, VerifyOptions, VerifyProgress};
use crate::{Error, Stop};

/// How many documents are asked for at a time, and how many bytes of them are expected.
const AT_A_TIME: usize = 500;
const BYTES_AT_A_TIME: usize = 8 << 20;

/// A comparison that is under way.
pub(super) struct Comparing<'a> {
    target: &'a Target,
    options: &'a VerifyOptions,
    comparison: Comparison,
    /// How many documents that the tape knows of were found, of each collection that is known as
    /// a whole, by its name in the database.
    present: BTreeMap<Namespace, u64>,
    /// Those that have more.
    crowded: BTreeSet<Namespace>,
    /// What may have removed documents, by the collection's name in the database.
    expiries: BTreeMap<Namespace, Expiry>,
}

impl<'a> Comparing<'a> {
    pub(super) fn new(
        target: &'a Target,
        options: &'a VerifyOptions,
        comparison: Comparison,
    ) -> Self {
        let (present, crowded, expiries) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Self { target, options, comparison, present, crowded, expiries }
    }

    /// Counts a pass, and says which it is.
    pub(super) fn next_pass(&mut self) -> u64 {
        self.comparison.passes += 1;
        self.comparison.passes
    }

    /// So long it took to compute what a part has to be.
    pub(super) fn has_read(&mut self, took: Duration) {
        self.comparison.reading += took;
    }

    pub(super) fn done(mut self) -> Comparison {
        self.comparison.sort();
        self.comparison
    }

    /// Compares collections and views, their options and their indexes.
    pub(super) fn definitions(&mut self, collections: &Collections) -> Result<(), Error> {
        let mut listing = Listing { target: self.target, databases: HashMap::new() };
        for (ns, _) in collections.iter() {
            // Two in one place would look like differences.
            self.options.map.checked(None, ns)?;
        }
        for (recorded, ns, collection) in self.judged(collections) {
            let found = listing.take(&ns)?;
            self.comparison.says_nothing = false;
            self.comparison.collections += u64::from(found.is_some());
            let expiry = Expiry::of(&collection.definition, found.as_ref());
            let expiry = expiry.map_err(|error| self.target.nonsense(&error))?;
            self.expiries.insert(ns.clone(), expiry);
            let mut definition = collection.definition.clone();
            if let Some((on, options)) = definition.view() {
                // A view follows what it is on; in another database it could not be played.
                let on = self.options.map.target(&Namespace::collection(&*recorded.db, on));
                options.set_text(b"viewOn", on.coll.as_deref().unwrap_or_default());
            }
            self.definition(&ns, &definition, found)?;
        }
        let gone = collections.gone().filter(|ns| self.options.namespaces.matches(ns));
        let gone: Vec<_> = gone.map(|ns| self.options.map.target(ns)).collect();
        for ns in gone {
            self.comparison.says_nothing = false;
            // Another one may have been given the name by a mapping; it is compared above.
            if listing.take(&ns)?.is_some() {
                self.comparison.add(&ns, Subject::Collection, Found::Extra);
            }
        }
        // What else is in a database that a mapping leads into may be somebody else's.
        let emptied = collections.emptied().filter(|_| self.options.map.is_empty());
        for db in emptied {
            let whole = Namespace::database(db);
            self.comparison.says_nothing &= !self.options.namespaces.matches(&whole);
            let known = |ns: &Namespace| collections.iter().any(|(known, _)| known == ns);
            for coll in listing.in_database(db)?.keys() {
                let ns = Namespace::collection(db, coll.as_str());
                if self.options.namespaces.matches(&ns) && !known(&ns) {
                    self.comparison.add(&ns, Subject::Collection, Found::Extra);
                }
            }
        }
        Ok(())
    }

    /// What takes part: its name on the tape, and the one that it has in the database.
    fn judged<'c>(
        &self,
        collections: &'c Collections,
    ) -> Vec<(&'c Namespace, Namespace, &'c Collection)> {
        let options = self.options;
        let takes_part = |(ns, collection): &(&Namespace, &Collection)| {
            collection.is_judged()
                && options.namespaces.matches(ns)
                && !ns.coll.as_deref().is_some_and(|coll| coll.starts_with("system."))
        };
        let judged = collections.iter().filter(takes_part);
        judged.map(|(ns, collection)| (ns, options.map.target(ns), collection)).collect()
    }

    fn definition(
        &mut self,
        ns: &Namespace,
        definition: &Definition,
        found: Option<Listed>,
    ) -> Result<(), Error> {
        let Some(found) = found else {
            // Also one that was there before the tape: there are events about it.
            self.comparison.add(ns, Subject::Collection, Found::Missing);
            return Ok(());
        };
        if definition.kind.is_some_and(|kind| kind != found.kind) {
            self.comparison.add(ns, Subject::Collection, Found::OtherKind);
            return Ok(());
        }
        if let Some(options) = &definition.options {
            self.fields(ns, Subject::Options, options, &found.options)?;
        }
        for (name, index) in &definition.indexes {
            let subject = || Subject::Index(name.clone());
            match (index, found.indexes.get(name)) {
                (Some(index), Some(found)) => self.fields(ns, subject(), index, found)?,
                (Some(_), None) => self.comparison.add(ns, subject(), Found::Missing),
                (None, Some(_)) => self.comparison.add(ns, subject(), Found::Extra),
                (None, None) => {}
            }
        }
        if definition.all_indexes {
            let known = &definition.indexes;
            for name in found.indexes.into_keys().filter(|name| !known.contains_key(name)) {
                self.comparison.add(ns, Subject::Index(name), Found::Extra);
            }
        }
        Ok(())
    }

    fn fields(
        &mut self,
        ns: &Namespace,
        subject: Subject,
        expected: &Fields,
        found: &Fields,
    ) -> Result<(), Error> {
        let difference = expected.difference(found);
        if let Some(field) = difference.map_err(|error| self.target.nonsense(&error))? {
            self.comparison.add(ns, subject, Found::Field(field));
        }
        Ok(())
    }

    /// Compares the documents of a part; `false` if a stop was requested before the end.
    pub(super) fn documents(
        &mut self,
        collections: &Collections,
        documents: &Documents,
        progress: &VerifyProgress,
        stop: &Stop,
    ) -> Result<bool, Error> {
        for (_, ns, collection) in self.judged(collections) {
            if !collection.has_documents() {
                continue;
            }
            if collection.whole {
                self.present.entry(ns.clone()).or_default();
            }
            let expiry = self.expiries.get(&ns).cloned().unwrap_or_default();
            let mut batch = Batch::default();
            for (key, state) in documents.of(collection.lineage) {
                if batch.is_full() {
                    self.batch(&ns, std::mem::take(&mut batch), &expiry)?;
                    progress.compared(self.comparison.documents);
                    if stop.is_requested() {
                        return Ok(false);
                    }
                }
                batch.add(key, state);
            }
            self.batch(&ns, batch, &expiry)?;
            progress.compared(self.comparison.documents);
        }
        Ok(!stop.is_requested())
    }

    fn batch(&mut self, ns: &Namespace, batch: Batch<'_>, expiry: &Expiry) -> Result<(), Error> {
        if batch.keys.is_empty() {
            return Ok(());
        }
        let mut waiting = batch.states;
        let mut key = Vec::new();
        let (target, comparison) = (self.target, &mut self.comparison);
        let present = self.present.get_mut(ns);
        let mut there = 0;
        target.documents(ns, &batch.keys, |found| {
            let bytes = found.as_bytes();
            key_of(&mut key, bytes, target)?;
            // A key of another type that means the same to a server is another document.
            let Some(state) = waiting.remove(key.as_slice()) else { return Ok(()) };
            there += 1;
            let found = match state {
                State::There | State::Unknown => {
                    comparison.add_unknown(ns, &key);
                    return Ok(());
                }
                State::Gone => Some(Found::Extra),
                State::Is(expected) | State::MayBe(expected) => {
                    differing(expected.as_bytes(), bytes)
                        .map_err(|error| target.nonsense(&error))?
                        .map(Found::Field)
                }
            };
            comparison.documents += 1;
            if let Some(found) = found {
                comparison.add(ns, Subject::Document(shown(&key)), found);
            }
            Ok(())
        })?;
        if let Some(present) = present {
            *present += there;
        }
        let now = DateTime::now().timestamp_millis();
        let may_have_expired = |document: &RawDocumentBuf| {
            let may = expiry.may_have_removed(document.as_bytes(), now);
            may.map_err(|error| target.nonsense(&error))
        };
        for (key, state) in waiting {
            let may_be_gone = match state {
                State::Gone => {
                    comparison.documents += 1;
                    continue;
                }
                State::Is(document) => may_have_expired(document)?,
                State::There => expiry.may_have_removed_any(),
                State::MayBe(_) | State::Unknown => true,
            };
            if may_be_gone {
                comparison.add_unknown(ns, key);
            } else {
                comparison.documents += 1;
                comparison.add(ns, Subject::Document(shown(key)), Found::Missing);
            }
        }
        Ok(())
    }

    /// Counts what is in the collections that are known as a whole; whether any has more than the
    /// tape knows of.
    pub(super) fn finds_more_than_expected(&mut self) -> Result<bool, Error> {
        for (ns, present) in &self.present {
            if self.target.count(ns)? > *present {
                self.crowded.insert(ns.clone());
            }
        }
        Ok(!self.crowded.is_empty())
    }

    /// Names what a part should hold and the tape does not know of; `false` if a stop was
    /// requested.
    pub(super) fn extra(
        &mut self,
        collections: &Collections,
        documents: &Documents,
        stop: &Stop,
    ) -> Result<bool, Error> {
        for (_, ns, collection) in self.judged(collections) {
            if !self.crowded.contains(&ns) || stop.is_requested() {
                continue;
            }
            let mut key = Vec::new();
            let (target, comparison) = (self.target, &mut self.comparison);
            target.ids(&ns, |found| {
                key_of(&mut key, found.as_bytes(), target)?;
                if documents.is_unexpected(collection.lineage, &key) {
                    comparison.add(&ns, Subject::Document(shown(&key)), Found::Extra);
                }
                Ok(())
            })?;
        }
        Ok(!stop.is_requested())
    }
}

/// What there is, and was not taken yet.
struct Listing<'a> {
    target: &'a Target,
    databases: HashMap<String, HashMap<String, Listed>>,
}

impl Listing<'_> {
    fn in_database(&mut self, db: &str) -> Result<&mut HashMap<String, Listed>, Error> {
        Ok(match self.databases.entry(db.to_owned()) {
            Entry::Occupied(listed) => listed.into_mut(),
            Entry::Vacant(place) => place.insert(self.target.collections(db)?),
        })
    }

    fn take(&mut self, ns: &Namespace) -> Result<Option<Listed>, Error> {
        let listed = self.in_database(&ns.db)?;
        Ok(listed.remove(ns.coll.as_deref().unwrap_or_default()))
    }
}

/// Documents that are asked for together.
#[derive(Default)]
struct Batch<'d> {
    keys: Vec<&'d Key>,
    states: HashMap<&'d [u8], &'d State>,
    bytes: usize,
}

impl<'d> Batch<'d> {
    fn is_full(&self) -> bool {
        self.keys.len() >= AT_A_TIME || self.bytes >= BYTES_AT_A_TIME
    }

    fn add(&mut self, key: &'d Key, state: &'d State) {
        self.bytes += key.len() + state.len();
        self.keys.push(key);
        self.states.insert(key, state);
    }
}

/// Where two documents differ; their bytes decide whether they do.
fn differing(
    expected: &[u8],
    found: &[u8],
) -> Result<Option<FieldDifference>, changetape_core::Error> {
    if expected == found {
        return Ok(None);
    }
    let whole = || FieldDifference { path: String::new(), how: How::Value };
    Ok(Some(difference::first(expected, found)?.unwrap_or_else(whole)))
}

fn key_of(key: &mut Vec<u8>, document: &[u8], target: &Target) -> Result<(), Error> {
    let id = raw::find("a document", document, "_id").map_err(|error| target.nonsense(&error))?;
    key.clear();
    if let Some(id) = id {
        write_key(key, id);
    }
    Ok(())
}
