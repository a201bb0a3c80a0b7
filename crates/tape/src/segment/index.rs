//! The index of a segment: what each block holds, so that a block that cannot hold what is
//! sought is not read.
//!
//! One entry a block, in order:
//! ```text
//! offset  size  field
//! 0       4     length of the block
//! 4       4     number of events
//! 8       4     length of the events, uncompressed
//! 12      1     which times are known: see `times`
//! 13      3     0
//! 16      48    times
//! 64      16    arrival of the first batch: wall (8) and monotonic (8) nanoseconds
//! 80      16    arrival of the last batch
//! 96      4     number of kinds K
//! 100     8·K   kinds: number in the totals' list (4), events of that kind (4)
//! ```
//! A kind is a namespace and an operation type. Where a segment has more of them than its list
//! may have, the rest are the kind [`KindNumber::OTHER`], of which nothing is known. A rename
//! also counts, with no events, as the same operation on its new name: it concerns both.
//!
//! Where a block lies and which events it holds follows from the entries before it.

use changetape_core::{Arrival, Seq};

use super::HEADER_LEN;
use crate::block::{TIMES_LEN, Times};
use crate::bytes::{len_at, u32_at, u64_at};

const AT_EVENTS: usize = 4;
const AT_RAW_LEN: usize = AT_EVENTS + 4;
const AT_KNOWN: usize = AT_RAW_LEN + 4;
const AT_TIMES: usize = AT_KNOWN + 1 + 3;
const AT_ARRIVALS: usize = AT_TIMES + TIMES_LEN;
const ARRIVAL_LEN: usize = 8 + 8;
const AT_KINDS: usize = AT_ARRIVALS + 2 * ARRIVAL_LEN;
const FIXED_LEN: usize = AT_KINDS + 4;
const KIND_LEN: usize = 4 + 4;

/// A kind's place in the totals' list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KindNumber(pub(crate) u32);

impl KindNumber {
    /// Any kind that is not in the list.
    pub(crate) const OTHER: Self = Self(u32::MAX);
}

/// What one block holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The block's first event.
    pub(crate) first: Seq,
    pub(crate) events: u32,
    /// Where the block lies in the file.
    pub(crate) offset: u64,
    pub(crate) len: u32,
    pub(crate) raw_len: u32,
    pub(crate) times: Times,
    /// The first and the last batch's.
    pub(crate) arrivals: (Arrival, Arrival),
    /// Events by kind; each kind once.
    pub(crate) kinds: Vec<(KindNumber, u32)>,
}

impl Entry {
    pub(crate) fn end(&self) -> Seq {
        self.first + u64::from(self.events)
    }

    fn encode_into(&self, out: &mut Vec<u8>) {
        for number in [self.len, self.events, self.raw_len] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.push(self.times.known());
        out.extend_from_slice(&[0; 3]);
        self.times.encode_into(out);
        for arrival in [self.arrivals.0, self.arrivals.1] {
            out.extend_from_slice(&arrival.wall_nanos.to_le_bytes());
            out.extend_from_slice(&arrival.monotonic_nanos.to_le_bytes());
        }
        // A block has fewer events than 32 bits count, so fewer kinds.
        let kinds = u32::try_from(self.kinds.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&kinds.to_le_bytes());
        for (kind, events) in &self.kinds {
            out.extend_from_slice(&kind.0.to_le_bytes());
            out.extend_from_slice(&events.to_le_bytes());
        }
    }

    /// The entry at the start of `bytes`, of a block that begins at a place, and its length.
    fn decode(bytes: &[u8], first: Seq, offset: u64) -> Option<(Self, usize)> {
        let arrival = |at| {
            Some(Arrival {
                wall_nanos: u64_at(bytes, at)?,
                monotonic_nanos: u64_at(bytes, at + 8)?,
            })
        };
        let kinds = len_at(bytes, AT_KINDS)?;
        let len = FIXED_LEN.checked_add(kinds.checked_mul(KIND_LEN)?)?;
        let listed = bytes.get(FIXED_LEN..len)?.chunks_exact(KIND_LEN);
        let kind = |bytes| Some((KindNumber(u32_at(bytes, 0)?), u32_at(bytes, 4)?));
        let entry = Self {
            first,
            events: u32_at(bytes, AT_EVENTS)?,
            offset,
            len: u32_at(bytes, 0)?,
            raw_len: u32_at(bytes, AT_RAW_LEN)?,
            times: Times::decode(*bytes.get(AT_KNOWN)?, bytes, AT_TIMES)?,
            arrivals: (arrival(AT_ARRIVALS)?, arrival(AT_ARRIVALS + ARRIVAL_LEN)?),
            kinds: listed.map(kind).collect::<Option<_>>()?,
        };
        // So that whatever is summed of them fits.
        let counted = entry.kinds.iter().try_fold(0_u32, |sum, (_, n)| sum.checked_add(*n));
        let sound = entry.len > 0
            && entry.events > 0
            && counted == Some(entry.events)
            && entry.kinds.is_sorted_by(|(a, _), (b, _)| a < b)
            && first.get().checked_add(entry.events.into()).is_some();
        sound.then_some((entry, len))
    }
}

/// What the blocks of a segment hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Index(pub(crate) Vec<Entry>);

impl Index {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.iter().for_each(|entry| entry.encode_into(&mut bytes));
        bytes
    }

    /// Reads the index of a segment whose blocks end at `blocks_end` and whose events are those
    /// of `events`; `None` if it does not say so. Its checksum was compared.
    pub(crate) fn decode(
        mut bytes: &[u8],
        events: std::ops::Range<Seq>,
        blocks_end: u64,
    ) -> Option<Self> {
        let mut entries = Vec::new();
        let (mut first, mut offset) = (events.start, HEADER_LEN as u64);
        while !bytes.is_empty() {
            let (entry, len) = Entry::decode(bytes, first, offset)?;
            first = entry.end();
            offset = offset.checked_add(entry.len.into())?;
            entries.push(entry);
            bytes = bytes.get(len..)?;
        }
        (first == events.end && offset == blocks_end).then_some(Self(entries))
    }

    /// Which block holds an event.
    pub(crate) fn position(&self, seq: Seq) -> usize {
        self.0.partition_point(|entry| entry.end() <= seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_contradict_themselves_are_refused() {
        let entry = |kinds: &[(u32, u32)]| Entry {
            first: Seq::new(7),
            events: 5,
            offset: HEADER_LEN as u64,
            len: 100,
            raw_len: 500,
            times: Times::default(),
            arrivals: Default::default(),
            kinds: kinds.iter().map(|(kind, events)| (KindNumber(*kind), *events)).collect(),
        };
        let read = |kinds: &[(u32, u32)]| {
            let bytes = Index(vec![entry(kinds)]).encode();
            Index::decode(&bytes, Seq::new(7)..Seq::new(12), HEADER_LEN as u64 + 100)
        };
        let sound = [(1, 2), (4, 0), (u32::MAX, 3)];
        assert_eq!(read(&sound), Some(Index(vec![entry(&sound)])));
        assert_eq!(read(&[(1, 2), (4, 4)]), None, "more than there are events");
        assert_eq!(read(&[(1, 2)]), None, "fewer");
        assert_eq!(read(&[(4, 3), (1, 2)]), None, "out of order");
        assert_eq!(read(&[(1, 2), (1, 3)]), None, "one kind twice");
        assert_eq!(read(&[(1, u32::MAX), (2, 6)]), None, "more than can be counted");
    }
}
