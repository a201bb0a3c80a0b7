//! `Documents`: what the documents of one part are, after the events so far.
//!
//! | event | the document was known | it was not |
//! | --- | --- | --- |
//! | insert, replace | is the event's | is the event's |
//! | update, with a diff | is what the diff makes of it | is there |
//! | update, with a post-image | is the post-image | is the post-image |
//! | update, public only | is there | is there |
//! | a part of any of them | is there | is there |
//! | delete | is gone | is gone |
//! | drop of its collection | nothing is known, or expected | the same |
//! | conversion to a capped collection | may be gone: the copy keeps what fits | may be there |
//!
//! Whatever an update says, and if it does not fit what was known (behind a gap): it changed a
//! document, so that was there. What it has become is another matter.
//!
//! Of a collection whose content is known as a whole, what is gone needs no memory: whatever is
//! not expected there is extra.

use std::collections::HashMap;

use bson::raw::RawDocumentBuf;
use changetape_core::raw::{self, Element};
use changetape_core::{Error, UpdateDiff};

use super::change::Change;
use super::collections::Lineage;
use super::part::Part;

const WHAT: &str = "the event's document";

/// About what an entry takes besides its key and its document, in bytes.
const ENTRY: usize = 96;

/// What is known of a document.
#[derive(Debug, PartialEq)]
pub(super) enum State {
    /// It is this.
    Is(RawDocumentBuf),
    /// It is this, or was not kept when its collection was made a capped one.
    MayBe(RawDocumentBuf),
    /// It is there; the tape does not say what it is.
    There,
    /// It is not there.
    Gone,
    /// The tape says neither.
    Unknown,
}

/// A document's `_id`: its type, then its bytes. 1 and 1.0 are one key to a server; here they are
/// two, as they are different bytes.
pub(super) type Key = Box<[u8]>;

/// The documents of a part.
#[derive(Debug)]
pub(super) struct Documents {
    part: Part,
    states: HashMap<Lineage, HashMap<Key, State>>,
    /// About how much memory they take.
    bytes: usize,
    /// The key that is looked at.
    key: Vec<u8>,
    /// Whether `fullDocument` of an update is its post-image.
    post_images: bool,
}

impl State {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Is(document) | Self::MayBe(document) => document.as_bytes().len(),
            Self::There | Self::Gone | Self::Unknown => 0,
        }
    }
}

/// An `_id` as a key.
pub(super) fn write_key(key: &mut Vec<u8>, id: Element<'_>) {
    key.clear();
    key.push(id.kind);
    key.extend_from_slice(id.value);
}

impl Documents {
    pub(super) fn new(part: Part, post_images: bool) -> Self {
        Self { part, states: HashMap::new(), bytes: 0, key: Vec::new(), post_images }
    }

    /// Which documents these are.
    pub(super) fn part(&self) -> Part {
        self.part
    }

    /// Gives up documents at the end of the part until they take no more memory than this, or it
    /// cannot be any smaller.
    pub(super) fn fit_into(&mut self, memory: usize) {
        while self.bytes > memory {
            let Some(part) = self.part.smaller() else { return };
            self.part = part;
            for (lineage, states) in &mut self.states {
                states.retain(|key, state| {
                    let stays = part.holds(*lineage, key);
                    self.bytes -= if stays { 0 } else { ENTRY + key.len() + state.len() };
                    stays
                });
            }
        }
    }

    /// What is known of a collection's documents.
    pub(super) fn of(&self, lineage: Lineage) -> impl Iterator<Item = (&Key, &State)> {
        self.states.get(&lineage).into_iter().flatten()
    }

    /// Whether the tape knows nothing of a document that would belong to this part.
    pub(super) fn is_unexpected(&self, lineage: Lineage, key: &[u8]) -> bool {
        let known = || self.states.get(&lineage).is_some_and(|states| states.contains_key(key));
        self.part.holds(lineage, key) && !known()
    }

    /// Takes a document as it is in the base.
    pub(super) fn put(&mut self, lineage: Lineage, document: &[u8]) -> Result<(), Error> {
        let id = raw::find(WHAT, document, "_id")?;
        let id = id.ok_or(Error::MissingField { field: "_id" })?;
        if self.is_here(lineage, id) {
            self.set(lineage, State::Is(owned(document)?));
        }
        Ok(())
    }

    /// Takes an event; `whole` if all of its collection's content is known.
    pub(super) fn apply(
        &mut self,
        change: &Change<'_>,
        lineage: Lineage,
        whole: bool,
    ) -> Result<(), Error> {
        let id = change.id.ok_or(Error::MissingField { field: "documentKey._id" })?;
        if !self.is_here(lineage, id) {
            return Ok(());
        }
        let state = match change.operation {
            b"delete" if whole => {
                self.forget(lineage);
                return Ok(());
            }
            b"delete" => State::Gone,
            _ if change.is_fragment => State::There,
            b"update" => self.updated(change, lineage)?,
            _ => {
                let document = change.document;
                let document = document.ok_or(Error::MissingField { field: "fullDocument" })?;
                State::Is(owned(document)?)
            }
        };
        self.set(lineage, state);
        Ok(())
    }

    fn updated(&self, change: &Change<'_>, lineage: Lineage) -> Result<State, Error> {
        let states = self.states.get(&lineage);
        let before = states.and_then(|states| states.get(self.key.as_slice()));
        Ok(match (change.diff, change.document, before) {
            (Some(diff), _, Some(State::Is(before) | State::MayBe(before))) => {
                let diff = raw::document(WHAT, diff)?;
                match UpdateDiff::from_raw(diff)?.apply(before) {
                    Ok(after) => State::Is(after),
                    // Behind a gap: the document was another one.
                    Err(Error::DiffMismatch { .. }) => State::There,
                    Err(error) => return Err(error),
                }
            }
            (None, Some(after), _) if self.post_images => State::Is(owned(after)?),
            _ => State::There,
        })
    }

    /// Forgets a collection that was dropped.
    pub(super) fn drop_all(&mut self, lineage: Lineage) {
        for (key, state) in self.states.remove(&lineage).into_iter().flatten() {
            self.bytes -= ENTRY + key.len() + state.len();
        }
    }

    /// A collection was made a capped one: what did not fit is gone.
    pub(super) fn convert(&mut self, lineage: Lineage) {
        for state in self.states.get_mut(&lineage).into_iter().flat_map(HashMap::values_mut) {
            match state {
                State::Is(document) => *state = State::MayBe(std::mem::take(document)),
                State::There => *state = State::Unknown,
                State::MayBe(_) | State::Gone | State::Unknown => {}
            }
        }
    }

    /// Whether a document belongs to this part; if so, its key is the one that is looked at.
    fn is_here(&mut self, lineage: Lineage, id: Element<'_>) -> bool {
        write_key(&mut self.key, id);
        self.part.holds(lineage, &self.key)
    }

    fn set(&mut self, lineage: Lineage, state: State) {
        self.bytes += state.len();
        let states = self.states.entry(lineage).or_default();
        if let Some(known) = states.get_mut(self.key.as_slice()) {
            self.bytes -= known.len();
            *known = state;
        } else {
            self.bytes += ENTRY + self.key.len();
            states.insert(self.key.as_slice().into(), state);
        }
    }

    fn forget(&mut self, lineage: Lineage) {
        let Some(states) = self.states.get_mut(&lineage) else { return };
        if let Some(state) = states.remove(self.key.as_slice()) {
            self.bytes -= ENTRY + self.key.len() + state.len();
        }
    }
}

fn owned(document: &[u8]) -> Result<RawDocumentBuf, Error> {
    Ok(raw::document(WHAT, document)?.to_owned())
}

#[cfg(test)]
mod tests;
