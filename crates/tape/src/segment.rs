//! `Segment`: sealed blocks in an immutable file.
//!
//! Integers are little-endian.
//! ```text
//! header   magic "CTSG" (4), version 1 (2), 0 (2), Seq of the first event (8), CRC-32 (4)
//! blocks   one behind the other, as in the log
//! index    one entry a block: see `index`
//! totals   what the blocks hold, counted: a frame around a document, see `totals`
//! footer   where index and totals are: see `footer`
//! ```
//! - A segment is written under another name, synced, and renamed into place: under its own it
//!   is whole. It is never changed after that, so it is read without a lock, by any number of
//!   readers. `catalog` says which segments a tape consists of.
//! - Its events follow one another without a hole; before its first one there may be a gap.
//! - Each part has its own checksum. Finding a place takes footers and one index, and blocks that
//!   cannot hold what is sought are not read.
//! - The totals repeat the tape's metadata and gaps, so that segments alone make a tape again.

mod footer;
mod index;
mod kinds;
mod read;
mod totals;
mod write;

pub(crate) use footer::Footer;
pub(crate) use index::{Entry, Index, KindNumber};
#[cfg(test)]
pub(crate) use kinds::MAX_KINDS;
pub(crate) use kinds::{Kind, KindCounts, Kinds};
pub(crate) use read::Segment;
pub(crate) use totals::{MAGIC as TOTALS_MAGIC, Totals, append_arrivals, arrivals_from};
pub(crate) use write::SegmentWriter;

use changetape_core::Seq;

use crate::bytes::{u16_at, u32_at, u64_at};
use crate::frame::Magic;

pub(crate) const MAGIC: Magic = *b"CTSG";
pub(crate) const VERSION: u16 = 1;

const AT_VERSION: usize = MAGIC.len();
const AT_FIRST: usize = AT_VERSION + 2 + 2;
const AT_CRC: usize = AT_FIRST + 8;

/// How long the header is, and so where the first block begins.
pub(crate) const HEADER_LEN: usize = AT_CRC + 4;

fn encode_header(first: Seq) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 2]);
    bytes.extend_from_slice(&first.get().to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// What a header says; `None` if it is not what was written.
fn decode_header(bytes: &[u8]) -> Option<Stated> {
    let whole = bytes.starts_with(&MAGIC)
        && crc32fast::hash(bytes.get(..AT_CRC)?) == u32_at(bytes, AT_CRC)?;
    let stated =
        Stated { version: u16_at(bytes, AT_VERSION)?, first: Seq::new(u64_at(bytes, AT_FIRST)?) };
    whole.then_some(stated)
}

/// What a header says.
struct Stated {
    version: u16,
    first: Seq,
}
