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
//!
//! The tape may be recorded meanwhile. Segments are then merged into others, and dropped: whenever
//! one is gone, the catalog is read again, and what it lists is verified instead. What is verified
//! in the end is all that one catalog lists.

use std::collections::BTreeMap;
use std::path::Path;

use changetape_core::Seq;

use crate::block::{Decoder, Times};
use crate::catalog::{self, Catalog, Listed};
use crate::error::NO_EVENTS;
use crate::format::{self, Found};
use crate::scan::{self, Tail};
use crate::segment::{Entry, KindCounts, Kinds, Totals};
use crate::{BaseSummary, Damage, Error, Gap, Metadata, base, layout, metadata, opening, rebuild};

/// What verifying a tape found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Events that were read, each found as it was written.
    pub events: u64,
    /// Segments that were read; one that has been merged into another since does not count.
    pub segments: u64,
    /// What the base holds, if there is one that can be read.
    pub base: Option<BaseSummary>,
    /// What is wrong; empty if the tape is sound.
    pub damages: Vec<Damage>,
    /// Where events are known to be missing.
    pub gaps: Vec<Gap>,
    /// What was not verified.
    pub unseen: Tail,
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
    verified.base = base::verify(path, &mut |damage| verified.found(damage))?;
    let (metadata, read, counted) =
        (metadata.as_ref(), BTreeMap::new(), Some(KindCounts::default()));
    let mut reading = Reading { path, metadata, read, counted };
    let mut catalog = reading.segments(catalog, &mut verified, progress)?;
    loop {
        // Held until everything is read. Where there is no log everything is sealed, and reading
        // that needs no lock.
        let has_logs = !layout::logs(path)?.is_empty();
        let lock = if has_logs { Some(scan::hold(path)?) } else { None };
        // One that is damaged has been found to be.
        let now = catalog::read(path).unwrap_or(catalog);
        catalog = reading.segments(now, &mut verified, progress)?;
        verified.gaps.clone_from(&catalog.gaps);
        match lock {
            None => {
                if verified.note(opening::is_closed(path, &catalog))? == Some(false) {
                    continue;
                }
            }
            Some(Ok(_)) => {
                let found = opening::Tail::find(path, &catalog);
                if let Some(found) = verified.note(found)? {
                    verified.events += found.events();
                    let new = found.gaps().filter(|gap| !catalog.gaps.contains(gap));
                    verified.gaps.extend(new.cloned());
                }
            }
            Some(Err(tail)) => verified.unseen = tail,
        }
        break;
    }
    if !reading.agrees_with(&catalog) {
        verified.found(miscounted());
    }
    Ok(verified)
}

/// What is wrong if the catalog does not count what is in the segments.
pub(crate) fn miscounted() -> Damage {
    Damage::losing_nothing("catalog does not say what is in the segments")
}

/// The segments that were read.
struct Reading<'a> {
    path: &'a Path,
    metadata: Option<&'a Metadata>,
    /// By their first events.
    read: BTreeMap<Seq, Read>,
    /// What they hold; `None` if one could not be read, or is in another by now.
    counted: Option<KindCounts>,
}

/// A segment that was read.
struct Read {
    /// As the catalog has it.
    listed: Listed,
    /// Whether that is what is in it, as far as it could be read.
    listed_right: bool,
    /// How many events were read of it.
    events: u64,
}

impl Reading<'_> {
    /// Verifies what a catalog lists and was not read before. If some of that is gone, because it
    /// was merged or dropped meanwhile, goes on with the catalog of now; tells with which it ended.
    fn segments(
        &mut self,
        mut catalog: Catalog,
        verified: &mut Verified,
        progress: &mut dyn FnMut(Seq, Seq),
    ) -> Result<Catalog, Error> {
        'again: loop {
            for listed in &catalog.segments {
                if self.read.get(&listed.first).is_some_and(|read| read.listed == *listed) {
                    continue;
                }
                let before = verified.events;
                let mut told = |seq| progress(seq, catalog.next);
                let found = segment(self.path, listed, self.metadata, verified, &mut told);
                if matches!(found, Err(Error::Damaged { .. }))
                    && let Some(now) = catalog_without(self.path, listed)
                {
                    verified.events = before;
                    catalog = now;
                    continue 'again;
                }
                let found = verified.note(found)?;
                let listed_right = found.as_ref().is_none_or(|(found, _)| found == listed);
                let events = verified.events - before;
                self.forget_parts(listed, verified);
                self.counted = self.counted.take().zip(found).map(|(mut counted, (_, kinds))| {
                    counted.add(&kinds);
                    counted
                });
                let read = Read { listed: listed.clone(), listed_right, events };
                self.read.insert(listed.first, read);
                verified.segments += 1;
            }
            return Ok(catalog);
        }
    }

    /// Forgets what has been merged into a segment: its events count there.
    fn forget_parts(&mut self, merged: &Listed, verified: &mut Verified) {
        let parts: Vec<Seq> = self.read.range(merged.events()).map(|(first, _)| *first).collect();
        for read in parts.iter().filter_map(|first| self.read.remove(first)) {
            verified.events -= read.events;
            verified.segments -= 1;
            self.counted = None;
        }
    }

    /// Whether a catalog, of which everything was read, says what is in the segments.
    fn agrees_with(&self, catalog: &Catalog) -> bool {
        // Others may have been dropped.
        let is_all = self.read.len() == catalog.segments.len();
        let counted = self.counted.as_ref().filter(|_| is_all);
        self.read.values().all(|read| read.listed_right)
            && counted.is_none_or(|counted| catalog.kinds.agrees_with(counted))
    }
}

/// The catalog of now, if it no longer lists a segment.
fn catalog_without(path: &Path, listed: &Listed) -> Option<Catalog> {
    catalog::read(path).ok().filter(|now| !now.segments.contains(listed))
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
