//! Opening a tape: closed cleanly, crashed or damaged.
//!
//! | `closed` | `log/` | verdict |
//! | --- | --- | --- |
//! | there | as it says | closed cleanly: sled opens it and changes nothing |
//! | there | differs | damaged: sled never sees it |
//! | not there | sled recovers a copy of it, in order and up to the watermark | crashed: sled recovers it in place |
//! | not there | anything else | damaged: only the copy was changed |
//!
//! sled repairs what it opens and takes a cut log for one that ended there, so whether a log
//! crashed or was damaged is found out on a copy (in `rehearsal/`), and a damaged tape stays
//! as it was found. What it still holds is found without sled: see `survey`.
//!
//! In order means: the blocks follow one another from the first event without a hole, the
//! last one ends where the checkpoint continues, and not before the watermark.

use std::fs;
use std::path::{Path, PathBuf};

use changetape_core::Seq;

use crate::block::{BlockError, Header, High};
use crate::closed::{self, Closed};
use crate::format::{self, Found};
use crate::lock::{Purpose, TapeLock};
use crate::log::Log;
use crate::survey::Survey;
use crate::watermark;
use crate::{Checkpoint, Damage, Error, Metadata, disk, layout, metadata};

/// A crashed log larger than this is recovered in place: copying it would take long, and as
/// much room again. The live end is to stay well below it.
const MAX_REHEARSAL_LEN: u64 = 1 << 30;

/// How often a log is opened and closed until that changes nothing.
const MAX_SETTLING: usize = 6;

/// A tape whose log is open.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) path: PathBuf,
    pub(crate) metadata: Metadata,
    pub(crate) end: End,
    pub(crate) log: Log,
    // Dropped last: whoever gets the lock next finds the log closed.
    pub(crate) lock: TapeLock,
}

/// Where a tape ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) high: High,
}

impl End {
    pub(crate) fn next(&self) -> Seq {
        self.checkpoint.as_ref().map_or(Seq::ZERO, |checkpoint| checkpoint.next)
    }
}

impl Metadata {
    /// What the tape at `path` was recorded from and how. Its log is not opened: nothing is
    /// changed, and another process may have the tape open.
    ///
    /// # Errors
    /// As opening it: if there is no tape, one of a newer version, or a damaged one.
    pub fn read(path: &Path) -> Result<Self, Error> {
        if matches!(format::look(path)?, Found::Damaged) {
            return Err(damaged(path, "FORMAT is not what was written".into()));
        }
        let missing = || damaged(path, "metadata is missing or not what was written".into());
        metadata::read(path)?.ok_or_else(missing)
    }
}

/// Opens the tape at `path`.
pub(crate) fn open(path: &Path, purpose: Purpose) -> Result<Opened, Error> {
    format::look(path)?;
    let lock = TapeLock::take(path, path, purpose)?;
    disk::remove_tree(&path.join(layout::REHEARSAL))?;
    let metadata = Metadata::read(path)?;
    let durable = match watermark::read(path)? {
        watermark::Said::Next(next) => next,
        watermark::Said::Nothing => Seq::ZERO,
        watermark::Said::Damaged => {
            return Err(damaged(path, "durable is not what was written".into()));
        }
    };
    let closed = closed::read(path)?;
    let mut rehearsed = true;
    match &closed {
        closed::Said::Cleanly(closed) => {
            if let Some(difference) = closed.difference(path)? {
                return Err(damaged(path, difference));
            }
        }
        closed::Said::Nothing => rehearsed = rehearse(path, durable)?,
        closed::Said::Damaged => {
            return Err(damaged(path, "closed is not what was written".into()));
        }
    }
    let opened = open_log(path, purpose, closed == closed::Said::Nothing, durable);
    let (log, end) = opened.map_err(|error| if rehearsed { error } else { error.changed() })?;
    Ok(Opened { path: path.to_owned(), metadata, end, log, lock })
}

/// Opens a log that is sound: sled may now change it.
fn open_log(
    path: &Path,
    purpose: Purpose,
    crashed: bool,
    durable: Seq,
) -> Result<(Log, End), Error> {
    let dir = path.join(layout::LOG);
    match purpose {
        Purpose::Recording => closed::remove(path)?,
        // A recovered log is settled before it is read, so that the next to open it can tell
        // that nothing happened to it.
        Purpose::Reading if crashed => {
            let log = Log::open(&dir)?;
            let end = check_end(path, &log)?;
            log.close()?;
            settle(path, end.next())?;
        }
        Purpose::Reading => {}
    }
    let log = Log::open(&dir)?;
    let end = check_end(path, &log)?;
    if end.next() < durable {
        return Err(damaged(path, cut_short(end.next(), durable)));
    }
    if purpose == Purpose::Recording {
        // What was found is about to be built upon.
        log.sync()?;
    }
    Ok((log, end))
}

/// Writes `closed` for a log that was closed, once opening it changes nothing any more: sled
/// writes a snapshot when it opens a log that grew, splits pages when it reads them, and pads
/// its file. A log that does not come to rest is left to be recovered next time.
pub(crate) fn settle(path: &Path, next: Seq) -> Result<(), Error> {
    let mut before = None;
    for _ in 0..MAX_SETTLING {
        let log = Log::open(&path.join(layout::LOG))?;
        log.checkpoint()?;
        for block in log.blocks_from(Seq::ZERO) {
            block?;
        }
        log.close()?;
        let now = Closed::of(path, next)?;
        if before.as_ref() == Some(&now) {
            return now.write(path);
        }
        before = Some(now);
    }
    Ok(())
}

/// Finds out on a copy whether sled recovers the log, and in order; `false` if the log is too
/// large for that.
fn rehearse(path: &Path, durable: Seq) -> Result<bool, Error> {
    let log = path.join(layout::LOG);
    if !log.join(layout::DB).is_file() {
        return Err(damaged(path, "log/db is missing".into()));
    }
    let files = disk::files(&log)?;
    let mut len = 0;
    for name in &files {
        let file = log.join(name);
        len += fs::metadata(&file).map_err(Error::io("open", &file))?.len();
    }
    if len > MAX_REHEARSAL_LEN {
        return Ok(false);
    }
    let copy = path.join(layout::REHEARSAL);
    let verdict = copy_files(&log, &files, &copy).and_then(|()| {
        let log = Log::open(&copy)?;
        let end = check_all(path, &log)?;
        log.close()?;
        Ok(end.next())
    });
    disk::remove_tree(&copy)?;
    match verdict {
        Ok(next) if next < durable => Err(damaged(path, cut_short(next, durable))),
        Ok(_) => Ok(true),
        Err(Error::Log { source, .. }) => {
            Err(damaged(path, format!("the log cannot be recovered ({source})")))
        }
        Err(error) => Err(error),
    }
}

fn copy_files(from: &Path, files: &[String], to: &Path) -> Result<(), Error> {
    let blobs = to.join(layout::BLOBS);
    fs::create_dir_all(&blobs).map_err(Error::io("create", &blobs))?;
    for name in files {
        let copy = to.join(name);
        fs::copy(from.join(name), &copy).map_err(Error::io("copy the log to", &copy))?;
    }
    Ok(())
}

fn cut_short(next: Seq, durable: Seq) -> String {
    let last = Seq::new(durable.get().saturating_sub(1));
    format!("events {next} to {last} were durable and are gone from log/")
}

/// Checks what every opening checks: that the last block ends where the checkpoint continues.
fn check_end(path: &Path, log: &Log) -> Result<End, Error> {
    let checkpoint = match log.checkpoint()? {
        Some(bytes) => match Checkpoint::decode(&bytes) {
            Some(checkpoint) => Some(checkpoint),
            None => return Err(damaged(path, "the checkpoint is not what was written".into())),
        },
        None => None,
    };
    let last = match log.last_block()? {
        Some((key, bytes)) => Some(check_header(path, key, &bytes)?),
        None => None,
    };
    let end = End { checkpoint, high: last.as_ref().map(|last| last.high).unwrap_or_default() };
    let blocks_end = last.as_ref().map_or(Seq::ZERO, Header::end);
    if end.next() != blocks_end {
        let what = format!("the blocks end at {blocks_end}, the checkpoint at {}", end.next());
        return Err(damaged(path, what));
    }
    Ok(end)
}

/// Checks also that the blocks follow one another.
fn check_all(path: &Path, log: &Log) -> Result<End, Error> {
    let mut next = Seq::ZERO;
    for block in log.blocks_from(Seq::ZERO) {
        let (key, bytes) = block?;
        let header = check_header(path, key, &bytes)?;
        if header.first != next {
            let what = format!("after {next} the log continues at {}", header.first);
            return Err(damaged(path, what));
        }
        next = header.end();
    }
    check_end(path, log)
}

fn check_header(path: &Path, key: Seq, bytes: &[u8]) -> Result<Header, Error> {
    match Header::decode(bytes) {
        Ok(header) if header.first == key => Ok(header),
        Ok(header) => {
            let what = format!("the block of {key} says that it begins at {}", header.first);
            Err(damaged(path, what))
        }
        Err(error) => Err(block_error(path, key, &error)),
    }
}

/// The error for a block that cannot be read.
pub(crate) fn block_error(path: &Path, key: Seq, error: &BlockError) -> Error {
    match error {
        BlockError::TooNew { found } => Error::TooNew {
            path: path.to_owned(),
            what: "block",
            found: (*found).into(),
            supported: crate::block::VERSION.into(),
        },
        error => damaged(path, format!("the block at {key}: {error}")),
    }
}

/// The error for a damaged tape: what is wrong, and what the tape still holds; or what keeps
/// us from finding that out.
pub(crate) fn damaged(path: &Path, what: String) -> Error {
    match (Survey::of(path), watermark::read(path), closed::read(path)) {
        (Ok(survey), Ok(watermark), Ok(closed)) => {
            let mut end = survey.end();
            if let watermark::Said::Next(durable) = watermark {
                end = end.max(durable);
            }
            if let closed::Said::Cleanly(closed) = closed {
                end = end.max(closed.next);
            }
            let from = survey.first_missing(Seq::ZERO);
            Error::damaged(path, Damage { what, from, end, changed: false })
        }
        (Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error)) => error,
    }
}

#[cfg(test)]
mod tests;
