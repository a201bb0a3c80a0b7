//! Making a tape.
//!
//! It is put together beside its place, under a name that begins with a dot, made durable,
//! and renamed: so there is a whole tape or none, whenever the process is killed. What a
//! killed one left is removed by the next that makes a tape of the name.

use std::fs;
use std::io;
use std::path::Path;

use changetape_core::Seq;

use crate::catalog::{self, Catalog};
use crate::format::{self, FORMAT_VERSION};
use crate::lock::{Purpose, TapeLock};
use crate::opening::Opened;
use crate::{Error, Metadata, disk, layout, metadata, watermark};

/// Makes an empty tape at `path` and opens it for recording.
pub(crate) fn create(path: &Path, metadata: Metadata) -> Result<Opened, Error> {
    refuse_what_is_there(path)?;
    let new = layout::creating(path);
    let lock = make_dir(&new, path)?;
    let catalog = Catalog::default();
    metadata::create(&new, &metadata)?;
    disk::write_new(&new.join(layout::DURABLE), &watermark::encode(Seq::ZERO))?;
    catalog::write(&new, &catalog)?;
    disk::create_dir(&new.join(layout::LOG))?;
    disk::create_dir(&new.join(layout::SEGMENTS))?;
    disk::write_new(&new.join(layout::FORMAT), format::render(FORMAT_VERSION).as_bytes())?;
    disk::sync_dir(&new)?;
    refuse_what_is_there(path)?;
    disk::rename(&new, path)?;
    Ok(Opened { path: path.to_owned(), metadata, catalog, lock })
}

fn refuse_what_is_there(path: &Path) -> Result<(), Error> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("create", path)(error)),
        Ok(_) if format::tape_exists(path) => "there is a tape already",
        Ok(metadata) if metadata.is_dir() => "there is a directory that is not a tape",
        Ok(_) => "there is a file",
    };
    Err(Error::Exists { path: path.to_owned(), found })
}

/// Makes the directory in which the tape is put together, and locks it.
fn make_dir(new: &Path, path: &Path) -> Result<TapeLock, Error> {
    if new.exists() {
        // Someone makes it right now, or was killed over it: the lock tells.
        let _lock = TapeLock::take(new, path, Purpose::Recording)?;
        disk::remove_tree(new)?;
    }
    disk::create_dir(new)?;
    TapeLock::take(new, path, Purpose::Recording)
}
