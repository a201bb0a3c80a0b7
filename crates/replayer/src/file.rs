//! Files that a replay writes.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;

use crate::Error;

/// Whether a file that is there already may be replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// It is left alone, and the replay refused.
    #[default]
    Never,
    /// It is emptied first.
    Always,
}

/// Creates a file to write.
///
/// # Errors
/// [`Error::FileExists`], or [`Error::Write`] if it cannot be created.
pub(crate) fn create(path: &Path, overwrite: Overwrite) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    match overwrite {
        Overwrite::Never => options.write(true).create_new(true),
        Overwrite::Always => options.write(true).create(true).truncate(true),
    };
    options.open(path).map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => Error::FileExists { path: path.to_owned() },
        _ => Error::Write { to: path.display().to_string(), source },
    })
}
