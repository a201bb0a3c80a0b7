//! Names of the files in a tape's directory.
//!
//! ```text
//! orders.tape/
//!   FORMAT      what this is and in which version; read before anything else
//!   metadata    what is recorded from where, and how
//!   lock        held by the process that has the tape open; says who
//!   durable     the watermark: one past the last event that was acknowledged
//!   catalog     which segments there are, gaps, and where the recording continues after them
//!   base        documents as they were before the first event; only where one was taken
//!   segments/   sealed events, in files that never change
//!   log/        the live end, not sealed yet: sled databases of blocks and checkpoints
//! ```
//! A segment is named by its events, in 20 digits, so that names sort as events do:
//! `segments/<first>-<end>.seg`. A log is numbered.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use changetape_core::Seq;

use crate::Error;

pub(crate) const FORMAT: &str = "FORMAT";
pub(crate) const METADATA: &str = "metadata";
pub(crate) const LOCK: &str = "lock";
pub(crate) const DURABLE: &str = "durable";
pub(crate) const CATALOG: &str = "catalog";
pub(crate) const BASE: &str = "base";
pub(crate) const SEGMENTS: &str = "segments";
pub(crate) const LOG: &str = "log";

/// The database file of a log. sled's own name for it.
pub(crate) const DB: &str = "db";
/// The directory of a log for what is too large for the database file. sled's own name.
pub(crate) const BLOBS: &str = "blobs";

/// How the name of a sealed segment ends.
pub(crate) const SEALED: &str = "seg";
/// How the name of one that is being written ends.
const UNFINISHED: &str = "new";

/// How the name of what was found damaged ends, and is kept though nothing reads it.
const SET_ASIDE: &str = "damaged";

/// A sealed segment.
pub(crate) fn segment(tape: &Path, events: &Range<Seq>) -> PathBuf {
    let (first, end) = (events.start.get(), events.end.get());
    tape.join(SEGMENTS).join(format!("{first:020}-{end:020}.{SEALED}"))
}

/// The events that a sealed segment holds by its name.
pub(crate) fn events_of(segment: &Path) -> Option<Range<Seq>> {
    let (first, end) = segment.file_stem()?.to_str()?.split_once('-')?;
    let (first, end) = (first.parse().ok()?, end.parse().ok()?);
    (first < end).then(|| Seq::new(first)..Seq::new(end))
}

/// The name that a damaged segment or base gets when a tape is repaired.
pub(crate) fn set_aside(file: &Path) -> PathBuf {
    file.with_extension(SET_ASIDE)
}

/// Where a base is written.
pub(crate) fn unfinished_base(tape: &Path) -> PathBuf {
    tape.join(BASE).with_extension(UNFINISHED)
}

/// Where the segment is written that a log becomes. Room is set aside in it while the log grows.
pub(crate) fn unfinished_segment(tape: &Path, number: LogNumber) -> PathBuf {
    tape.join(SEGMENTS).join(format!("{number}.{UNFINISHED}"))
}

/// Where segments are merged.
pub(crate) fn unfinished_merge(tape: &Path) -> PathBuf {
    tape.join(SEGMENTS).join(format!("merge.{UNFINISHED}"))
}

/// Logs are numbered in the order in which they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LogNumber(pub(crate) u64);

impl LogNumber {
    pub(crate) const FIRST: Self = Self(1);

    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The number of the log with this name.
    fn of(name: &str) -> Option<Self> {
        let number = Self(name.parse().ok()?);
        (number.to_string() == name).then_some(number)
    }
}

impl fmt::Display for LogNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}", self.0)
    }
}

/// A log.
pub(crate) fn log(tape: &Path, number: LogNumber) -> PathBuf {
    tape.join(LOG).join(number.to_string())
}

/// The logs of a tape, in order.
pub(crate) fn logs(tape: &Path) -> Result<Vec<LogNumber>, Error> {
    let mut numbers =
        names(&tape.join(LOG))?.iter().filter_map(|name| LogNumber::of(name)).collect::<Vec<_>>();
    numbers.sort_unstable();
    Ok(numbers)
}

/// What lies in `segments/` that no catalog lists: what a killed process was writing, or had not
/// removed yet.
pub(crate) fn unlisted(tape: &Path, listed: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, Error> {
    let dir = tape.join(SEGMENTS);
    let paths = names(&dir)?.into_iter().map(|name| dir.join(name));
    let ours =
        |path: &PathBuf| path.extension().is_some_and(|end| end == SEALED || end == UNFINISHED);
    Ok(paths.filter(|path| ours(path) && !listed(path)).collect())
}

/// The names in a directory; none if it is not there.
fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::io("list", dir))?,
    };
    let name = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.map_err(Error::io("list", dir))?;
        Ok(entry.file_name().to_string_lossy().into_owned())
    };
    entries.map(name).collect()
}

/// The directory that holds a directory entry; `.` for a bare name.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Where a tape is put together before it appears under its name.
pub(crate) fn creating(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".creating");
    parent(path).join(name)
}
