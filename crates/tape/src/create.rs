//! Making a tape.
//!
//! It is put together beside its place, under a name that begins with a dot, made durable,
//! and renamed: so there is a whole tape or none, whenever the process is killed. What a
//! killed one left is removed by the next that makes a tape of the name. A base, which takes
//! its time, is taken there: a tape that is to have one appears with it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use changetape_core::{ClusterTime, Seq, WallTime};

use crate::catalog::{self, Catalog};
use crate::format::{self, FORMAT_VERSION};
use crate::lock::{Purpose, TapeLock};
use crate::opening::Opened;
use crate::{
    BaseWriter, Error, Metadata, TapeOptions, TapeWriter, disk, layout, metadata, watermark,
};

/// Makes an empty tape at `path` and opens it for recording.
pub(crate) fn create(path: &Path, metadata: Metadata) -> Result<Opened, Error> {
    TapeDraft::begin(path)?.put_in_place(metadata)
}

/// A tape that is being made, and is not there yet: where a base is taken. Dropped without
/// [`finish`](Self::finish) nothing is left of it.
#[derive(Debug)]
pub struct TapeDraft {
    path: PathBuf,
    new: Unfinished,
    // Dropped last: whoever gets the lock next finds nothing half removed.
    lock: TapeLock,
}

/// The directory in which a tape is put together, until it has got its name.
#[derive(Debug)]
struct Unfinished {
    path: PathBuf,
    named: bool,
}

impl TapeDraft {
    /// Begins a tape that will be at `path`. Until it is there nobody else can make one.
    ///
    /// # Errors
    /// [`Error::Exists`] if anything is there already; [`Error::InUse`] if another process is
    /// making it; see [`Error`].
    pub fn begin(path: &Path) -> Result<Self, Error> {
        refuse_what_is_there(path)?;
        let new = layout::creating(path);
        let lock = make_dir(&new, path)?;
        Ok(Self { path: path.to_owned(), new: Unfinished { path: new, named: false }, lock })
    }

    /// Begins the tape's base, which holds what there was at a cluster time; in place of one
    /// that was begun before.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn begin_base(&self, time: ClusterTime, taken: WallTime) -> Result<BaseWriter, Error> {
        BaseWriter::begin(&self.new.path, time, taken)
    }

    /// Puts the tape in place, with its base if one was finished, and opens it for recording.
    ///
    /// # Errors
    /// [`Error::Exists`] if anything has come to be there; see [`Error`].
    pub fn finish(self, metadata: Metadata, options: TapeOptions) -> Result<TapeWriter, Error> {
        TapeWriter::new(self.put_in_place(metadata)?, options)
    }

    fn put_in_place(self, metadata: Metadata) -> Result<Opened, Error> {
        let Self { path, new: mut unfinished, lock } = self;
        let new = &unfinished.path;
        let catalog = Catalog::default();
        metadata::create(new, &metadata)?;
        disk::write_new(&new.join(layout::DURABLE), &watermark::encode(Seq::ZERO))?;
        catalog::write(new, &catalog)?;
        disk::create_dir(&new.join(layout::LOG))?;
        disk::create_dir(&new.join(layout::SEGMENTS))?;
        disk::write_new(&new.join(layout::FORMAT), format::render(FORMAT_VERSION).as_bytes())?;
        disk::sync_dir(new)?;
        refuse_what_is_there(&path)?;
        disk::rename(new, &path)?;
        unfinished.named = true;
        Ok(Opened { path, metadata, catalog, lock })
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.named {
            // Whoever makes a tape of the name next removes it otherwise.
            let _ = disk::remove_tree(&self.path);
        }
    }
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
