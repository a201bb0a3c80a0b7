//! `Held`: the expiries that are held back while a replay lasts, and what events become by that.
//!
//! | event | is applied as | then held |
//! | --- | --- | --- |
//! | createIndexes | one of an index that is no TTL index | its expiry |
//! | create of a clustered collection | one of a collection that does not expire | its expiry |
//! | modify of an expiry | one of whatever else it modifies | the new one |
//! | dropIndexes, drop, dropDatabase | itself | nothing of what is gone |
//! | rename | itself | under the new name, instead of what that had |
//!
//! A plain index becomes a TTL index by `collMod` (since MongoDB 5.1), and lists the same then as one
//! that was created so. A TTL index that the target has already cannot become a plain one without
//! being built anew: it gets the longest expiry that there is, [`LONGEST`], and so does whatever is
//! to be the same.
//!
//! Only an index on one field, ascending or descending, is held: of others servers make no use.
//!
//! With `--resume` the target keeps what is held beside the progress. An event that is not covered
//! by that progress is applied again after a crash, which finds what is held as it was before it.

mod rewrite;

use std::collections::BTreeMap;

use bson::raw::{RawArrayBuf, RawBson, RawDocument, RawDocumentBuf};
use bson::{Bson, Document, cstr, rawdoc};
use changetape_core::{Error, Namespace, raw};

use super::reply::whole;
use super::target::majority;
use crate::Expiry;
use rewrite::{WHAT, field, fires, is, text};
pub(super) use rewrite::{describe, has_expiry};

/// The option by which servers let documents expire.
const EXPIRY: &str = "expireAfterSeconds";

/// The longest expiry of an index that servers take, 68 years.
const LONGEST: i32 = i32::MAX;

/// What has an expiry: an index of a collection, or a clustered collection itself.
type Place = (Namespace, Option<String>);

/// The expiries that are held back, in seconds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Held {
    places: BTreeMap<Place, i64>,
    /// Whether it is other than what was kept on the target last.
    pub(super) is_changed: bool,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Itself if the target does not keep it as it is.
    pub(super) fn changed(&self) -> Option<&Self> {
        self.is_changed.then_some(self)
    }

    /// All that is held.
    pub(super) fn expiries(&self) -> Vec<Expiry> {
        let expiries = self.places.iter().map(|((namespace, index), &seconds)| Expiry {
            namespace: namespace.clone(),
            index: index.clone(),
            seconds,
        });
        expiries.collect()
    }

    /// Takes over what is in place, unless it is held already: what the tape says counts.
    pub(super) fn take_over(&mut self, expiry: Expiry) {
        let Expiry { namespace, index, seconds } = expiry;
        self.places.entry((namespace, index)).or_insert(seconds);
        self.is_changed = true;
    }

    pub(super) fn remove(&mut self, expiry: &Expiry) {
        let place = (expiry.namespace.clone(), expiry.index.clone());
        self.is_changed |= self.places.remove(&place).is_some();
    }

    fn hold(&mut self, ns: &Namespace, index: Option<String>, seconds: i64) {
        self.places.insert((ns.clone(), index), seconds);
        self.is_changed = true;
    }

    fn retain(&mut self, keep: impl Fn(&Place) -> bool) {
        let before = self.places.len();
        self.places.retain(|place, _| keep(place));
        self.is_changed |= self.places.len() != before;
    }
}

/// What becomes of what is held.
impl Held {
    /// Indexes are dropped.
    pub(super) fn drop_indexes(
        &mut self,
        description: &RawDocument,
        ns: &Namespace,
    ) -> Result<(), Error> {
        let indexes = field(description.as_bytes(), "indexes")?.and_then(|it| it.array());
        for index in raw::elements(WHAT, indexes.unwrap_or(raw::EMPTY_DOCUMENT))? {
            let name = text(index?.value, "name")?;
            self.retain(|(of, index)| of != ns || *index != name);
        }
        Ok(())
    }

    /// A collection is dropped, or a whole database.
    pub(super) fn drop(&mut self, ns: &Namespace) {
        self.retain(|(of, _)| of.db != ns.db || (ns.coll.is_some() && of != ns));
    }

    /// A collection is renamed.
    pub(super) fn rename(&mut self, from: &Namespace, to: &Namespace) {
        self.drop(to);
        self.follow(from, to);
    }

    /// A collection is found to be renamed already, and the new name to have these `indexes`: what
    /// is held of them is so under either name.
    pub(super) fn renamed(&mut self, from: &Namespace, to: &Namespace, indexes: &[Document]) {
        let is_clustered = |index: &Document| index.get_bool("clustered").unwrap_or(false);
        self.retain(|(of, index)| {
            let is_held = |it: &Document| match index {
                Some(name) => is(it, name) && fires(it),
                None => is_clustered(it),
            };
            of != to || indexes.iter().any(is_held)
        });
        self.follow(from, to);
    }

    fn follow(&mut self, from: &Namespace, to: &Namespace) {
        let moves = self.expiries().into_iter().filter(|expiry| expiry.namespace == *from);
        for expiry in moves.collect::<Vec<_>>() {
            self.remove(&expiry);
            self.hold(to, expiry.index, expiry.seconds);
        }
    }
}

/// What the target keeps.
impl Held {
    pub(super) fn to_array(&self) -> RawArrayBuf {
        let mut array = RawArrayBuf::new();
        for ((namespace, index), seconds) in &self.places {
            let coll = namespace.coll.as_deref().unwrap_or_default();
            let mut held = rawdoc! {"db": &*namespace.db, "coll": coll};
            if let Some(index) = index {
                held.append(cstr!("index"), &**index);
            }
            held.append(cstr!("expireAfterSeconds"), *seconds);
            array.push(held);
        }
        array
    }

    pub(super) fn from_array(array: &[Bson]) -> Self {
        let places = array.iter().filter_map(|held| {
            let held = held.as_document()?;
            let namespace =
                Namespace::collection(held.get_str("db").ok()?, held.get_str("coll").ok()?);
            let index = held.get_str("index").ok().map(str::to_owned);
            Some(((namespace, index), held.get(EXPIRY).and_then(whole)?))
        });
        Self { places: places.collect(), is_changed: false }
    }
}

/// What would expire documents in a collection of the target: entries of `listCollections` and
/// `listIndexes`.
pub(super) fn firing(ns: &Namespace, collection: &Document, indexes: &[Document]) -> Vec<Expiry> {
    let expiry = |index, seconds| Expiry { namespace: ns.clone(), index, seconds };
    let options = collection.get_document("options");
    let of_collection = options.ok().and_then(|options| {
        let seconds = options.get(EXPIRY).and_then(whole)?;
        (!options.contains_key("timeseries")).then(|| expiry(None, seconds))
    });
    let of_indexes = indexes.iter().filter_map(|index| {
        let seconds = index.get(EXPIRY).and_then(whole)?;
        let name = index.get_str("name").ok()?.to_owned();
        (fires(index) && seconds != i64::from(LONGEST)).then(|| expiry(Some(name), seconds))
    });
    of_collection.into_iter().chain(of_indexes).collect()
}

/// The command that holds back an expiry that is in place.
pub(super) fn hold_back(expiry: &Expiry) -> RawDocumentBuf {
    let to = if expiry.index.is_some() { LONGEST.into() } else { RawBson::String("off".into()) };
    modification(expiry, to)
}

/// The command that puts an expiry in place.
pub(super) fn put_right(expiry: &Expiry) -> RawDocumentBuf {
    modification(expiry, RawBson::Int64(expiry.seconds))
}

fn modification(expiry: &Expiry, to: RawBson) -> RawDocumentBuf {
    let mut command = rawdoc! {"collMod": expiry.namespace.coll.as_deref().unwrap_or_default()};
    match &expiry.index {
        Some(name) => {
            command.append(cstr!("index"), rawdoc! {"name": &**name, "expireAfterSeconds": to});
        }
        None => command.append(cstr!("expireAfterSeconds"), to),
    }
    command.append(cstr!("writeConcern"), majority());
    command
}

#[cfg(test)]
mod tests;
