//! Which kinds of event a segment or a tape has, counted.
//!
//! A kind is a namespace and an operation type. In a document they are two fields:
//!
//! | field | type | |
//! | --- | --- | --- |
//! | `kinds` | array of documents | `db`, `coll`, `op`, each absent where there is none, and `n`: events of that kind |
//! | `others` | 64-bit integer | events of kinds beyond the list |

use std::collections::{BTreeMap, HashMap};

use bson::cstr;
use bson::raw::{RawArrayBuf, RawBsonRef, RawDocument, RawDocumentBuf};
use changetape_core::raw::{elements, find};
use changetape_core::{ChangeEvent, Namespace, OperationType};

use super::KindNumber;
use crate::block::Block;
use crate::frame::documents;

/// The most kinds that are listed: bounds what a reader keeps. With the longest names that the
/// server allows, 255 bytes, they take a tenth of a frame. Few in tests, so that they are met.
pub(crate) const MAX_KINDS: usize = if cfg!(test) { 12 } else { 20_000 };

/// A namespace, where an event has one, and what happened to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Kind {
    pub(crate) namespace: Option<Namespace>,
    /// `None` where an event does not say.
    pub(crate) operation: Option<OperationType>,
}

/// Events by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KindCounts {
    /// In the order in which they were met; an event counts once, a rename also, with no events, as
    /// the kind of its new name.
    pub(crate) list: Vec<(Kind, u64)>,
    /// Events of kinds beyond the list.
    pub(crate) others: u64,
}

impl KindCounts {
    /// How many events there are; `None` if that is more than can be counted.
    pub(crate) fn total(&self) -> Option<u64> {
        let listed = self.list.iter().map(|(_, events)| *events);
        listed.chain([self.others]).try_fold(0, u64::checked_add)
    }

    /// Adds what was counted elsewhere, but for kinds without an event.
    pub(crate) fn add(&mut self, counted: &Self) {
        let places = self.places();
        for (kind, events) in counted.list.iter().filter(|(_, events)| *events > 0) {
            let place = places.get(kind).copied().unwrap_or(self.list.len());
            match self.list.get_mut(place) {
                Some((_, total)) => *total = total.saturating_add(*events),
                None if place < MAX_KINDS => self.list.push((kind.clone(), *events)),
                None => self.others = self.others.saturating_add(*events),
            }
        }
        self.others = self.others.saturating_add(counted.others);
    }

    /// Takes away what was added.
    pub(crate) fn subtract(&mut self, counted: &Self) {
        let places = self.places();
        for (kind, events) in &counted.list {
            let place = places.get(kind).and_then(|place| self.list.get_mut(*place));
            let from = place.map_or(&mut self.others, |(_, total)| total);
            *from = from.saturating_sub(*events);
        }
        self.others = self.others.saturating_sub(counted.others);
        self.list.retain(|(_, events)| *events > 0);
    }

    /// Whether as much was counted here as there, in whatever order. Which kinds are beyond the
    /// list depends on the order.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        let sorted = |counts: &Self| {
            let counted = counts.list.iter().filter(|(_, events)| *events > 0);
            counted.cloned().collect::<BTreeMap<_, _>>()
        };
        let is_listed = self.others == 0 && other.others == 0;
        if is_listed { sorted(self) == sorted(other) } else { self.total() == other.total() }
    }

    fn places(&self) -> HashMap<Kind, usize> {
        self.list.iter().map(|(kind, _)| kind.clone()).zip(0..).collect()
    }

    /// Adds the fields to a document.
    pub(crate) fn append_to(&self, document: &mut RawDocumentBuf) {
        let mut kinds = RawArrayBuf::new();
        for (kind, events) in &self.list {
            kinds.push(kind.to_document(*events));
        }
        document.append(cstr!("kinds"), kinds);
        document.append(cstr!("others"), self.others.cast_signed());
    }

    /// Reads what [`append_to`](Self::append_to) added.
    pub(crate) fn from_document(document: &RawDocument) -> Option<Self> {
        let list = documents(document, "kinds", Kind::from_document)?;
        let counts = Self { list, others: document.get_i64("others").ok()?.cast_unsigned() };
        (counts.list.len() <= MAX_KINDS && counts.total().is_some()).then_some(counts)
    }

    /// Counts events of a kind, which is told.
    fn count(&mut self, number: KindNumber, events: u64) -> Option<&Kind> {
        let Some((kind, total)) = self.list.get_mut(number.0 as usize) else {
            self.others += events;
            return None;
        };
        *total += events;
        Some(kind)
    }
}

impl Kind {
    fn to_document(&self, events: u64) -> RawDocumentBuf {
        let mut document = RawDocumentBuf::new();
        if let Some(namespace) = &self.namespace {
            document.append(cstr!("db"), namespace.db.as_str());
            if let Some(coll) = &namespace.coll {
                document.append(cstr!("coll"), coll.as_str());
            }
        }
        if let Some(operation) = &self.operation {
            document.append(cstr!("op"), operation.as_str());
        }
        document.append(cstr!("n"), events.cast_signed());
        document
    }

    fn from_document(document: &RawDocument) -> Option<(Self, u64)> {
        let (mut db, mut coll, mut operation, mut events) = (None, None, None, None);
        // One walk: looking up each field took most of the time that it took to count a long tape.
        for field in document {
            match field.ok()? {
                (name, RawBsonRef::String(text)) if name == "db" => db = Some(text),
                (name, RawBsonRef::String(text)) if name == "coll" => coll = Some(text),
                (name, RawBsonRef::String(text)) if name == "op" => operation = Some(text),
                (name, RawBsonRef::Int64(n)) if name == "n" => events = Some(n.cast_unsigned()),
                _ => return None,
            }
        }
        let namespace = db.map(|db| Namespace { db: db.to_owned(), coll: coll.map(str::to_owned) });
        Some((Self { namespace, operation: operation.map(OperationType::from) }, events?))
    }
}

/// Counts events by kind, block by block.
#[derive(Debug, Default)]
pub(crate) struct Kinds {
    counts: KindCounts,
    numbers: HashMap<Kind, KindNumber>,
    /// By the bytes of `ns` and `operationType`, so that a kind is decoded once and not for each
    /// event. A rename has its second kind beside it.
    known: HashMap<Vec<u8>, KindNumber>,
    key: Vec<u8>,
}

impl Kinds {
    /// Counts a block's events; what its index entry says of them.
    pub(crate) fn add(&mut self, block: &Block) -> Vec<(KindNumber, u32)> {
        let mut counts: BTreeMap<KindNumber, u32> = BTreeMap::new();
        for recorded in block.events() {
            let number = self.number_of(&recorded.event);
            *counts.entry(number).or_default() += 1;
            let kind = self.counts.count(number, 1);
            if kind.is_some_and(|kind| kind.operation == Some(OperationType::Rename)) {
                let renamed = self.renamed(&recorded.event);
                counts.entry(renamed).or_default();
            }
        }
        counts.into_iter().collect()
    }

    /// Counts a block of another segment, whose counts are given: what its index entry says of it
    /// here.
    pub(crate) fn add_counted(
        &mut self,
        kinds: &[(KindNumber, u32)],
        there: &KindCounts,
    ) -> Vec<(KindNumber, u32)> {
        let mut counts: BTreeMap<KindNumber, u32> = BTreeMap::new();
        for &(number, events) in kinds {
            let kind = there.list.get(number.0 as usize);
            let number = kind.map_or(KindNumber::OTHER, |(kind, _)| self.number(kind.clone()));
            *counts.entry(number).or_default() += events;
            self.counts.count(number, u64::from(events));
        }
        counts.into_iter().collect()
    }

    /// What was counted.
    pub(crate) fn finish(self) -> KindCounts {
        self.counts
    }

    fn number_of(&mut self, event: &ChangeEvent<'_>) -> KindNumber {
        self.key.clear();
        // What cannot be walked has no kind that is known.
        let Ok(mut fields) = elements("event", event.as_bytes()) else { return KindNumber::OTHER };
        let mut wanted = 2;
        while wanted > 0
            && let Some(Ok(field)) = fields.next()
        {
            if matches!(field.name, b"ns" | b"operationType") {
                self.key.push(field.kind);
                self.key.extend_from_slice(field.name);
                self.key.extend_from_slice(field.value);
                wanted -= 1;
            }
        }
        if let Some(&number) = self.known.get(&self.key) {
            return number;
        }
        let number = match (event.namespace(), find("event", event.as_bytes(), "operationType")) {
            (Ok(namespace), Ok(_)) => {
                let operation = event.operation_type().ok();
                self.number(Kind { namespace, operation })
            }
            _ => KindNumber::OTHER,
        };
        if self.known.len() < MAX_KINDS {
            self.known.insert(self.key.clone(), number);
        }
        number
    }

    fn renamed(&mut self, event: &ChangeEvent<'_>) -> KindNumber {
        match event.renamed_to() {
            Ok(Some(to)) => {
                self.number(Kind { namespace: Some(to), operation: Some(OperationType::Rename) })
            }
            Ok(None) | Err(_) => KindNumber::OTHER,
        }
    }

    fn number(&mut self, kind: Kind) -> KindNumber {
        if let Some(&number) = self.numbers.get(&kind) {
            return number;
        }
        let list = &mut self.counts.list;
        let number = match u32::try_from(list.len()) {
            Ok(next) if list.len() < MAX_KINDS => KindNumber(next),
            _ => return KindNumber::OTHER,
        };
        list.push((kind.clone(), 0));
        self.numbers.insert(kind, number);
        number
    }
}

#[cfg(test)]
mod tests;
