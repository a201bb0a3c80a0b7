//! The totals of a segment: what its blocks hold, counted; read without the blocks and the index.
//!
//! A frame (see `frame`, magic "CTST") around a BSON document:
//!
//! | field | type | |
//! | --- | --- | --- |
//! | `blocks`, `events`, `bytes` | 64-bit integers | `bytes` are the events', uncompressed |
//! | `known` | 32-bit integer | which times are known |
//! | `times` | binary, 48 bytes | see `times` |
//! | `arrivals` | array of four 64-bit integers | wall and monotonic nanoseconds of the first batch, then of the last |
//! | `token` | document | the resume token after the last event |
//! | `kinds` | array of documents | `db` and `coll` (absent where there is none), `op`, `n`: events of that kind |
//! | `others` | 64-bit integer | events of kinds beyond the list |
//! | `gaps` | array of documents | gaps before events of the segment |
//! | `metadata` | document | the tape's |

use std::collections::{BTreeMap, HashMap};

use bson::cstr;
use bson::raw::{RawArrayBuf, RawBsonRef, RawDocument, RawDocumentBuf};
use changetape_core::raw::{elements, find};
use changetape_core::{Arrival, ChangeEvent, Namespace, OperationType, ResumeToken};

use super::KindNumber;
use crate::block::{Block, Times};
use crate::frame::{self, Magic, documents};
use crate::{Gap, Metadata, gap, metadata};

pub(crate) const MAGIC: Magic = *b"CTST";

/// The most kinds that are listed: bounds what a reader keeps. With the longest names that the
/// server allows, 255 bytes, they take a tenth of a frame.
pub(crate) const MAX_KINDS: usize = 20_000;

/// A namespace, where an event has one, and what happened to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    pub(crate) namespace: Option<Namespace>,
    /// `None` where an event does not say.
    pub(crate) operation: Option<OperationType>,
}

/// What a segment holds, counted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Totals {
    pub(crate) blocks: u64,
    pub(crate) events: u64,
    /// The events' bytes, uncompressed.
    pub(crate) raw_bytes: u64,
    pub(crate) times: Times,
    pub(crate) arrivals: (Arrival, Arrival),
    /// Where the stream continues after the last event.
    pub(crate) token: ResumeToken,
    /// Events by kind; an event counts once.
    pub(crate) kinds: Vec<(Kind, u64)>,
    /// Events of kinds beyond the list.
    pub(crate) others: u64,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) metadata: Metadata,
}

impl Totals {
    /// `None` if there is more to say than fits, which the limits of its parts prevent.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let mut document = RawDocumentBuf::new();
        document.append(cstr!("blocks"), self.blocks.cast_signed());
        document.append(cstr!("events"), self.events.cast_signed());
        document.append(cstr!("bytes"), self.raw_bytes.cast_signed());
        self.times.append_to(&mut document);
        let mut arrivals = RawArrayBuf::new();
        for arrival in [self.arrivals.0, self.arrivals.1] {
            arrivals.push(arrival.wall_nanos.cast_signed());
            arrivals.push(arrival.monotonic_nanos.cast_signed());
        }
        document.append(cstr!("arrivals"), arrivals);
        document.append(cstr!("token"), self.token.to_raw().ok()?);
        let mut kinds = RawArrayBuf::new();
        for (kind, events) in &self.kinds {
            kinds.push(kind.to_document(*events));
        }
        document.append(cstr!("kinds"), kinds);
        document.append(cstr!("others"), self.others.cast_signed());
        document.append(cstr!("gaps"), gap::to_array(&self.gaps)?);
        document.append(cstr!("metadata"), metadata::to_document(&self.metadata)?);
        frame::encode(MAGIC, &document)
    }

    /// `None` if the bytes are not totals whole and unchanged.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let document = frame::decode(MAGIC, bytes)?;
        let number = |name: &str| document.get_i64(name).ok().map(i64::cast_unsigned);
        let mut arrivals = [0_u64; 4];
        for (place, value) in arrivals.iter_mut().zip(document.get_array("arrivals").ok()?) {
            *place = value.ok()?.as_i64()?.cast_unsigned();
        }
        let [a, b, c, d] = arrivals;
        let arrival = |wall_nanos, monotonic_nanos| Arrival { wall_nanos, monotonic_nanos };
        Some(Self {
            blocks: number("blocks")?,
            events: number("events")?,
            raw_bytes: number("bytes")?,
            times: Times::from_document(document)?,
            arrivals: (arrival(a, b), arrival(c, d)),
            token: ResumeToken::from_raw(document.get_document("token").ok()?),
            kinds: documents(document, "kinds", Kind::from_document)?,
            others: number("others")?,
            gaps: documents(document, "gaps", Gap::from_document)?,
            metadata: metadata::from_document(document.get_document("metadata").ok()?)?,
        })
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
        let text = |name: &str| match document.get(name).ok()? {
            Some(RawBsonRef::String(text)) => Some(Some(text)),
            None => Some(None),
            Some(_) => None,
        };
        let (db, coll, operation) = (text("db")?, text("coll")?, text("op")?);
        let namespace = db.map(|db| Namespace { db: db.to_owned(), coll: coll.map(str::to_owned) });
        let events = document.get_i64("n").ok()?.cast_unsigned();
        Some((Self { namespace, operation: operation.map(OperationType::from) }, events))
    }
}

/// Counts the events of a segment by kind, while it is written.
#[derive(Debug, Default)]
pub(crate) struct Kinds {
    list: Vec<(Kind, u64)>,
    numbers: HashMap<Kind, KindNumber>,
    /// By the bytes of `ns` and `operationType`, so that a kind is decoded once and not for each
    /// event. A rename has its second kind beside it.
    known: HashMap<Vec<u8>, KindNumber>,
    others: u64,
    key: Vec<u8>,
}

impl Kinds {
    /// Counts a block's events; what its index entry says of them.
    pub(crate) fn add(&mut self, block: &Block) -> Vec<(KindNumber, u32)> {
        let mut counts: BTreeMap<KindNumber, u32> = BTreeMap::new();
        for recorded in block.events() {
            let number = self.number_of(&recorded.event);
            *counts.entry(number).or_default() += 1;
            match self.list.get_mut(number.0 as usize) {
                Some((kind, events)) => {
                    *events += 1;
                    if kind.operation == Some(OperationType::Rename) {
                        let renamed = self.renamed(&recorded.event);
                        counts.entry(renamed).or_default();
                    }
                }
                None => self.others += 1,
            }
        }
        counts.into_iter().collect()
    }

    /// The list, and the events of kinds beyond it.
    pub(crate) fn finish(self) -> (Vec<(Kind, u64)>, u64) {
        (self.list, self.others)
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
        let number = match u32::try_from(self.list.len()) {
            Ok(next) if self.list.len() < MAX_KINDS => KindNumber(next),
            _ => return KindNumber::OTHER,
        };
        self.list.push((kind.clone(), 0));
        self.numbers.insert(kind, number);
        number
    }
}
