//! Repairing a tape: what can be read stays, and what cannot becomes a gap.
//!
//! A damaged segment is looked through for blocks, which describe themselves; those that are
//! sound, and follow one another, become segments again. The damaged file is kept beside them
//! under another name, which nothing reads. What was not sealed is treated alike. Events keep
//! their places: where some are lost, the places stay empty, and a gap says so. Whenever a repair is
//! killed, the next one finds all that it found.
//!
//! A damaged base is put aside alike, and the tape has none then: what is left of one is no
//! state that the events could be applied to.
//!
//! Where the end of a tape is lost, and nothing says where the recording went on behind it,
//! there is no gap: the recording continues after the last event that is there, and records
//! what follows again.

use std::ops::Range;
use std::path::{Path, PathBuf};

use changetape_core::Seq;

use crate::block::Decoder;
use crate::catalog::{self, Catalog, Listed};
use crate::format::{self, FORMAT_VERSION};
use crate::layout::SEALED;
use crate::lock::{Purpose, TapeLock};
use crate::opening::{self, Tail};
use crate::rebuild::{self, lost};
use crate::salvage::{Found, Salvage};
use crate::seal::Tape;
use crate::segment::{KindCounts, Segment};
use crate::verify::{self, Verified};
use crate::{
    Checkpoint, Damage, Edge, Error, Gap, GapCause, Metadata, base, disk, layout, metadata,
    watermark,
};

/// What repairing a tape did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// What was wrong.
    pub damages: Vec<Damage>,
    /// The gaps that say what is lost.
    pub gaps: Vec<Gap>,
    /// Whether the base was damaged, and is lost; it is kept as `base.damaged`.
    pub base_lost: bool,
}

/// Repairs the tape at `path`; `progress` is told how far the search for damage is.
///
/// # Errors
/// [`Error::InUse`] while it is recorded; [`Error::Damaged`] if neither the tape's metadata nor
/// a segment that repeats it can be read; see [`Error`].
pub fn repair(path: &Path, progress: &mut dyn FnMut(Seq, Seq)) -> Result<Repaired, Error> {
    let found = format::look(path)?;
    let _lock = TapeLock::take(path, path, Purpose::Repairing)?;
    let mut verified = Verified::default();
    let metadata = match metadata::read(path)? {
        Some(metadata) => metadata,
        None => repair_metadata(path, &mut verified)?,
    };
    if matches!(found, format::Found::Damaged) {
        let file = path.join(layout::FORMAT);
        disk::replace(&file, format::render(FORMAT_VERSION).as_bytes())?;
        verified.damages.push(Damage::losing_nothing("FORMAT was not what was written"));
    }
    let base_lost = repair_base(path, &mut verified)?;
    let (known, noted) = match catalog::read(path) {
        Err(Error::Damaged { damage, .. }) => {
            verified.damages.push(*damage);
            let rebuilt = rebuild::catalog(path)?;
            verified.damages.extend(rebuilt.damages());
            // Before any segment is put aside: a repair that is killed then knows of it.
            catalog::write(path, &rebuilt.catalog)?;
            (rebuilt.catalog, rebuilt.noted)
        }
        catalog => (catalog?, Vec::new()),
    };
    let is_among = |gap: &Gap, gaps: &[Gap]| gaps.iter().any(|other| is_same(gap, other));
    let is_new = |gap: &Gap| is_among(gap, &noted) || !is_among(gap, &known.gaps);
    let durable = match watermark::read(path)? {
        watermark::Said::Next(next) => Some(next),
        watermark::Said::Nothing => None,
        watermark::Said::Damaged => {
            verified.damages.push(Damage::losing_nothing("durable was not what was written"));
            None
        }
    };
    let tape = Tape { path, metadata: &metadata };
    let mut repair = Repair {
        tape,
        catalog: Catalog { segments: Vec::new(), kinds: KindCounts::default(), ..known.clone() },
        damaged_logs: false,
    };
    repair.segments(&known, &mut verified, progress)?;
    repair.tail(&known, durable, &mut verified)?;
    let catalog = repair.finish()?;
    // What was recorded with the live end is no loss of now.
    let is_damage = |gap: &Gap| gap.cause == GapCause::Damaged;
    let gaps = catalog.gaps.into_iter().filter(|gap| is_damage(gap) && is_new(gap)).collect();
    Ok(Repaired { damages: verified.damages, gaps, base_lost })
}

fn repair_metadata(path: &Path, verified: &mut Verified) -> Result<Metadata, Error> {
    let what = "metadata is missing or not what was written";
    let Some(metadata) = rebuild::metadata(path)? else {
        let what = format!("{what}, and no segment repeats it");
        return Err(opening::damaged(path, &what, opening::all_events(path)));
    };
    disk::remove_file(&path.join(layout::METADATA))?;
    metadata::create(path, &metadata)?;
    disk::sync_dir(path)?;
    verified.damages.push(Damage::losing_nothing(what));
    Ok(metadata)
}

/// Puts a damaged base aside.
fn repair_base(path: &Path, verified: &mut Verified) -> Result<bool, Error> {
    let before = verified.damages.len();
    base::verify(path, &mut |damage| verified.damages.push(damage))?;
    let lost = verified.damages.len() > before;
    if lost {
        base::set_aside(path)?;
    }
    Ok(lost)
}

/// A repair under way.
struct Repair<'a> {
    tape: Tape<'a>,
    /// What is kept so far.
    catalog: Catalog,
    /// Whether what was not sealed is damaged.
    damaged_logs: bool,
}

impl Repair<'_> {
    /// Keeps sound segments, and what is sound of the others.
    fn segments(
        &mut self,
        known: &Catalog,
        verified: &mut Verified,
        progress: &mut dyn FnMut(Seq, Seq),
    ) -> Result<(), Error> {
        let path = self.tape.path;
        for listed in &known.segments {
            let before = verified.damages.len();
            let mut told = |seq| progress(seq, known.next);
            let metadata = Some(self.tape.metadata);
            let found = verify::segment(path, listed, metadata, verified, &mut told);
            let found = verified.note(found)?;
            if let Some((found, kinds)) = found.filter(|_| verified.damages.len() == before) {
                self.catalog.add_segment(found, &kinds);
                continue;
            }
            let mut found = vec![set_aside(path, listed)?];
            found.extend(left_over(path, known, &listed.events())?);
            self.keep(&found, listed.events())?;
        }
        let sound = verified.damages.is_empty();
        let counted = (&known.segments, self.catalog.kinds.agrees_with(&known.kinds));
        if sound && counted != (&self.catalog.segments, true) {
            verified.damages.push(verify::miscounted());
        }
        Ok(())
    }

    /// Keeps what of a range of events was found, and notes what was not.
    fn keep(&mut self, found: &[Salvage], events: Range<Seq>) -> Result<(), Error> {
        let mut next = events.start;
        while next < events.end {
            let follows = |salvage: &&Salvage| salvage.blocks().any(|found| found.first == next);
            if let Some(salvage) = found.iter().find(follows) {
                let run = salvage.run(next);
                let run = run.blocks.iter().take_while(|found| found.end <= events.end);
                let blocks: Vec<&Found> = run.collect();
                if let Some(last) = blocks.last() {
                    next = last.end;
                    let blocks = blocks.iter().map(|found| salvage.read(found));
                    let behind = (self.catalog.high(), self.catalog.gaps.as_slice());
                    let unfinished = layout::unfinished_merge(self.tape.path);
                    if let Some((listed, kinds)) = self.tape.write(blocks, behind, &unfinished)? {
                        self.catalog.add_segment(listed, &kinds);
                    }
                    continue;
                }
            }
            let behind = found.iter().flat_map(Salvage::blocks).map(|found| found.first);
            let behind = behind.filter(|first| *first > next).min();
            let at = behind.unwrap_or(events.end).min(events.end);
            self.catalog.add_gaps(&[lost(next, at)]);
            next = at;
        }
        Ok(())
    }

    /// Keeps what is not sealed. What was acknowledged ended at `durable`, if that is known.
    fn tail(
        &mut self,
        known: &Catalog,
        durable: Option<Seq>,
        verified: &mut Verified,
    ) -> Result<(), Error> {
        let path = self.tape.path;
        let logs = layout::logs(path)?.into_iter();
        let found = logs.map(|number| Salvage::of_dir(&layout::log(path, number)));
        let found = found.collect::<Result<Vec<_>, _>>()?;
        let (end, checkpoint) = match Tail::find(path, known) {
            Ok(tail) => (tail.end().unwrap_or(known.next), tail.checkpoint()),
            Err(Error::Damaged { damage, .. }) => {
                verified.damages.push(*damage);
                self.damaged_logs = true;
                // Behind what was acknowledged only what follows it without a hole counts: of an
                // append that was cut short any part may be there, and its events are no loss.
                let reach = durable.map(|durable| {
                    let from = durable.max(known.next);
                    found.iter().fold(from, |from, salvage| salvage.run(from).end)
                });
                let counts = |block: &&Found| reach.is_none_or(|reach| block.first < reach);
                let blocks = found.iter().flat_map(Salvage::blocks).filter(counts);
                let end = blocks.map(|block| block.end).max();
                let end = end.unwrap_or(known.next).max(known.next);
                let durable = durable.unwrap_or(known.next);
                // Only what says where the recording went on behind lost events lets it do so.
                let at = |seq| found.iter().find_map(|salvage| salvage.checkpoint_at(seq));
                match at(durable) {
                    Some(checkpoint) if end <= durable => (durable, Some(checkpoint)),
                    Some(_) | None => (end, at(end)),
                }
            }
            Err(error) => return Err(error),
        };
        for salvage in &found {
            let gaps = salvage.gaps_up_to(end).filter(|gap| gap.at >= known.next);
            self.catalog.add_gaps(&gaps.cloned().collect::<Vec<_>>());
        }
        // What a repair that was killed has sealed is behind it.
        let is_sealed =
            |end: &Checkpoint| end.next < known.next || known.checkpoint().as_ref() == Some(end);
        let mut missed = found.iter().filter_map(Salvage::misses_gaps);
        if missed.any(|end| !is_sealed(end)) {
            // Where it was nobody knows any more: before all that is not sealed.
            self.catalog.add_gaps(&[lost(known.next, known.next)]);
        }
        self.keep(&found, known.next..end)?;
        self.catalog.next = end;
        if let Some(checkpoint) = checkpoint {
            self.catalog.token = Some(checkpoint.token);
        }
        Ok(())
    }

    /// Makes what is kept the tape.
    fn finish(self) -> Result<Catalog, Error> {
        let (path, mut catalog) = (self.tape.path, self.catalog);
        if let (None, Some(last)) = (&catalog.token, catalog.segments.last()) {
            // Catalog and end of the last segment are gone: what was behind it nobody knows.
            catalog.token = Some(last.open_existing(path)?.totals()?.token);
            catalog.next = last.end;
            catalog.gaps.retain(|gap| gap.at <= last.end);
        }
        catalog.gaps.sort_by_key(|gap| gap.at);
        tell_edges(path, &mut catalog)?;
        catalog::write(path, &catalog)?;
        if self.damaged_logs {
            for number in layout::logs(path)? {
                let log = layout::log(path, number);
                let aside = layout::set_aside(&log);
                disk::remove_tree(&aside)?;
                disk::rename(&log, &aside)?;
            }
        }
        disk::replace(&path.join(layout::DURABLE), &watermark::encode(catalog.next))?;
        opening::tidy(path, &catalog)?;
        Ok(catalog)
    }
}

/// Says of each gap where events were lost what is known on either side of it.
fn tell_edges(path: &Path, catalog: &mut Catalog) -> Result<(), Error> {
    let Catalog { segments, gaps, token, .. } = catalog;
    let untold = |gap: &&mut Gap| {
        let edges = [&gap.before, &gap.after];
        gap.cause == GapCause::Damaged && edges.iter().all(|edge| **edge == Edge::default())
    };
    for gap in gaps.iter_mut().filter(untold) {
        // It lies between segments, which have no holes; another may adjoin it.
        if let Some(before) = segments.iter().rfind(|listed| listed.end <= gap.first()) {
            gap.before = Edge::at(before.open_existing(path)?.totals()?.token);
        }
        if let Some(behind) = segments.iter().find(|listed| listed.first >= gap.at) {
            gap.after = first_event(path, &behind.open_existing(path)?)?;
        } else {
            gap.after = token.clone().map(Edge::at).unwrap_or_default();
        }
    }
    Ok(())
}

/// Where a segment's first event lies in the stream.
fn first_event(path: &Path, segment: &Segment) -> Result<Edge, Error> {
    let index = segment.index()?;
    let mut decoder = Decoder::new().map_err(Error::io("read", path))?;
    let block = index.0.first().map(|entry| segment.block(entry, &mut decoder)).transpose()?;
    let event = block.as_ref().and_then(|block| block.events().next());
    Ok(event.map_or_else(Edge::default, |recorded| {
        let event = recorded.event;
        let time = event.cluster_time().ok().flatten();
        Edge { token: event.token().ok(), time }
    }))
}

/// Whether two gaps are the same one, whatever is known of its sides.
fn is_same(one: &Gap, other: &Gap) -> bool {
    (one.at, one.places, one.cause) == (other.at, other.places, other.cause)
}

/// Looks through segments that the catalog does not list, and that hold events of a range: what
/// was merged into a damaged one may not have been removed yet.
fn left_over(path: &Path, known: &Catalog, events: &Range<Seq>) -> Result<Vec<Salvage>, Error> {
    let is_listed = |file: &Path| {
        known.segments.iter().any(|listed| layout::segment(path, &listed.events()) == file)
    };
    let overlaps = |file: &PathBuf| {
        let held = layout::events_of(file).filter(|_| file.extension() == Some(SEALED.as_ref()));
        held.is_some_and(|held| held.start < events.end && events.start < held.end)
    };
    let left_over = layout::unlisted(path, is_listed)?.into_iter();
    left_over.filter(overlaps).map(|file| Salvage::of_file(&file)).collect()
}

/// Gives a damaged segment a name under which nothing reads it, and looks through it. A repair
/// that was killed may have done the first already.
fn set_aside(path: &Path, listed: &Listed) -> Result<Salvage, Error> {
    let file = layout::segment(path, &listed.events());
    let aside = layout::set_aside(&file);
    if file.exists() {
        disk::rename(&file, &aside)?;
    }
    if aside.exists() { Salvage::of_file(&aside) } else { Ok(Salvage::default()) }
}

#[cfg(test)]
mod tests;
