//! `Part`: which documents a pass over the tape looks at.
//!
//! A part is the documents whose hashes lie in a range. A pass begins with all that is left, and
//! gives up the end of its range whenever it has outgrown the memory that there is; the next pass
//! begins where it ended. So nothing has to be known in advance, no pass is in vain, and each
//! document is looked at once.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::collections::Lineage;

/// The documents whose hashes lie between two, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    first: u64,
    last: u64,
}

impl Part {
    /// Every document.
    pub(super) const ALL: Self = Self { first: 0, last: u64::MAX };

    /// Whether a document belongs to it. Collections keep their lineage whatever they are called,
    /// so a rename moves no document to another part.
    pub(super) fn holds(self, lineage: Lineage, key: &[u8]) -> bool {
        if self == Self::ALL {
            return true;
        }
        // Without a random key: a document is in the same part in every pass.
        let mut hasher = DefaultHasher::new();
        lineage.hash(&mut hasher);
        key.hash(&mut hasher);
        (self.first..=self.last).contains(&hasher.finish())
    }

    /// The part without about a quarter at its end; `None` if it has but one hash: there is no
    /// more than a document in it.
    pub(super) fn smaller(self) -> Option<Self> {
        let width = self.last - self.first;
        // In this order: the product would not fit.
        (width > 0).then(|| Self { last: self.first + width / 4 * 3, ..self })
    }

    /// What is left behind it.
    pub(super) fn rest(self) -> Option<Self> {
        Some(Self { first: self.last.checked_add(1)?, ..Self::ALL })
    }

    /// How many parts of about this size the rest is.
    pub(super) fn as_many_in_rest(self) -> u64 {
        let width = (self.last - self.first).max(1);
        (u64::MAX - self.last).div_ceil(width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_document_is_in_one_part_wherever_parts_end() {
        let mut parts = Vec::new();
        let mut next = Some(Part::ALL);
        for shrunk in [3, 1, 5, 0] {
            let mut part = next.unwrap();
            for _ in 0..shrunk {
                part = part.smaller().unwrap();
            }
            parts.push(part);
            next = part.rest();
        }
        assert_eq!(next, None);
        let mut sizes = [0; 4];
        for n in 0..2_000_u32 {
            let held = |part: &Part| part.holds(Lineage::new(n % 3), &n.to_le_bytes());
            let of: Vec<usize> = (0..4).filter(|&at| held(&parts[at])).collect();
            assert_eq!(of.len(), 1, "document {n} is in {of:?}");
            sizes[of[0]] += 1;
        }
        assert!(sizes.iter().all(|&size| size > 0), "{sizes:?}");
    }

    #[test]
    fn a_part_gets_smaller_until_it_has_one_hash() {
        let (mut part, mut steps) = (Part::ALL, 0);
        while let Some(smaller) = part.smaller() {
            assert!(smaller.last < part.last && smaller.first == part.first);
            (part, steps) = (smaller, steps + 1);
        }
        assert_eq!((part.first, part.last), (0, 0));
        assert!(steps > 64, "{steps}");
        assert_eq!(part.as_many_in_rest(), u64::MAX);
        assert_eq!(Part::ALL.as_many_in_rest(), 0);
    }
}
