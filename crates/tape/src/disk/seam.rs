//! The seam: every call that changes what is on disk passes here first.
//!
//! In the program that is all; tests put a script in the way of one tape's calls, which
//! notes them, fails one of them, or ends the process there.

use std::io;
use std::path::Path;

/// A call that changes what is on disk, or makes it durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// A directory is made.
    CreateDir,
    /// A file is made.
    Create,
    /// Room is set aside for a file.
    Reserve,
    /// Bytes are written to a file, or it is cut.
    Write,
    /// A file's data is made durable.
    Sync,
    /// The names in a directory are made durable.
    SyncDir,
    /// A file or directory gets another name.
    Rename,
    /// A file or directory is removed.
    Remove,
    /// The embedded log takes a transaction.
    Apply,
    /// The embedded log writes what it took.
    Flush,
    /// Not a call: an append is acknowledged.
    Acknowledge,
}

/// Called before each.
#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "in tests it fails")]
pub(crate) fn before(_call: Call, _path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(crate) use script::{At, Script, Then, before};

#[cfg(test)]
mod script {
    use std::collections::BTreeMap;
    use std::path::PathBuf;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::*;

    /// What happens at one of a tape's calls.
    #[derive(Debug, Clone, Copy)]
    pub(crate) enum Then {
        /// It fails once, as on a full disk.
        Fail,
        /// It and all that follow fail, as on a disk that stays full.
        FailOn,
        /// The process ends there, without a chance to tidy up.
        Abort,
    }

    /// What happens to one tape's calls, while it is held.
    #[derive(Debug)]
    pub(crate) struct Script(PathBuf);

    #[derive(Debug, Default)]
    struct State {
        calls: Vec<(Call, PathBuf)>,
        at: Option<(At, Then)>,
    }

    /// One of a tape's calls, counted from 0.
    #[derive(Debug, Clone, Copy)]
    pub(crate) enum At {
        /// Of all calls.
        Any(usize),
        /// Of one kind of call.
        Kind(Call, usize),
    }

    static SCRIPTS: Mutex<BTreeMap<PathBuf, State>> = Mutex::new(BTreeMap::new());

    fn scripts() -> MutexGuard<'static, BTreeMap<PathBuf, State>> {
        SCRIPTS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    impl Script {
        /// Notes the calls on what lies below a directory.
        pub(crate) fn notes(dir: &Path) -> Self {
            Self::with(dir, None)
        }

        /// Also has something happen at one of them, counted from 0.
        pub(crate) fn at(dir: &Path, call: At, then: Then) -> Self {
            Self::with(dir, Some((call, then)))
        }

        fn with(dir: &Path, at: Option<(At, Then)>) -> Self {
            scripts().insert(dir.to_owned(), State { calls: Vec::new(), at });
            Self(dir.to_owned())
        }

        /// The calls so far.
        pub(crate) fn calls(&self) -> Vec<(Call, PathBuf)> {
            scripts().get(&self.0).map(|state| state.calls.clone()).unwrap_or_default()
        }
    }

    impl Drop for Script {
        fn drop(&mut self) {
            scripts().remove(&self.0);
        }
    }

    pub(crate) fn before(call: Call, path: &Path) -> io::Result<()> {
        let mut scripts = scripts();
        let Some((_, state)) = scripts.iter_mut().find(|(dir, _)| path.starts_with(dir)) else {
            return Ok(());
        };
        let number = state.calls.len();
        let of_kind = state.calls.iter().filter(|(before, _)| *before == call).count();
        state.calls.push((call, path.to_owned()));
        let meant = |at, then| match (at, then) {
            // An acknowledgement is only noted.
            _ if call == Call::Acknowledge => false,
            (At::Any(at), Then::FailOn) => number >= at,
            (At::Any(at), Then::Fail | Then::Abort) => number == at,
            (At::Kind(kind, at), Then::FailOn) => call == kind && of_kind >= at,
            (At::Kind(kind, at), Then::Fail | Then::Abort) => call == kind && of_kind == at,
        };
        match state.at.filter(|&(at, then)| meant(at, then)) {
            None => Ok(()),
            Some((_, Then::Fail | Then::FailOn)) => Err(io::ErrorKind::StorageFull.into()),
            Some((_, Then::Abort)) => std::process::abort(),
        }
    }
}
