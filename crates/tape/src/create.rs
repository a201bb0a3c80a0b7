//! Making a tape.
//!
//! It is put together beside its place, under a name that begins with a dot, made durable,
//! and renamed: so there is a whole tape or none, whenever the process is killed. What a
//! killed one left is removed by the next that makes a tape of the name.

use std::fs;
use std::io;
use std::path::Path;

use changetape_core::Seq;

use crate::format::{self, FORMAT_VERSION};
use crate::lock::{Purpose, TapeLock};
use crate::log::Log;
use crate::opening::{End, Opened};
use crate::{Error, Metadata, disk, layout, metadata, watermark};

/// Makes an empty tape at `path` and opens it for recording.
pub(crate) fn create(path: &Path, metadata: Metadata) -> Result<Opened, Error> {
    refuse_what_is_there(path)?;
    let new = layout::creating(path);
    let lock = make_dir(&new, path)?;
    metadata::create(&new, &metadata)?;
    disk::write_new(&new.join(layout::DURABLE), &watermark::encode(Seq::ZERO))?;
    let log = Log::create(&new.join(layout::LOG))?;
    log.sync()?;
    // sled remembers paths, so it is opened again under the final one.
    log.close()?;
    disk::write_new(&new.join(layout::FORMAT), format::render(FORMAT_VERSION).as_bytes())?;
    disk::sync_dir(&new)?;
    refuse_what_is_there(path)?;
    fs::rename(&new, path).map_err(Error::io("create", path))?;
    disk::sync_dir(layout::parent(path))?;
    let log = Log::open(&path.join(layout::LOG))?;
    log.sync()?;
    Ok(Opened { path: path.to_owned(), metadata, end: End::default(), log, lock })
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
    match fs::create_dir(new) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // Someone makes it right now, or was killed over it: the lock tells.
            let _lock = TapeLock::take(new, path, Purpose::Recording)?;
            disk::remove_tree(new)?;
            fs::create_dir(new).map_err(Error::io("create", new))?;
        }
        Err(error) => return Err(Error::io("create", path)(error)),
    }
    TapeLock::take(new, path, Purpose::Recording)
}
