//! `Checkpoint`: where a recording continues.
//!
//! Written in the same atomic batch as the blocks it follows, so a resume token is never
//! ahead of its events nor behind them. The invariant `checkpoint.next == end of the last
//! block` is checked before each write and after each opening.
//!
//! Layout, little-endian:
//! ```text
//! offset  size  field
//! 0       4     magic "CTCP"
//! 4       4     token length T
//! 8       8     next: the Seq of the next event
//! 16      8     append: how many appends the log had before, this one not counted
//! 24      4     how many gaps the log has
//! 28      T     token: a BSON document
//! 28+T    4     CRC-32 of all before it
//! ```
//! The number of the append tells the newest of several that are found in the log's files; the
//! number of gaps tells whether a gap that should be found there is not.

use changetape_core::{ResumeToken, Seq};

use crate::block::MAX_TOKEN_LEN;
use crate::bytes::{len_at, u32_at, u64_at};
use crate::frame::Magic;

/// Where a recording continues: atomic with the block that it follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The token to resume the stream after.
    pub token: ResumeToken,
    /// The place of the next event.
    pub next: Seq,
}

pub(crate) const MAGIC: Magic = *b"CTCP";
const AT_TOKEN_LEN: usize = MAGIC.len();
const AT_NEXT: usize = AT_TOKEN_LEN + 4;
const AT_ORDINAL: usize = AT_NEXT + 8;
const AT_GAPS: usize = AT_ORDINAL + 8;
const AT_TOKEN: usize = AT_GAPS + 4;
const CHECKSUM_LEN: usize = 4;

/// A checkpoint as a log keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) checkpoint: Checkpoint,
    /// The number of the append that it is part of.
    pub(crate) ordinal: u64,
    /// How many gaps the log has by then.
    pub(crate) gaps: u32,
}

impl Checkpoint {
    /// How long the checkpoint at the start of `bytes` says it is, if one begins there.
    pub(crate) fn stated_len(bytes: &[u8]) -> Option<usize> {
        let len = len_at(bytes, AT_TOKEN_LEN)?;
        let sound = bytes.starts_with(&MAGIC) && len <= MAX_TOKEN_LEN;
        sound.then_some(AT_TOKEN + len + CHECKSUM_LEN)
    }
}

impl Kept {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Checkpoint { token, next } = &self.checkpoint;
        let token = token.as_bytes();
        let mut bytes = Vec::with_capacity(AT_TOKEN + token.len() + CHECKSUM_LEN);
        bytes.extend_from_slice(&MAGIC);
        // A token is a BSON document, whose length fits an i32.
        bytes.extend_from_slice(&u32::try_from(token.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(&next.get().to_le_bytes());
        bytes.extend_from_slice(&self.ordinal.to_le_bytes());
        bytes.extend_from_slice(&self.gaps.to_le_bytes());
        bytes.extend_from_slice(token);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// `None` if the bytes are not a checkpoint whole and unchanged.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if Checkpoint::stated_len(bytes)? != bytes.len() {
            return None;
        }
        let checked = bytes.len() - CHECKSUM_LEN;
        if crc32fast::hash(bytes.get(..checked)?) != u32_at(bytes, checked)? {
            return None;
        }
        let token = ResumeToken::from_bytes(bytes.get(AT_TOKEN..checked)?).ok()?;
        let next = Seq::new(u64_at(bytes, AT_NEXT)?);
        let (ordinal, gaps) = (u64_at(bytes, AT_ORDINAL)?, u32_at(bytes, AT_GAPS)?);
        Some(Self { checkpoint: Checkpoint { token, next }, ordinal, gaps })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flip_and_every_cut_is_noticed() {
        let token = ResumeToken::from_data("826B02A9B5000000132B022C0100296F04").unwrap();
        let checkpoint = Checkpoint { token, next: Seq::new(40_213) };
        let kept = Kept { checkpoint, ordinal: 17, gaps: 2 };
        let bytes = kept.encode();
        assert_eq!(Kept::decode(&bytes), Some(kept));
        for at in 0..bytes.len() {
            assert_eq!(Kept::decode(&bytes[..at]), None, "cut to {at}");
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert_eq!(Kept::decode(&flipped), None, "bit {bit} of byte {at}");
            }
        }
        assert_eq!(Kept::decode(&[&bytes[..], &[0]].concat()), None, "one byte more");
    }
}
