//! `base`: what collections held at one cluster time, for the events that follow to be applied
//! to: options, indexes, and every document as the bytes the server sent.
//!
//! One file in the tape's directory, written once and never changed. Integers are
//! little-endian.
//! ```text
//! header       a frame, magic "CTBH": `version` (1), `time`: the cluster time, `taken`: when
//! collections  one behind the other, each:
//!   definition   a frame, magic "CTBC": see `definition`
//!   blocks       its documents: see `block`
//! totals       a frame, magic "CTBT": where each collection begins and what it holds, counted,
//!              and `time` once more: see `totals`
//! footer       where the totals are: see `totals`
//! ```
//! - It is written as `base.new`, synced, and renamed: so there is a whole base or none. What a
//!   killed process left is in the directory of a tape that never came to be, and goes with it.
//! - A base is begun only on a tape that is not there yet ([`TapeDraft`](crate::TapeDraft)):
//!   events cannot come before it, and there cannot be two.
//! - Whatever is read is checked: each part has its own checksum, a block says which collection
//!   it belongs to and how many documents come before it, and what was counted is compared. So a
//!   part that is missing, doubled, or of another base is noticed.
//! - Reading trusts no length: each is bounded by a constant or by the file before it is used.

mod block;
mod definition;
mod read;
mod totals;
mod write;

use std::path::Path;

use bson::Timestamp;
use changetape_core::{ClusterTime, WallTime};

pub use block::BaseBlock;
pub use definition::Definition;
pub(crate) use read::verify;
pub use read::{Base, BaseBlocks, BaseCollection};
pub use write::BaseWriter;

#[cfg(test)]
pub(crate) use block::{FIELDS, MAGIC as BLOCK_MAGIC};

use crate::frame::Magic;
use crate::{Damage, Error, disk, layout};

pub(crate) const HEADER_MAGIC: Magic = *b"CTBH";
const VERSION: i32 = 1;

/// The longest document. The server's limit is 16 MiB and 16 KiB.
pub(crate) const MAX_DOCUMENT_LEN: usize = (16 << 20) + (16 << 10);

/// The most uncompressed bytes in a block: one longest document, for [`TARGET_RAW_LEN`] keeps
/// documents apart otherwise. Bounds what a reader allocates.
pub(crate) const MAX_RAW_LEN: usize = MAX_DOCUMENT_LEN;

/// Documents are cut into blocks of about this many uncompressed bytes. A base is read from
/// one end to the other, so this is only large enough for compression to find its patterns.
pub(crate) const TARGET_RAW_LEN: usize = 512 << 10;

/// zstd's fastest proper level: a server keeps a snapshot for minutes, so what a large base
/// lacks is time.
const ZSTD_LEVEL: i32 = 1;

const _: () = assert!(TARGET_RAW_LEN <= MAX_RAW_LEN && MAX_RAW_LEN <= u32::MAX as usize);

/// What is in a base, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseSummary {
    /// The cluster time that everything was read at. What happened at it is part of the base;
    /// the events that follow come after it.
    pub time: ClusterTime,
    /// When it was taken, by the recorder's clock.
    pub taken: WallTime,
    /// How many collections and views.
    pub collections: u64,
    /// How many documents.
    pub documents: u64,
    /// Their BSON in bytes, uncompressed.
    pub bytes: u64,
    /// What the base takes on disk, in bytes.
    pub disk_bytes: u64,
}

/// The header's document.
fn header(time: ClusterTime, taken: WallTime) -> bson::RawDocumentBuf {
    bson::rawdoc! {
        "version": VERSION,
        "time": Timestamp::from(time),
        "taken": bson::DateTime::from(taken),
    }
}

/// The error for a base that is not what was written: no event is lost by it.
fn damaged(tape: &Path, what: &str) -> Error {
    Error::damaged(tape, Damage::losing_nothing(format!("{}: {what}", layout::BASE)))
}

/// Gives a damaged base a name under which nothing reads it.
pub(crate) fn set_aside(tape: &Path) -> Result<(), Error> {
    let file = tape.join(layout::BASE);
    disk::rename(&file, &layout::set_aside(&file))
}

#[cfg(test)]
mod tests;
