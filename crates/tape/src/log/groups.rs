//! `Groups`: the trees in which a log keeps its blocks, a few in each.
//!
//! sled links a change to the page that it belongs to, and with the tenth writes the page anew,
//! whole; it splits a page of more than 16 entries and writes both halves. In a single tree each
//! block would be written two or three times for that. A tree that takes no more than
//! [`BLOCKS`] has each written once: `docs/decisions/0001-…` has what that is worth.
//!
//! A tree costs three records in the log, of which one, the list of all trees, grows with their
//! number. Where blocks are so small that writing them again costs less than another tree, a tree
//! takes [`LEN`] bytes of them instead.

use std::collections::BTreeMap;

use changetape_core::Seq;
use sled::IVec;

use super::key;

/// As many changes as sled links to a page before it writes the page anew: one less than its
/// `PAGE_CONSOLIDATION_THRESHOLD`, for the empty page counts.
const BLOCKS: usize = 9;

/// How many bytes of small blocks share a tree.
const LEN: usize = 64 << 10;

/// What a transaction does to one tree.
pub(super) type Writes = (sled::Tree, Vec<(IVec, IVec)>);

/// The trees of a log's blocks.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// By the first place that is in them.
    trees: BTreeMap<Seq, sled::Tree>,
    /// What is in the last one.
    blocks: usize,
    len: usize,
}

impl Groups {
    /// Finds a tree for each of some blocks, which follow those that it has found one for.
    pub(super) fn place(
        &mut self,
        blocks: Vec<(Seq, Vec<u8>)>,
        db: &sled::Db,
    ) -> sled::Result<Vec<Writes>> {
        let mut writes: Vec<Writes> = Vec::new();
        for (first, block) in blocks {
            let has_room = self.blocks < BLOCKS || self.len < LEN;
            let tree = match self.trees.last_key_value() {
                Some((_, last)) if has_room => last.clone(),
                _ => self.begin(first, db)?,
            };
            self.blocks += 1;
            self.len += block.len();
            let write = (key(first), block.into());
            match writes.last_mut() {
                Some((last, writes)) if last.name() == tree.name() => writes.push(write),
                _ => writes.push((tree, vec![write])),
            }
        }
        Ok(writes)
    }

    /// The tree that holds the block of an event.
    pub(super) fn holding(&self, seq: Seq) -> Option<sled::Tree> {
        self.trees.range(..=seq).next_back().map(|(_, tree)| tree.clone())
    }

    fn begin(&mut self, first: Seq, db: &sled::Db) -> sled::Result<sled::Tree> {
        let tree = db.open_tree(key(first))?;
        self.trees.insert(first, tree.clone());
        (self.blocks, self.len) = (0, 0);
        Ok(tree)
    }
}
