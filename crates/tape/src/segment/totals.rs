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

use bson::cstr;
use bson::raw::{RawArrayBuf, RawDocument, RawDocumentBuf};
use changetape_core::{Arrival, ResumeToken};

use super::KindCounts;
use crate::block::Times;
use crate::frame::{self, Magic, documents};
use crate::{Gap, Metadata, gap, metadata};

pub(crate) const MAGIC: Magic = *b"CTST";

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
    pub(crate) kinds: KindCounts,
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
        append_arrivals(self.arrivals, &mut document);
        document.append(cstr!("token"), self.token.to_raw().ok()?);
        self.kinds.append_to(&mut document);
        document.append(cstr!("gaps"), gap::to_array(&self.gaps)?);
        document.append(cstr!("metadata"), metadata::to_document(&self.metadata)?);
        frame::encode(MAGIC, &document)
    }

    /// `None` if the bytes are not totals whole and unchanged.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let document = frame::decode(MAGIC, bytes)?;
        let number = |name: &str| document.get_i64(name).ok().map(i64::cast_unsigned);
        Some(Self {
            blocks: number("blocks")?,
            events: number("events")?,
            raw_bytes: number("bytes")?,
            times: Times::from_document(document)?,
            arrivals: arrivals_from(document)?,
            token: ResumeToken::from_raw(document.get_document("token").ok()?),
            kinds: KindCounts::from_document(document)?,
            gaps: documents(document, "gaps", Gap::from_document)?,
            metadata: metadata::from_document(document.get_document("metadata").ok()?)?,
        })
    }
}

/// Adds when the first and the last batch arrived to a document, as its field `arrivals`.
pub(crate) fn append_arrivals((first, last): (Arrival, Arrival), document: &mut RawDocumentBuf) {
    let mut array = RawArrayBuf::new();
    for arrival in [first, last] {
        array.push(arrival.wall_nanos.cast_signed());
        array.push(arrival.monotonic_nanos.cast_signed());
    }
    document.append(cstr!("arrivals"), array);
}

/// Reads what [`append_arrivals`] added.
pub(crate) fn arrivals_from(document: &RawDocument) -> Option<(Arrival, Arrival)> {
    let mut numbers = [0_u64; 4];
    for (place, value) in numbers.iter_mut().zip(document.get_array("arrivals").ok()?) {
        *place = value.ok()?.as_i64()?.cast_unsigned();
    }
    let [a, b, c, d] = numbers;
    let arrival = |wall_nanos, monotonic_nanos| Arrival { wall_nanos, monotonic_nanos };
    Some((arrival(a, b), arrival(c, d)))
}
