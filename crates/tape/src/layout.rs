//! Names of the files in a tape's directory.
//!
//! ```text
//! orders.tape/
//!   FORMAT      what this is and in which version; read before anything else
//!   metadata    what is recorded from where, and how
//!   lock        held by the process that has the tape open; says who
//!   durable     the watermark: one past the last event that was acknowledged
//!   closed      only while closed cleanly: lengths and checksums of the files in log/
//!   log/        the live end, a sled database: blocks and checkpoint
//!   rehearsal/  only while a crashed tape is being opened: a copy of log/
//! ```

use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub(crate) const FORMAT: &str = "FORMAT";
pub(crate) const METADATA: &str = "metadata";
pub(crate) const LOCK: &str = "lock";
pub(crate) const DURABLE: &str = "durable";
pub(crate) const CLOSED: &str = "closed";
pub(crate) const LOG: &str = "log";
pub(crate) const REHEARSAL: &str = "rehearsal";

/// The database file, in [`LOG`]. sled's own name for it.
pub(crate) const DB: &str = "db";
/// The directory, in [`LOG`], of what is too large for the database file. sled's own name.
pub(crate) const BLOBS: &str = "blobs";

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
