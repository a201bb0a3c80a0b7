//! Documents of a base, a run of them at a time.
//!
//! ```text
//! offset  size  field
//! 0       4     magic "CTBB"
//! 4       4     number of the collection, from 0
//! 8       8     how many of its documents come before
//! 16      4     number of documents N, at least 1
//! 20      4     body length R, uncompressed
//! 24      4     body length C, compressed
//! 28      4     CRC-32 of the compressed body
//! 32      4     CRC-32 of the header up to here
//! 36      C     body: the documents, one after the other, as one zstd frame
//! ```

use std::io;
use std::ops::Range;

use bson::raw::RawDocument;

use super::{MAX_RAW_LEN, ZSTD_LEVEL};
use crate::block::{MIN_EVENT_LEN as MIN_DOCUMENT_LEN, document_ends, max_body_len};
use crate::bytes::{len_at, u32_at, u64_at};
use crate::frame::Magic;

pub(crate) const MAGIC: Magic = *b"CTBB";

// Offsets derive from one another.
const AT_COLLECTION: usize = MAGIC.len();
const AT_FIRST: usize = AT_COLLECTION + 4;
const AT_COUNT: usize = AT_FIRST + 8;
const AT_RAW_LEN: usize = AT_COUNT + 4;
const AT_BODY_LEN: usize = AT_RAW_LEN + 4;
const AT_BODY_CRC: usize = AT_BODY_LEN + 4;
const AT_CRC: usize = AT_BODY_CRC + 4;

/// How long a block's header is.
pub(super) const HEADER_LEN: usize = AT_CRC + 4;

/// The header as the document tells it: offset, size.
#[cfg(test)]
pub(crate) const FIELDS: &[(usize, usize)] = &[
    (0, MAGIC.len()),
    (AT_COLLECTION, 4),
    (AT_FIRST, 8),
    (AT_COUNT, 4),
    (AT_RAW_LEN, 4),
    (AT_BODY_LEN, 4),
    (AT_BODY_CRC, 4),
    (AT_CRC, 4),
];

/// Which documents a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The number of the collection.
    pub(super) collection: u32,
    /// How many of its documents come before.
    pub(super) first: u64,
}

/// A block's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) place: Place,
    pub(super) count: u32,
    raw_len: u32,
    body_len: u32,
    body_crc: u32,
}

impl Header {
    /// How long the body is that follows.
    pub(super) fn body_len(&self) -> usize {
        usize::try_from(self.body_len).unwrap_or(usize::MAX)
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.place.collection.to_le_bytes());
        bytes.extend_from_slice(&self.place.first.to_le_bytes());
        for field in [self.count, self.raw_len, self.body_len, self.body_crc] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// `None` if the bytes are not a header whole and unchanged, or contradict themselves.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let whole = bytes.len() == HEADER_LEN
            && bytes.starts_with(&MAGIC)
            && crc32fast::hash(bytes.get(..AT_CRC)?) == u32_at(bytes, AT_CRC)?;
        let (raw_len, body_len) = (len_at(bytes, AT_RAW_LEN)?, len_at(bytes, AT_BODY_LEN)?);
        let count = len_at(bytes, AT_COUNT)?;
        let sound = count >= 1
            && raw_len <= MAX_RAW_LEN
            && count.checked_mul(MIN_DOCUMENT_LEN)? <= raw_len
            && body_len <= max_body_len(raw_len);
        let header = Self {
            place: Place {
                collection: u32_at(bytes, AT_COLLECTION)?,
                first: u64_at(bytes, AT_FIRST)?,
            },
            count: u32_at(bytes, AT_COUNT)?,
            raw_len: u32_at(bytes, AT_RAW_LEN)?,
            body_len: u32_at(bytes, AT_BODY_LEN)?,
            body_crc: u32_at(bytes, AT_BODY_CRC)?,
        };
        (whole && sound).then_some(header)
    }
}

/// Makes blocks; keeps what zstd allocates.
pub(super) struct Encoder(zstd::bulk::Compressor<'static>);

impl Encoder {
    pub(super) fn new() -> io::Result<Self> {
        zstd::bulk::Compressor::new(ZSTD_LEVEL).map(Self)
    }

    /// The block of `count` documents that together are `raw`. The caller keeps to the limits.
    pub(super) fn encode(&mut self, place: Place, count: u32, raw: &[u8]) -> io::Result<Vec<u8>> {
        let body = self.0.compress(raw)?;
        let stored = |n: usize| u32::try_from(n).map_err(io::Error::other);
        let header = Header {
            place,
            count,
            raw_len: stored(raw.len())?,
            body_len: stored(body.len())?,
            body_crc: crc32fast::hash(&body),
        };
        let mut block = header.encode();
        block.extend_from_slice(&body);
        Ok(block)
    }
}

/// Reads blocks; keeps what zstd allocates.
pub(super) struct Decoder(zstd::bulk::Decompressor<'static>);

impl Decoder {
    pub(super) fn new() -> io::Result<Self> {
        zstd::bulk::Decompressor::new().map(Self)
    }

    /// The documents of a body; `None` if they are not those that the header states.
    pub(super) fn decode(&mut self, header: &Header, body: &[u8]) -> Option<BaseBlock> {
        if body.len() != header.body_len() || crc32fast::hash(body) != header.body_crc {
            return None;
        }
        let raw_len = usize::try_from(header.raw_len).ok()?;
        // At most `raw_len` is allocated, which the header bounds.
        let body = self.0.decompress(body, raw_len).ok()?;
        let ends = (body.len() == raw_len).then(|| document_ends(&body, header.count)).flatten()?;
        Some(BaseBlock { body, ends })
    }
}

/// Documents of one collection, decoded and checked.
#[derive(Debug, Clone)]
pub struct BaseBlock {
    body: Vec<u8>,
    /// Where each document ends in `body`; checked to be documents that fill it.
    ends: Vec<u32>,
}

impl BaseBlock {
    /// How many documents it holds; never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no block is empty")]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The documents' BSON in bytes.
    #[must_use]
    pub fn raw_bytes(&self) -> usize {
        self.body.len()
    }

    /// The documents in order.
    pub fn documents(&self) -> impl Iterator<Item = &RawDocument> {
        let ends = self.ends.iter().filter_map(|end| usize::try_from(*end).ok());
        let ranges = ends.scan(0, |start, end| {
            let range: Range<usize> = *start..end;
            *start = end;
            Some(range)
        });
        // Documents were checked when the block was decoded: none is left out here.
        ranges.filter_map(|range| RawDocument::from_bytes(self.body.get(range)?).ok())
    }
}
