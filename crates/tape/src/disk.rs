//! Files and directories: changes that outlive a power loss, and what readers ask of them.
//!
//! A file's data is durable once the file is synced, its name once the directory is. Every
//! change to a tape's directory goes through here, sled's own excepted; and those that sled
//! makes for us are announced to the [`seam`] all the same.

pub(crate) mod seam;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;

use crate::Error;
use seam::{Call, before};

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), Error> {
    let sync = || {
        before(Call::SyncDir, path)?;
        File::open(path)?.sync_all()
    };
    sync().map_err(Error::io("sync", path))
}

/// Makes a file's data durable.
pub(crate) fn sync_file(file: &File, path: &Path) -> Result<(), Error> {
    before(Call::Sync, path).and_then(|()| file.sync_data()).map_err(Error::io("sync", path))
}

/// Makes a directory; its name is durable once the one around it is synced.
pub(crate) fn create_dir(path: &Path) -> Result<(), Error> {
    let create = || before(Call::CreateDir, path).and_then(|()| fs::create_dir(path));
    create().map_err(Error::io("create", path))
}

/// Makes a directory unless it is there, durably: copies leave out empty ones.
pub(crate) fn ensure_dir(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    create_dir(path)?;
    sync_dir(crate::layout::parent(path))
}

/// Makes an empty file for writing, in place of one that a killed process may have left.
pub(crate) fn create_file(path: &Path) -> Result<File, Error> {
    let create = || {
        before(Call::Create, path)?;
        OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)
    };
    create().map_err(Error::io("create", path))
}

/// Writes to a file at an offset.
pub(crate) fn write_at(file: &File, path: &Path, bytes: &[u8], offset: u64) -> Result<(), Error> {
    let write = || before(Call::Write, path).and_then(|()| file.write_all_at(bytes, offset));
    write().map_err(Error::io("write", path))
}

/// Cuts a file to a length.
pub(crate) fn truncate(file: &File, path: &Path, len: u64) -> Result<(), Error> {
    let cut = || before(Call::Write, path).and_then(|()| file.set_len(len));
    cut().map_err(Error::io("write", path))
}

/// Sets room aside, so that a file can be written up to a length however full the disk is by
/// then. Where the file system cannot do that, nothing is set aside.
pub(crate) fn reserve(file: &File, path: &Path, len: u64) -> Result<(), Error> {
    let reserve = || {
        before(Call::Reserve, path)?;
        match fallocate(file, FallocateFlags::KEEP_SIZE, 0, len) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    };
    reserve().map_err(Error::io("set room aside for", path))
}

/// How many bytes can still be written where a path is; `None` where that is not known.
pub(crate) fn room(path: &Path) -> Option<u64> {
    let found = statvfs(path).ok()?;
    found.f_bavail.checked_mul(found.f_frsize)
}

/// Writes a new file and makes its data durable; its name is durable after [`sync_dir`].
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        before(Call::Create, path)?;
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        before(Call::Write, path)?;
        file.write_all(bytes)?;
        before(Call::Sync, path)?;
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
    rename(&temporary, path)
}

/// Gives a file or directory its name, durably.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    let rename = || before(Call::Rename, to).and_then(|()| fs::rename(from, to));
    rename().map_err(Error::io("create", to))?;
    sync_dir(crate::layout::parent(to))
}

/// Removes a file if it is there.
pub(crate) fn remove_file(path: &Path) -> Result<(), Error> {
    remove(path, |path| fs::remove_file(path))
}

/// Removes a directory with all it holds if it is there.
pub(crate) fn remove_tree(path: &Path) -> Result<(), Error> {
    remove(path, |path| fs::remove_dir_all(path))
}

fn remove(path: &Path, remove: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), Error> {
    if fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(());
    }
    match before(Call::Remove, path).and_then(|()| remove(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Reads part of a file; `None` if the file ends before it. Allocates all of it: the caller
/// knows that the file is as long.
pub(crate) fn read_at(
    file: &File,
    path: &Path,
    at: u64,
    len: usize,
) -> Result<Option<Vec<u8>>, Error> {
    let mut bytes = vec![0; len];
    match file.read_exact_at(&mut bytes, at) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
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
/// live end's files have holes. Files that vanish meanwhile do not count.
///
/// # Errors
/// If a directory cannot be listed.
pub fn allocated(dir: &Path) -> Result<u64, Error> {
    const SECTOR: u64 = 512; // st_blocks counts these whatever the file system's block is.
    let mut total = 0;
    let mut pending = vec![dir.to_owned()];
    while let Some(at) = pending.pop() {
        let entries = match fs::read_dir(&at) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && at != dir => continue,
            entries => entries.map_err(Error::io("list", &at))?,
        };
        for entry in entries {
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
