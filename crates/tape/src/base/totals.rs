//! The end of a base: what it holds, counted, and where that is found.
//!
//! The totals, a frame, magic "CTBT":
//!
//! | field | type | |
//! | --- | --- | --- |
//! | `time` | timestamp | the cluster time, as in the header |
//! | `collections` | array of documents | in order, each with `at`: where its definition is; `documents`, `bytes`: how many, and their size uncompressed; 64-bit integers |
//!
//! The footer, the last bytes of the file:
//! ```text
//! offset  size  field
//! 0       4     magic "CTBF"
//! 4       8     where the totals begin
//! 12      8     length of the file
//! 20      4     CRC-32 of all before it
//! ```

use bson::raw::{RawArrayBuf, RawDocument, RawDocumentBuf};
use bson::{Timestamp, cstr};
use changetape_core::{ClusterTime, WallTime};

use super::BaseSummary;
use crate::bytes::{u32_at, u64_at};
use crate::frame::{self, Magic, documents};

pub(super) const MAGIC: Magic = *b"CTBT";
const FOOTER_MAGIC: Magic = *b"CTBF";

const AT_TOTALS: usize = FOOTER_MAGIC.len();
const AT_FILE_LEN: usize = AT_TOTALS + 8;
const AT_CRC: usize = AT_FILE_LEN + 8;

/// How long a footer is.
pub(super) const FOOTER_LEN: usize = AT_CRC + 4;

/// What a base holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) time: ClusterTime,
    pub(super) collections: Vec<Extent>,
}

/// Where a collection begins, and what it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) at: u64,
    pub(super) documents: u64,
    pub(super) bytes: u64,
}

impl Totals {
    /// What a user is told of them.
    pub(super) fn summary(&self, taken: WallTime, disk_bytes: u64) -> BaseSummary {
        BaseSummary {
            time: self.time,
            taken,
            collections: self.collections.len() as u64,
            documents: self.collections.iter().map(|extent| extent.documents).sum(),
            bytes: self.collections.iter().map(|extent| extent.bytes).sum(),
            disk_bytes,
        }
    }

    /// `None` if there are more collections than a frame holds.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let mut document = RawDocumentBuf::new();
        document.append(cstr!("time"), Timestamp::from(self.time));
        let mut collections = RawArrayBuf::new();
        for extent in &self.collections {
            let mut document = RawDocumentBuf::new();
            document.append(cstr!("at"), extent.at.cast_signed());
            document.append(cstr!("documents"), extent.documents.cast_signed());
            document.append(cstr!("bytes"), extent.bytes.cast_signed());
            collections.push(document);
        }
        document.append(cstr!("collections"), collections);
        frame::encode(MAGIC, &document)
    }

    /// `None` if the bytes are not totals whole and unchanged, the collections do not follow one
    /// another between `start` and `end`, or there is more in them than can be counted.
    pub(super) fn decode(bytes: &[u8], start: u64, end: u64) -> Option<Self> {
        let document = frame::decode(MAGIC, bytes)?;
        let extent = |document: &RawDocument| {
            let number = |name: &str| document.get_i64(name).ok().map(i64::cast_unsigned);
            Some(Extent {
                at: number("at")?,
                documents: number("documents")?,
                bytes: number("bytes")?,
            })
        };
        let collections: Vec<Extent> = documents(document, "collections", extent)?;
        let first = collections.first().map_or(end, |first| first.at);
        let in_order = first == start
            && collections.is_sorted_by(|a, b| a.at < b.at)
            && collections.last().is_none_or(|last| last.at < end);
        let can_be_counted = |count: fn(&Extent) -> u64| {
            collections.iter().map(count).try_fold(0, u64::checked_add).is_some()
        };
        let counted =
            can_be_counted(|extent| extent.documents) && can_be_counted(|extent| extent.bytes);
        let totals = Self { time: document.get_timestamp("time").ok()?.into(), collections };
        (in_order && counted).then_some(totals)
    }
}

/// Where the totals of a base are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) totals_at: u64,
    pub(super) file_len: u64,
}

impl Footer {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = FOOTER_MAGIC.to_vec();
        bytes.extend_from_slice(&self.totals_at.to_le_bytes());
        bytes.extend_from_slice(&self.file_len.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// `None` if the bytes are not a footer whole and unchanged, or what it says cannot be.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let whole = bytes.len() == FOOTER_LEN
            && bytes.starts_with(&FOOTER_MAGIC)
            && crc32fast::hash(bytes.get(..AT_CRC)?) == u32_at(bytes, AT_CRC)?;
        let footer =
            Self { totals_at: u64_at(bytes, AT_TOTALS)?, file_len: u64_at(bytes, AT_FILE_LEN)? };
        let within = footer.totals_at.checked_add(FOOTER_LEN as u64)? <= footer.file_len;
        (whole && within).then_some(footer)
    }

    /// How long the totals are.
    pub(super) fn totals_len(&self) -> u64 {
        self.file_len - FOOTER_LEN as u64 - self.totals_at
    }
}
