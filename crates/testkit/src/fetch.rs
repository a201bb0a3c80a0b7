//! Fetching something once for all test processes, present and future.
//!
//! A thing is a directory below the target directory. It is made under a temporary name and
//! renamed when complete, so it is there wholly or not at all; a lock file beside it lets
//! one process make it while the others wait. What a killed process left half-made is
//! removed by the next one that holds the lock.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Error;

/// How many of the last lines of a failure are shown.
const ERROR_LINES: usize = 3;

/// The directory `thing`, made by `make` (into an empty directory that it is given) if it
/// is not there yet.
///
/// # Errors
/// What `make` says; [`Error::File`] if the directories cannot be written.
pub(crate) fn once(
    thing: &Path,
    make: impl FnOnce(&Path) -> Result<(), Error>,
) -> Result<(), Error> {
    if thing.is_dir() {
        return Ok(());
    }
    let parent = thing.parent().unwrap_or(thing);
    fs::create_dir_all(parent).map_err(|source| Error::file("create", parent, source))?;
    let lock_path = with_suffix(thing, ".lock");
    let lock =
        File::create(&lock_path).map_err(|source| Error::file("create", &lock_path, source))?;
    lock.lock().map_err(|source| Error::file("lock", &lock_path, source))?;
    // Another process may have made it while this one waited for the lock.
    if thing.is_dir() {
        return Ok(());
    }
    let half_made = with_suffix(thing, ".part");
    match fs::remove_dir_all(&half_made) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(Error::file("remove", &half_made, source));
        }
        _ => {}
    }
    fs::create_dir(&half_made).map_err(|source| Error::file("create", &half_made, source))?;
    make(&half_made)?;
    fs::rename(&half_made, thing).map_err(|source| Error::file("rename", &half_made, source))
}

/// Runs `python3` with these arguments.
///
/// # Errors
/// [`Error::Python`] with the last lines it wrote if it is missing or fails.
pub(crate) fn python(arguments: &[&std::ffi::OsStr]) -> Result<(), Error> {
    let task = || {
        let words = arguments.iter().map(|argument| argument.to_string_lossy());
        format!("python3 {}", words.collect::<Vec<_>>().join(" "))
    };
    let output = Command::new("python3")
        .args(arguments)
        // It would warn of what does not concern a directory of our own.
        .env("PIP_ROOT_USER_ACTION", "ignore")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::Python {
            task: task(),
            reason: format!("cannot start python3: {error}"),
        })?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    // pip gives the cause (the network, say) before it says that there is nothing to install.
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let reason = match lines.get(lines.len().saturating_sub(ERROR_LINES)..) {
        Some(last @ [_, ..]) => last.join("; "),
        _ => output.status.to_string(),
    };
    Err(Error::Python { task: task(), reason })
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn many_at_once_make_it_once_and_whole() {
        let directory = tempfile::tempdir().unwrap();
        let thing = directory.path().join("thing");
        // As left by a process that was killed.
        fs::create_dir(with_suffix(&thing, ".part")).unwrap();
        fs::write(with_suffix(&thing, ".part").join("rest"), "").unwrap();
        let times = AtomicU32::new(0);
        let make = |into: &Path| {
            times.fetch_add(1, Ordering::SeqCst);
            assert_eq!(fs::read_dir(into).unwrap().count(), 0, "not empty");
            for file in 0..100 {
                fs::write(into.join(file.to_string()), "").unwrap();
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    once(&thing, make).unwrap();
                    assert_eq!(fs::read_dir(&thing).unwrap().count(), 100);
                });
            }
        });
        assert_eq!(times.into_inner(), 1);
    }

    #[test]
    fn what_fails_is_tried_again_the_next_time() {
        let directory = tempfile::tempdir().unwrap();
        let thing = directory.path().join("thing");
        let error = || Error::Python { task: "t".to_owned(), reason: "r".to_owned() };
        once(&thing, |_| Err(error())).unwrap_err();
        assert!(!thing.exists());
        once(&thing, |_| Ok(())).unwrap();
        assert!(thing.is_dir());
    }
}
