//! `Checkpoint`: where a recording continues.
//!
//! Written in the same atomic batch as the blocks it follows, so a resume token is never
//! ahead of its events nor behind them. The invariant `checkpoint.next == end of the last
//! block` is checked before each write and after each opening.
//!
//! Layout, little-endian:
//! ```text
//! offset  size  field
//! 0       2     version (1)
//! 2       2     0
//! 4       8     next: the Seq of the next event
//! 12      4     token length T
//! 16      T     token: a BSON document
//! 16+T    4     CRC-32 of all before it
//! ```

use changetape_core::{ResumeToken, Seq};

use crate::bytes::{len_at, u16_at, u32_at, u64_at};

/// Where a recording continues: atomic with the block that it follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The token to resume the stream after.
    pub token: ResumeToken,
    /// The place of the next event.
    pub next: Seq,
}

const VERSION: u16 = 1;
const AT_NEXT: usize = 4;
const AT_TOKEN_LEN: usize = AT_NEXT + 8;
const AT_TOKEN: usize = AT_TOKEN_LEN + 4;
const CHECKSUM_LEN: usize = 4;

impl Checkpoint {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let token = self.token.as_bytes();
        let mut bytes = Vec::with_capacity(AT_TOKEN + token.len() + CHECKSUM_LEN);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&self.next.get().to_le_bytes());
        // A token is a BSON document, whose length fits an i32.
        bytes.extend_from_slice(&u32::try_from(token.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(token);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// `None` if the bytes are not a checkpoint whole and unchanged.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let checked = bytes.len().checked_sub(CHECKSUM_LEN)?;
        let token_len = len_at(bytes, AT_TOKEN_LEN)?;
        let whole = u16_at(bytes, 0)? == VERSION
            && AT_TOKEN.checked_add(token_len)? == checked
            && crc32fast::hash(bytes.get(..checked)?) == u32_at(bytes, checked)?;
        if !whole {
            return None;
        }
        let token = ResumeToken::from_bytes(bytes.get(AT_TOKEN..checked)?).ok()?;
        Some(Self { token, next: Seq::new(u64_at(bytes, AT_NEXT)?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flip_and_every_cut_is_noticed() {
        let token = ResumeToken::from_data("826B02A9B5000000132B022C0100296F04").unwrap();
        let checkpoint = Checkpoint { token, next: Seq::new(40_213) };
        let bytes = checkpoint.encode();
        assert_eq!(Checkpoint::decode(&bytes), Some(checkpoint));
        for at in 0..bytes.len() {
            assert_eq!(Checkpoint::decode(&bytes[..at]), None, "cut to {at}");
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert_eq!(Checkpoint::decode(&flipped), None, "bit {bit} of byte {at}");
            }
        }
        assert_eq!(Checkpoint::decode(&[&bytes[..], &[0]].concat()), None, "one byte more");
    }
}
