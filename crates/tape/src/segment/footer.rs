//! The footer of a segment: its last bytes.
//!
//! ```text
//! offset  size  field
//! 0       4     magic "CTSF"
//! 4       4     CRC-32 of the whole index
//! 8       8     Seq of the first event
//! 16      8     one past the last
//! 24      8     where the index begins
//! 32      8     where the totals begin
//! 40      8     length of the file
//! 48      4     CRC-32 of all before it
//! ```

use changetape_core::Seq;

use super::HEADER_LEN;
use crate::bytes::{u32_at, u64_at};
use crate::frame::Magic;

pub(crate) const MAGIC: Magic = *b"CTSF";
const AT_INDEX_CRC: usize = MAGIC.len();
const AT_FIRST: usize = AT_INDEX_CRC + 4;
const AT_END: usize = AT_FIRST + 8;
const AT_INDEX: usize = AT_END + 8;
const AT_TOTALS: usize = AT_INDEX + 8;
const AT_FILE_LEN: usize = AT_TOTALS + 8;
const AT_CRC: usize = AT_FILE_LEN + 8;

/// How long a footer is.
pub(crate) const LEN: usize = AT_CRC + 4;

/// Where the parts of a segment are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) first: Seq,
    pub(crate) end: Seq,
    /// Where blocks end and the index begins.
    pub(crate) index_at: u64,
    pub(crate) index_crc: u32,
    /// Where the index ends and the totals begin.
    pub(crate) totals_at: u64,
    pub(crate) file_len: u64,
}

impl Footer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.index_crc.to_le_bytes());
        for number in
            [self.first.get(), self.end.get(), self.index_at, self.totals_at, self.file_len]
        {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// `None` if the bytes are not a footer whole and unchanged, or its parts do not lie one
    /// behind the other.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let whole = bytes.len() == LEN
            && bytes.starts_with(&MAGIC)
            && crc32fast::hash(bytes.get(..AT_CRC)?) == u32_at(bytes, AT_CRC)?;
        let footer = Self {
            first: Seq::new(u64_at(bytes, AT_FIRST)?),
            end: Seq::new(u64_at(bytes, AT_END)?),
            index_at: u64_at(bytes, AT_INDEX)?,
            index_crc: u32_at(bytes, AT_INDEX_CRC)?,
            totals_at: u64_at(bytes, AT_TOTALS)?,
            file_len: u64_at(bytes, AT_FILE_LEN)?,
        };
        let in_order = footer.first < footer.end
            && HEADER_LEN as u64 <= footer.index_at
            && footer.index_at <= footer.totals_at
            && footer.totals_at.checked_add(LEN as u64)? <= footer.file_len;
        (whole && in_order).then_some(footer)
    }

    /// How long the index is.
    pub(crate) fn index_len(&self) -> u64 {
        self.totals_at - self.index_at
    }

    /// How long the totals are.
    pub(crate) fn totals_len(&self) -> u64 {
        self.file_len - LEN as u64 - self.totals_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flip_and_every_cut_is_noticed() {
        let footer = Footer {
            first: Seq::new(7),
            end: Seq::new(4_000),
            index_at: 70_000,
            index_crc: 0x1234_5678,
            totals_at: 71_000,
            file_len: 72_000,
        };
        let bytes = footer.encode();
        assert_eq!(Footer::decode(&bytes), Some(footer));
        assert_eq!((footer.index_len(), footer.totals_len()), (1_000, 1_000 - LEN as u64));
        for at in 0..bytes.len() {
            assert_eq!(Footer::decode(&bytes[..at]), None, "cut to {at}");
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert_eq!(Footer::decode(&flipped), None, "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn parts_that_cannot_be_are_refused() {
        let sound = Footer {
            first: Seq::new(7),
            end: Seq::new(8),
            index_at: 100,
            index_crc: 0,
            totals_at: 200,
            file_len: 300,
        };
        assert!(Footer::decode(&sound.encode()).is_some());
        for broken in [
            Footer { end: Seq::new(7), ..sound },
            Footer { index_at: 3, ..sound },
            Footer { totals_at: 99, ..sound },
            Footer { totals_at: u64::MAX, ..sound },
            Footer { file_len: 200, ..sound },
        ] {
            assert_eq!(Footer::decode(&broken.encode()), None, "{broken:?}");
        }
    }
}
