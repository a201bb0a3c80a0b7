//! Data directories that clean up after themselves.
//!
//! Each lies in `target/testkit/` and holds a locked file for as long as its owner lives.
//! Dropping the owner removes it. A process that is killed leaves its directory but not its
//! lock, so the next one that makes a directory sweeps it away.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::{Error, target_directory};

const LOCK: &str = "in-use.lock";

#[derive(Debug)]
pub(crate) struct DataDirectory {
    path: PathBuf,
    // Held, never read: its lock says that the directory is in use.
    _lock: File,
}

impl DataDirectory {
    /// A new, empty directory whose name begins with `name`.
    pub(crate) fn create(name: &str) -> Result<Self, Error> {
        let parent = target_directory().join("testkit");
        fs::create_dir_all(&parent).map_err(|source| Error::file("create", &parent, source))?;
        // One at a time: a directory must not be swept between its making and its locking.
        let _turn = locked(&parent.join("sweep.lock"))?;
        sweep(&parent);
        let path = parent.join(format!("{name}-{:016x}", fastrand::u64(..)));
        fs::create_dir(&path).map_err(|source| Error::file("create", &path, source))?;
        let lock = locked(&path.join(LOCK))?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for DataDirectory {
    fn drop(&mut self) {
        // What cannot be removed now, the next sweep removes.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn locked(path: &Path) -> Result<File, Error> {
    let file = File::create(path).map_err(|source| Error::file("create", path, source))?;
    file.lock().map_err(|source| Error::file("lock", path, source))?;
    Ok(file)
}

fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for directory in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
        let abandoned = match File::open(directory.join(LOCK)) {
            Ok(lock) => lock.try_lock().is_ok(),
            // Cut off while being made or while being removed.
            Err(_) => true,
        };
        if abandoned {
            let _ = fs::remove_dir_all(&directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_in_use_survives_a_sweep_and_an_abandoned_one_does_not() {
        let used = DataDirectory::create("sweep-test").unwrap();
        let abandoned = used.path().with_extension("abandoned");
        fs::create_dir(&abandoned).unwrap();
        fs::write(abandoned.join(LOCK), "").unwrap();
        let other = DataDirectory::create("sweep-test").unwrap();
        assert!(used.path().is_dir());
        assert!(!abandoned.exists());
        let path = other.path().to_owned();
        drop(other);
        assert!(!path.exists());
    }
}
