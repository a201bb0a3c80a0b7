//! Changes to files and directories that outlive a power loss.
//!
//! A file's data is durable once the file is synced, its name once the directory is. Every
//! change to a tape's directory that is not sled's goes through here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::Error;

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", path))
}

/// Writes a new file and makes its data durable; its name is durable after [`sync_dir`].
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(Error::io("write", path))
}

/// Puts a file in place whole or not at all, durably.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("new");
    // A process that was killed here leaves one behind.
    remove_file(&temporary)?;
    write_new(&temporary, bytes)?;
    fs::rename(&temporary, path).map_err(Error::io("write", path))?;
    sync_dir(crate::layout::parent(path))
}

/// Removes a file if it is there.
pub(crate) fn remove_file(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Removes a directory with all it holds if it is there.
pub(crate) fn remove_tree(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Reads a small file of a known largest size; `None` if it is not there.
pub(crate) fn read_small(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    use std::io::Read;
    let read = |file: File| {
        let mut bytes = Vec::new();
        // One more than the limit, so that a file that is too long does not pass for one
        // that is not: its checksum cannot match.
        file.take(limit + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match File::open(path).and_then(read) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

/// The files below a directory, with their paths relative to it, in a stable order.
pub(crate) fn files(dir: &Path) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    let mut pending = vec![String::new()];
    while let Some(prefix) = pending.pop() {
        let at = dir.join(&prefix);
        let entries = fs::read_dir(&at).map_err(Error::io("list", &at))?;
        for entry in entries {
            let entry = entry.map_err(Error::io("list", &at))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            let kind = entry.file_type().map_err(Error::io("list", &at))?;
            if kind.is_dir() {
                pending.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// What the files below a directory take on disk, in bytes: allocated, not lengths, for the
/// database file has holes. Files that vanish meanwhile do not count.
pub(crate) fn allocated(dir: &Path) -> Result<u64, Error> {
    const SECTOR: u64 = 512; // st_blocks counts these whatever the file system's block is.
    let mut total = 0;
    let mut pending = vec![dir.to_owned()];
    while let Some(at) = pending.pop() {
        for entry in fs::read_dir(&at).map_err(Error::io("list", &at))? {
            let entry = entry.map_err(Error::io("list", &at))?;
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => pending.push(entry.path()),
                Ok(metadata) => total += metadata.blocks() * SECTOR,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("list", &entry.path())(error)),
            }
        }
    }
    Ok(total)
}
