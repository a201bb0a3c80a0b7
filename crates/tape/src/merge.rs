//! Merging: several segments become one, a block at a time.
//!
//! ```text
//! catalog ──► plan ──► segments ──► block, block, … ──► one segment ──► catalog
//! ```
//! Small blocks are merged into full ones on the way, as in [sealing](crate::seal). Merging can
//! wait and recording cannot, so whoever merges is free between two blocks: a merge of hundreds of
//! megabytes holds nobody up for longer than one block takes.

mod plan;

use std::path::{Path, PathBuf};
use std::vec;

pub(crate) use plan::{Limits, plan};

use crate::block::High;
use crate::catalog::Listed;
use crate::seal::{Sealing, Tape, is_full};
use crate::segment::{Entry, KindCounts, KindNumber, Segment};
use crate::{Error, Gap, layout};

/// Some segments on their way into one; they follow one another.
pub(crate) struct Merging {
    tape: PathBuf,
    sealing: Sealing,
    /// The segments that have not been begun.
    parts: vec::IntoIter<Listed>,
    part: Option<Part>,
}

/// A segment that is being copied.
struct Part {
    segment: Segment,
    kinds: KindCounts,
    /// The blocks that are left of it.
    entries: vec::IntoIter<Entry>,
}

impl Merging {
    /// Begins to merge some segments of the tape at a path. `high` are the latest times before
    /// them.
    pub(crate) fn begin(tape: &Path, parts: Vec<Listed>, high: High) -> Result<Self, Error> {
        let sealing = Sealing::new(&layout::unfinished_merge(tape), high)?;
        Ok(Self { tape: tape.to_owned(), sealing, parts: parts.into_iter(), part: None })
    }

    /// Goes on by a block; whether there was one.
    pub(crate) fn step(&mut self) -> Result<bool, Error> {
        loop {
            let part = match &mut self.part {
                Some(part) => part,
                none => match self.parts.next() {
                    Some(listed) => none.insert(Part::open(&listed, &self.tape)?),
                    None => return Ok(false),
                },
            };
            if let Some(entry) = part.entries.next() {
                part.copy(&entry, &mut self.sealing)?;
                return Ok(true);
            }
            self.part = None;
        }
    }

    /// Makes the segment durable under its name; `None` if there was no block. `gaps` are all
    /// that the tape had when it began.
    pub(crate) fn finish(self, tape: Tape<'_>, gaps: &[Gap]) -> Result<Option<Listed>, Error> {
        Ok(self.sealing.finish(tape, gaps)?.map(|(listed, _)| listed))
    }
}

impl Part {
    fn open(listed: &Listed, tape: &Path) -> Result<Self, Error> {
        let segment = listed.open_existing(tape)?;
        let kinds = segment.totals()?.kinds;
        let entries = segment.index()?.0.into_iter();
        Ok(Self { segment, kinds, entries })
    }

    /// Copies a block: a full one as it is.
    fn copy(&self, entry: &Entry, sealing: &mut Sealing) -> Result<(), Error> {
        let bytes = self.segment.block_bytes(entry)?;
        // Of what kinds the others are, only the events themselves tell.
        let is_known = entry.kinds.iter().all(|(kind, _)| *kind != KindNumber::OTHER);
        if is_full(entry.raw_len) && is_known {
            let header = self.segment.check(entry, &bytes)?;
            sealing.copy(&bytes, &header, (&entry.kinds, &self.kinds))
        } else {
            let block = self.segment.decode(entry, &bytes, sealing.decoder())?;
            sealing.add(&bytes, block)
        }
    }
}

#[cfg(test)]
mod tests;
