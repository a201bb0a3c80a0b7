//! `Block`: a run of events that arrived together, the unit everything on a tape moves in.
//!
//! One codec for the live end and for what will be sealed from it: a block is bytes that
//! describe themselves, so moving one never reinterprets its events. All integers are
//! little-endian.
//!
//! ```text
//! offset  size  field
//! 0       4     magic "CTBK"
//! 4       2     version (1)
//! 6       1     codec of the body (1 = one zstd frame)
//! 7       1     which times are known: bits 0 wall, 1 wall high, 2 cluster, 3 cluster high
//! 8       4     header length H, its checksum included
//! 12      4     body length C, compressed
//! 16      4     body length R, uncompressed
//! 20      4     number of events N
//! 24      8     Seq of the first event
//! 32      8     wall: earliest in the block, milliseconds since the Unix epoch, signed
//! 40      8     wall: latest in the block
//! 48      8     wall: latest on the tape up to the end of the block
//! 56      8     cluster: earliest in the block, seconds in the upper half, counter in the lower
//! 64      8     cluster: latest in the block
//! 72      8     cluster: latest on the tape up to the end of the block
//! 80      4     CRC-32 of the compressed body
//! 84      4     number of arrival runs A
//! 88      4     token length T
//! 92      20·A  arrival runs: events (4), wall nanoseconds (8), monotonic nanoseconds (8)
//! …       T     the resume token after the block's last event, a BSON document
//! H-4     4     CRC-32 of the header up to here
//! H       C     body: the events' BSON documents, one after the other, compressed
//! ```
//!
//! - Bytes 0 to 11 and the header's checksum keep their place in every version: so a newer
//!   block is told from a damaged one, and skipped whole.
//! - An event's wall time is its `wallTime`, or where it has none the second of its
//!   `clusterTime`. Wall time runs backwards now and then. The first event at or after a
//!   time is in the first block whose *latest up to here* reaches it, and that figure only
//!   grows along the tape: it is what a search halves by.
//! - Runs add up to N. A block of one batch has one run; small blocks that are merged keep
//!   a run per batch, so each event's arrival stays known.
//! - The reader trusts nothing: each length is bounded by the constants below before it is
//!   used, and nothing is decompressed beyond R.

mod decode;
mod encode;
mod header;
mod merge;
mod times;

use std::fmt;

use changetape_core::{Arrival, ChangeEvent, ResumeToken, Seq};

pub(crate) use decode::{BlockError, Decoder, check, document_ends};
pub(crate) use encode::{BlockEncoder, NewBlock, split};
#[cfg(test)]
pub(crate) use header::{CODEC_ZSTD, FIELDS};
pub(crate) use header::{Header, MAGIC, VERSION};
pub(crate) use merge::Merged;
pub(crate) use times::{High, TIMES_LEN, Times, times};

/// The longest event. The server's own limit is 16 MiB and 16 KiB; an event with both
/// images of a document, or put together from fragments, can be longer.
pub(crate) const MAX_EVENT_LEN: usize = 64 << 20;

/// The most uncompressed bytes in a block: one longest event, for [`TARGET_RAW_LEN`] keeps
/// events apart otherwise. Bounds what a reader allocates.
pub(crate) const MAX_RAW_LEN: usize = MAX_EVENT_LEN;

/// A batch is cut into blocks of about this many uncompressed bytes: small enough that a
/// seek decodes little and a sled page of them stays in the database file, large enough
/// that compression has found its patterns. Measured: `docs/decisions/0001-…`.
pub(crate) const TARGET_RAW_LEN: usize = 256 << 10;

/// Small blocks are merged into ones of up to so many uncompressed bytes when they are sealed.
/// Measured: `docs/decisions/0002-…`.
pub(crate) const SEALED_RAW_LEN: usize = 512 << 10;

/// The shortest BSON document.
pub(crate) const MIN_EVENT_LEN: usize = changetape_core::raw::EMPTY_DOCUMENT.len();

/// The most events in a block: as many as fit.
pub(crate) const MAX_EVENTS: usize = MAX_RAW_LEN / MIN_EVENT_LEN;

/// The most arrival runs in a block: blocks beyond it are not merged.
pub(crate) const MAX_RUNS: usize = 1 << 16;

/// The longest resume token: it travels in a command, so the server's message limit for
/// one document bounds it.
pub(crate) const MAX_TOKEN_LEN: usize = (16 << 20) + (16 << 10);

const _: () = {
    assert!(TARGET_RAW_LEN <= SEALED_RAW_LEN && SEALED_RAW_LEN <= MAX_RAW_LEN);
    assert!(MAX_EVENT_LEN <= MAX_RAW_LEN);
    assert!(MAX_RUNS <= MAX_EVENTS);
    // Lengths and counts are stored in 32 bits.
    assert!(max_body_len(MAX_RAW_LEN) <= u32::MAX as usize);
    assert!(header::MAX_LEN <= u32::MAX as usize);
};

/// The longest that zstd makes of `raw_len` bytes: its `ZSTD_COMPRESSBOUND`, rounded up.
pub(crate) const fn max_body_len(raw_len: usize) -> usize {
    raw_len + (raw_len >> 8) + 64
}

/// Events that arrived at the same time: part of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) events: u32,
    pub(crate) arrival: Arrival,
}

/// A run of events, decoded and checked.
#[derive(Clone)]
pub struct Block {
    header: Header,
    body: Vec<u8>,
    /// Where each event ends in `body`; checked to be documents that fill it.
    ends: Vec<u32>,
}

/// One event with its place on the tape.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedEvent<'a> {
    /// Its place.
    pub seq: Seq,
    /// When its batch reached the recorder.
    pub arrival: Arrival,
    /// The event.
    pub event: ChangeEvent<'a>,
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block").field("header", &self.header).finish_non_exhaustive()
    }
}

impl Block {
    /// The first event's place.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.header.first
    }

    /// One past the last event's place.
    #[must_use]
    pub fn end(&self) -> Seq {
        self.header.end()
    }

    /// How many events it holds; never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no block is empty")]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The events' BSON in bytes.
    #[must_use]
    pub fn raw_bytes(&self) -> usize {
        self.body.len()
    }

    /// The token to resume the stream after the last event.
    #[must_use]
    pub fn token(&self) -> &ResumeToken {
        &self.header.token
    }

    /// Everything about it but its events.
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// The block without its events before a place.
    pub(crate) fn starting_at(mut self, seq: Seq) -> Self {
        let skipped = usize::try_from(seq.since(self.first())).unwrap_or(usize::MAX);
        let Some(&start) = skipped.checked_sub(1).and_then(|last| self.ends.get(last)) else {
            return self;
        };
        self.body.drain(..usize::try_from(start).unwrap_or(usize::MAX).min(self.body.len()));
        self.ends.drain(..skipped);
        self.ends.iter_mut().for_each(|end| *end -= start);
        let mut left = u32::try_from(skipped).unwrap_or(u32::MAX);
        self.header.first = seq;
        self.header.count -= left;
        self.header.runs.retain_mut(|run| {
            let gone = left.min(run.events);
            left -= gone;
            run.events -= gone;
            run.events > 0
        });
        self
    }

    /// The events in order.
    #[must_use]
    pub fn events(&self) -> Events<'_> {
        Events { block: self, index: 0, start: 0, run: 0, run_left: 0 }
    }
}

/// The events of a [`Block`] in order.
#[derive(Debug, Clone)]
pub struct Events<'a> {
    block: &'a Block,
    index: usize,
    /// Where the next event starts in the body.
    start: usize,
    /// The next run, and how many events the current one still has.
    run: usize,
    run_left: u32,
}

impl<'a> Iterator for Events<'a> {
    type Item = RecordedEvent<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let block = self.block;
        let end = usize::try_from(*block.ends.get(self.index)?).ok()?;
        // Documents were checked when the block was decoded; `?` never ends early here.
        let event = ChangeEvent::from_bytes(block.body.get(self.start..end)?).ok()?;
        if self.run_left == 0 {
            self.run_left = block.header.runs.get(self.run)?.events;
            self.run += 1;
        }
        let arrival = block.header.runs.get(self.run.checked_sub(1)?)?.arrival;
        let seq = block.header.first + self.index as u64;
        self.index += 1;
        self.start = end;
        self.run_left -= 1;
        Some(RecordedEvent { seq, arrival, event })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.block.ends.len() - self.index;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Events<'_> {}

#[cfg(test)]
mod tests;
