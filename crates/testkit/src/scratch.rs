//! Directories for what is thrown away.

use std::io;

use tempfile::TempDir;

/// A directory in memory where there is one, so that syncing costs nothing: for where no power is
/// lost.
///
/// # Errors
/// What the system says.
pub fn in_memory_dir() -> io::Result<TempDir> {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())
}
