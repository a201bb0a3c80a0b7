//! Opening a tape: what is sealed is listed in its catalog; what is not is sealed first.
//!
//! | `log/` | verdict |
//! | --- | --- |
//! | empty, or only logs whose blocks are all sealed | closed cleanly |
//! | blocks follow one another from the catalog's end on, as far as the watermark | not closed: they are sealed |
//! | anything else | damaged: nothing is changed |
//!
//! Only the files' own bytes are asked, never sled: see `salvage`. Nothing is written before
//! everything has been found.

use std::ops::Range;
use std::path::{Path, PathBuf};

use changetape_core::Seq;

use crate::catalog::{self, Catalog};
use crate::format::{self, Found};
use crate::layout::LogNumber;
use crate::lock::{Purpose, TapeLock};
use crate::salvage::{Run, Salvage};
use crate::seal::Tape;
use crate::{Checkpoint, Damage, Error, Gap, Metadata, disk, layout, metadata, watermark};

/// A tape whose lock is held, and of which everything is sealed.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) path: PathBuf,
    pub(crate) metadata: Metadata,
    pub(crate) catalog: Catalog,
    pub(crate) lock: TapeLock,
}

impl Metadata {
    /// What the tape at `path` was recorded from and how. Nothing is changed, and another
    /// process may have the tape open.
    ///
    /// # Errors
    /// As opening it: if there is no tape, one of a newer version, or a damaged one.
    pub fn read(path: &Path) -> Result<Self, Error> {
        if matches!(format::look(path)?, Found::Damaged) {
            return Err(damaged(path, "FORMAT is not what was written", all_events(path)));
        }
        let what = "metadata is missing or not what was written";
        metadata::read(path)?.ok_or_else(|| damaged(path, what, all_events(path)))
    }
}

/// All events of a tape, for where it cannot be opened; `None` if what is left does not say.
pub(crate) fn all_events(path: &Path) -> Option<Range<Seq>> {
    let catalog = catalog::read(path).ok()?;
    let durable = acknowledged(path).ok()?;
    Some(catalog.start()..catalog.next.max(durable))
}

/// Opens the tape at `path` for recording.
pub(crate) fn open(path: &Path) -> Result<Opened, Error> {
    format::look(path)?;
    let lock = TapeLock::take_soon(path, Purpose::Recording)?;
    disk::ensure_dir(&path.join(layout::LOG))?;
    disk::ensure_dir(&path.join(layout::SEGMENTS))?;
    let metadata = Metadata::read(path)?;
    let catalog = recover(path, &metadata)?;
    // Footers only: a recording need not read a tape of weeks before it goes on.
    for listed in &catalog.segments {
        listed.open_existing(path)?;
    }
    Ok(Opened { path: path.to_owned(), metadata, catalog, lock })
}

/// Seals what is not sealed yet, and removes what is left over. The caller has the lock.
pub(crate) fn recover(path: &Path, metadata: &Metadata) -> Result<Catalog, Error> {
    let mut catalog = catalog::read(path)?;
    let tail = Tail::find(path, &catalog)?;
    let tape = Tape { path, metadata };
    for (number, salvage, run) in &tail.logs {
        let unfinished = layout::unfinished_segment(path, *number);
        catalog.add_gaps(&run.gaps);
        let behind = (catalog.high(), catalog.gaps.as_slice());
        let sealed = tape.seal((salvage, run), run.end, behind, &unfinished)?;
        if let Some((listed, kinds)) = sealed {
            catalog.add_segment(listed, &kinds);
        }
    }
    if let Some(Checkpoint { token, next }) = tail.checkpoint() {
        (catalog.token, catalog.next) = (Some(token), next);
        catalog::write(path, &catalog)?;
    }
    tidy(path, &catalog)?;
    Ok(catalog)
}

/// Removes logs, which are sealed, and what lies in `segments/` without being listed.
pub(crate) fn tidy(path: &Path, catalog: &Catalog) -> Result<(), Error> {
    for number in layout::logs(path)? {
        disk::remove_tree(&layout::log(path, number))?;
    }
    let listed: Vec<PathBuf> =
        catalog.segments.iter().map(|listed| layout::segment(path, &listed.events())).collect();
    for left_over in layout::unlisted(path, |path| listed.iter().any(|listed| listed == path))? {
        disk::remove_file(&left_over)?;
    }
    Ok(())
}

/// What of a tape is not sealed.
pub(crate) struct Tail {
    /// The logs that hold something which is not, each with what it holds.
    logs: Vec<(LogNumber, Salvage, Run)>,
}

impl Tail {
    /// Looks for the tail behind a catalog.
    ///
    /// # Errors
    /// [`Error::Damaged`] if events are gone that were durable.
    pub(crate) fn find(path: &Path, catalog: &Catalog) -> Result<Self, Error> {
        // Blocks beyond a hole are no evidence: of what was not durable, any part may survive.
        let durable = acknowledged(path)?;
        let mut next = catalog.next;
        let mut logs = Vec::new();
        for number in layout::logs(path)? {
            let salvage = Salvage::of_dir(&layout::log(path, number))?;
            let run = salvage.run(next);
            next = run.end;
            if run.gaps_missing {
                let what = "a gap is noted in log/, and its record is not what was written";
                return Err(damaged(path, what, Some(next..next)));
            }
            if !run.blocks.is_empty() || run.checkpoint.is_some() {
                logs.push((number, salvage, run));
            }
        }
        check_reaches(path, next, durable)?;
        Ok(Self { logs })
    }

    /// Where the recording continues after it; `None` if there is nothing.
    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        let (_, salvage, run) = self.logs.last()?;
        // Where no checkpoint fits, the stream goes on after the last event.
        run.checkpoint.clone().or_else(|| salvage.checkpoint_at(run.end))
    }

    /// One past its last event; `None` if there is nothing.
    pub(crate) fn end(&self) -> Option<Seq> {
        self.logs.last().map(|(_, _, run)| run.end)
    }

    /// How many events it holds.
    pub(crate) fn events(&self) -> u64 {
        let blocks = self.logs.iter().flat_map(|(_, _, run)| &run.blocks);
        blocks.map(|found| found.end.since(found.first)).sum()
    }

    /// The gaps in it.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = &Gap> {
        self.logs.iter().flat_map(|(_, _, run)| &run.gaps)
    }
}

/// One past the last event that is known to have been durable.
pub(crate) fn acknowledged(path: &Path) -> Result<Seq, Error> {
    match watermark::read(path)? {
        watermark::Said::Next(next) => Ok(next),
        watermark::Said::Nothing => Ok(Seq::ZERO),
        watermark::Said::Damaged => {
            Err(Error::damaged(path, Damage::losing_nothing("durable is not what was written")))
        }
    }
}

/// Checks, without the lock of a tape that had no log, that the catalog read since has everything
/// that was durable. `false` if others record meanwhile, or have recorded: both are to be looked at
/// again.
pub(crate) fn is_closed(path: &Path, catalog: &Catalog) -> Result<bool, Error> {
    let durable = acknowledged(path)?;
    if durable > catalog.next {
        // The catalog comes last: what is not in a log any more is in it by then.
        let has_logs = !layout::logs(path)?.is_empty();
        let has_changed = match catalog::read(path) {
            Err(Error::Damaged { .. }) => false,
            now => now? != *catalog,
        };
        if has_logs || has_changed {
            return Ok(false);
        }
    }
    check_reaches(path, catalog.next, durable).map(|()| true)
}

/// Checks that a tape that ends at `next` has everything that was durable.
pub(crate) fn check_reaches(path: &Path, next: Seq, durable: Seq) -> Result<(), Error> {
    if next >= durable {
        return Ok(());
    }
    let last = Seq::new(durable.get() - 1);
    let what = format!("events {next} to {last} were durable and are gone");
    Err(damaged(path, &what, Some(next..durable)))
}

/// The error for a damaged tape.
pub(crate) fn damaged(path: &Path, what: &str, events: Option<Range<Seq>>) -> Error {
    Error::damaged(path, Damage::of(what.to_owned(), events))
}

#[cfg(test)]
mod tests;
