//! `Change`: what of an event concerns a document, read in one walk over its bytes.
//!
//! Every pass reads every event, most of them only to learn that their document belongs to
//! another part: so nothing is allocated, and nothing is read twice.

use changetape_core::raw::{self, Element};
use changetape_core::{ChangeEvent, Error};

const WHAT: &str = "the event";

/// What an event says of a document, in the event's own bytes.
#[derive(Debug, Default)]
pub(super) struct Change<'e> {
    /// `operationType`.
    pub(super) operation: &'e [u8],
    pub(super) db: &'e [u8],
    pub(super) coll: &'e [u8],
    /// `_id` of `documentKey`; there is none if the event is about no document.
    pub(super) id: Option<Element<'e>>,
    /// `fullDocument`.
    pub(super) document: Option<&'e [u8]>,
    /// `rawUpdateDescription`.
    pub(super) diff: Option<&'e [u8]>,
    /// Whether it is a part of an event only.
    pub(super) is_fragment: bool,
}

impl<'e> Change<'e> {
    pub(super) fn read(event: &'e ChangeEvent<'_>) -> Result<Self, Error> {
        let mut change = Self::default();
        for element in raw::elements(WHAT, event.as_bytes())? {
            let element = element?;
            match element.name {
                b"operationType" => change.operation = element.string().unwrap_or_default(),
                b"ns" => {
                    for part in raw::elements(WHAT, element.value)? {
                        let part = part?;
                        match part.name {
                            b"db" => change.db = part.string().unwrap_or_default(),
                            b"coll" => change.coll = part.string().unwrap_or_default(),
                            _ => {}
                        }
                    }
                }
                b"documentKey" => change.id = raw::find(WHAT, element.value, "_id")?,
                b"fullDocument" => change.document = element.document(),
                b"rawUpdateDescription" => change.diff = element.document(),
                b"splitEvent" => change.is_fragment = true,
                _ => {}
            }
        }
        Ok(change)
    }

    /// Whether a document was inserted, updated, replaced or deleted.
    pub(super) fn is_of_a_document(&self) -> bool {
        matches!(self.operation, b"insert" | b"update" | b"replace" | b"delete")
    }
}
