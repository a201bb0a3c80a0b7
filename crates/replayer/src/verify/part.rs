//! `Part`: which documents a pass over the tape looks at.
//!
//! A part is all documents whose hash begins with certain bits. The parts of a part are disjoint
//! and together the whole of it, so whatever is split, each document is looked at once.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::collections::Lineage;

/// How many bits of a hash may tell parts apart. A part that is too large even then is read all
/// the same: no more than a few documents are left in it.
const MAX_BITS: u32 = 32;

/// The documents whose hash begins with `prefix`, `bits` long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    bits: u32,
    prefix: u64,
}

impl Part {
    /// Every document.
    pub(super) const ALL: Self = Self { bits: 0, prefix: 0 };

    /// Whether a document belongs to it. Collections keep their lineage whatever they are called,
    /// so a rename moves no document to another part.
    pub(super) fn holds(self, lineage: Lineage, key: &[u8]) -> bool {
        if self.bits == 0 {
            return true;
        }
        // Without a random key: a document is in the same part in every pass.
        let mut hasher = DefaultHasher::new();
        lineage.hash(&mut hasher);
        key.hash(&mut hasher);
        hasher.finish() >> (u64::BITS - self.bits) == self.prefix
    }

    /// Whether it can be split.
    pub(super) fn can_split(self) -> bool {
        self.bits < MAX_BITS
    }

    /// Its parts, at least two and at least `wanted` where there can be as many.
    pub(super) fn split(self, wanted: u64) -> impl Iterator<Item = Self> {
        let most = MAX_BITS.saturating_sub(self.bits).max(1);
        let more = wanted.clamp(2, 1 << most).next_power_of_two().trailing_zeros();
        let (bits, first) = (self.bits + more, self.prefix << more);
        (0..1_u64 << more).map(move |n| Self { bits, prefix: first | n })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_document_is_in_one_part_however_often_parts_are_split() {
        let mut parts: Vec<Part> = Part::ALL.split(3).collect();
        assert_eq!(parts.len(), 4);
        let last = parts.pop().unwrap();
        parts.extend(last.split(1));
        assert_eq!(parts.len(), 5);
        let mut sizes = [0; 5];
        for n in 0..2_000_u32 {
            let held = |part: &Part| part.holds(Lineage::new(n % 3), &n.to_le_bytes());
            let of: Vec<usize> = (0..5).filter(|&at| held(&parts[at])).collect();
            assert_eq!(of.len(), 1, "document {n} is in {of:?}");
            sizes[of[0]] += 1;
        }
        assert!(sizes.iter().all(|&size| size > 0), "{sizes:?}");
    }

    #[test]
    fn parts_are_never_more_than_bits_can_tell() {
        let mut part = Part::ALL;
        while part.can_split() {
            part = part.split(1 << 10).last().unwrap();
        }
        assert_eq!(part.bits, MAX_BITS);
    }
}
