//! Verifying a tape: every byte of it that means something, and what that is worth.
//!
//! ```text
//! FORMAT, metadata, catalog, durable ──► the base, all of it
//!   ──► each segment: header, footer, index, totals, every block, and that index and totals
//!       say what is in the blocks
//!   ──► what is not sealed yet
//! ```
//! Nothing is changed. What is wrong is a list, not the first error: the events that each
//! finding costs are named, and the rest of the tape is verified all the same.

use std::path::Path;

use changetape_core::Seq;

use crate::block::{Decoder, Times};
use crate::catalog::{self, Catalog, Listed};
use crate::error::NO_EVENTS;
use crate::format::{self, Found};
use crate::lock::{Holder, Purpose, TapeLock};
use crate::opening::Tail;
use crate::segment::{Entry, KindCounts, Kinds, Totals};
use crate::{BaseSummary, Damage, Error, Gap, Metadata, base, metadata, rebuild};

/// What verifying a tape found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Events that were read, each found as it was written.
    pub events: u64,
    /// Segments that were read.
    pub segments: u64,
    /// What the base holds, if there is one that can be read.
    pub base: Option<BaseSummary>,
    /// What is wrong; empty if the tape is sound.
    pub damages: Vec<Damage>,
    /// Where events are known to be missing.
    pub gaps: Vec<Gap>,
    /// Who records the tape just now: what is not sealed yet was not verified then.
    pub recording: Option<Holder>,
}

impl Verified {
    /// The most findings that are listed one by one; what is wrong beyond them is not told.
    pub const MAX_DAMAGES: usize = 1000;

    fn found(&mut self, damage: Damage) {
        if self.damages.len() < Self::MAX_DAMAGES {
            self.damages.push(damage);
        }
    }

    /// Takes the finding out of an error; other errors pass.
    pub(crate) fn note<T>(&mut self, result: Result<T, Error>) -> Result<Option<T>, Error> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Error::Damaged { damage, .. }) => {
                self.found(*damage);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Verifies the tape at `path`; `progress` is told how far that is, and how far it goes.
///
/// # Errors
/// If there is no tape, one of a newer version, or files cannot be read; what is damaged is no
/// error but a finding.
pub fn verify(path: &Path, progress: &mut dyn FnMut(Seq, Seq)) -> Result<Verified, Error> {
    let mut verified = Verified::default();
    if matches!(format::look(path)?, Found::Damaged) {
        verified.found(Damage::losing_nothing("FORMAT is not what was written"));
    }
    let metadata = metadata::read(path)?;
    if metadata.is_none() {
        let what = "metadata is missing or not what was written";
        verified.found(Damage::losing_nothing(what));
    }
    let catalog = if let Some(catalog) = verified.note(catalog::read(path))? {
        catalog
    } else {
        let rebuilt = rebuild::catalog(path)?;
        rebuilt.damages().for_each(|damage| verified.found(damage));
        rebuilt.catalog
    };
    verified.gaps.clone_from(&catalog.gaps);
    verified.base = base::verify(path, &mut |damage| verified.found(damage))?;
    // What can be read of the segments, and whether that is all of it.
    let (mut counted, mut listed_right, mut complete) = (KindCounts::default(), true, true);
    for listed in &catalog.segments {
        let mut told = |seq| progress(seq, catalog.next);
        let found = segment(path, listed, metadata.as_ref(), &mut verified, &mut told);
        if matches!(found, Err(Error::Damaged { .. })) && is_gone(path, listed) {
            // Merged or dropped by a recording meanwhile.
            complete = false;
            continue;
        }
        match verified.note(found)? {
            Some((found, kinds)) => {
                listed_right &= found == *listed;
                counted.add(&kinds);
            }
            None => complete = false,
        }
        verified.segments += 1;
    }
    if !listed_right || (complete && !catalog.kinds.agrees_with(&counted)) {
        verified.found(miscounted());
    }
    tail(path, &catalog, metadata.as_ref(), &mut verified)?;
    Ok(verified)
}

/// What is wrong if the catalog does not count what is in the segments.
pub(crate) fn miscounted() -> Damage {
    Damage::losing_nothing("catalog does not say what is in the segments")
}

/// Whether the catalog no longer lists a segment.
fn is_gone(path: &Path, listed: &Listed) -> bool {
    catalog::read(path).is_ok_and(|now| !now.segments.contains(listed))
}

/// Verifies what is not sealed, unless it is being recorded, and what was recorded while the
/// segments of a catalog were verified.
fn tail(
    path: &Path,
    catalog: &Catalog,
    metadata: Option<&Metadata>,
    verified: &mut Verified,
) -> Result<(), Error> {
    // Held until everything is read. Reading needs no lock; without one nobody records just now,
    // or soon will.
    let _lock = match TapeLock::take(path, path, Purpose::Recovering) {
        Err(Error::InUse { holder, .. }) if !holder.is_brief() => {
            verified.recording = Some(holder);
            return Ok(());
        }
        lock => lock.ok(),
    };
    // One that is damaged has been found to be.
    let now = catalog::read(path).unwrap_or_else(|_| catalog.clone());
    for listed in now.segments.iter().filter(|listed| listed.first >= catalog.next) {
        let found = segment(path, listed, metadata, verified, &mut |_| ());
        verified.note(found)?;
        verified.segments += 1;
    }
    let new = |gap: &&Gap| !catalog.gaps.contains(gap);
    verified.gaps.extend(now.gaps.iter().filter(new).cloned());
    let found = Tail::find(path, &now);
    if let Some(found) = verified.note(found)? {
        verified.events += found.events();
        verified.gaps.extend(found.gaps().filter(|gap| !now.gaps.contains(gap)).cloned());
    }
    Ok(())
}

/// Verifies a segment; what is wrong with single blocks is noted, all else is the error. Tells
/// what the catalog should say of it.
pub(crate) fn segment(
    path: &Path,
    listed: &Listed,
    metadata: Option<&Metadata>,
    verified: &mut Verified,
    progress: &mut dyn FnMut(Seq),
) -> Result<(Listed, KindCounts), Error> {
    let segment = listed.open_existing(path)?;
    let index = segment.index()?;
    let mut decoder = Decoder::new().map_err(Error::io("read", path))?;
    let mut kinds = Kinds::default();
    let mut times = Times::default();
    let mut sound = true;
    for entry in &index.0 {
        let block = segment.block(entry, &mut decoder);
        let Some(block) = verified.note(block)? else {
            sound = false;
            continue;
        };
        let counted = Entry {
            raw_len: u32::try_from(block.raw_bytes()).unwrap_or(u32::MAX),
            times: block.header().times,
            arrivals: block.header().arrivals(),
            kinds: kinds.add(&block),
            ..entry.clone()
        };
        // What lies behind a block that cannot be read is numbered otherwise.
        if sound && counted != *entry {
            let what = format!("its index does not say what is in the block at {}", entry.first);
            return Err(segment.damaged(&what, NO_EVENTS));
        }
        times.add(&block.header().times);
        verified.events += block.len() as u64;
        progress(block.end());
    }
    let totals = segment.totals()?;
    let high = totals.times.high;
    let counted = Totals {
        blocks: index.0.len() as u64,
        times: Times { high, ..times },
        kinds: kinds.finish(),
        metadata: metadata.unwrap_or(&totals.metadata).clone(),
        ..totals.clone()
    };
    if sound && counted != totals {
        return Err(segment.damaged("its totals do not say what is in it", NO_EVENTS));
    }
    Ok((Listed::new(segment.footer(), &totals), totals.kinds))
}

#[cfg(test)]
mod tests;
