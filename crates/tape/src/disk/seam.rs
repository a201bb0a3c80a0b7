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
pub(crate) use script::{At, Failure, Script, Then, before};

#[cfg(test)]
mod script {
    use std::collections::BTreeMap;
    use std::path::PathBuf;
    use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
    use std::time::Duration;

    use super::*;

    /// What happens at one of a tape's calls.
    #[derive(Debug, Clone, Copy)]
    pub(crate) enum Then {
        /// It fails once.
        Fail(Failure),
        /// It and all that follow fail.
        FailOn(Failure),
        /// The process ends there, without a chance to tidy up.
        Abort,
        /// It waits until the script is dropped.
        Hold,
    }

    /// How long a call waits at most: a test that waits for what it holds fails, and does not hang.
    const LONGEST_HOLD: Duration = Duration::from_secs(60);

    /// What the system says when a call fails.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Failure {
        DiskFull,
        DiskBroken,
    }

    impl Failure {
        pub(crate) const ALL: [Self; 2] = [Self::DiskFull, Self::DiskBroken];

        fn error(self) -> io::Error {
            match self {
                Self::DiskFull => io::ErrorKind::StorageFull.into(),
                Self::DiskBroken => rustix::io::Errno::IO.into(),
            }
        }
    }

    /// What happens to one tape's calls, while it is held.
    #[derive(Debug)]
    pub(crate) struct Script(PathBuf);

    #[derive(Debug, Default)]
    struct State {
        calls: Vec<(Call, PathBuf)>,
        at: Option<(At, Then)>,
        holds: bool,
    }

    /// One of a tape's calls, counted from 0.
    #[derive(Debug, Clone, Copy)]
    pub(crate) enum At {
        /// Of all calls.
        Any(usize),
        /// Of one kind of call.
        Kind(Call, usize),
        /// Of one kind of call on files of one name.
        Named(Call, &'static str, usize),
    }

    impl At {
        /// Whether it counts a call.
        fn counts(self, call: Call, path: &Path) -> bool {
            match self {
                Self::Any(_) => true,
                Self::Kind(kind, _) => call == kind,
                Self::Named(kind, name, _) => call == kind && path.ends_with(name),
            }
        }

        fn number(self) -> usize {
            let (Self::Any(number) | Self::Kind(_, number) | Self::Named(_, _, number)) = self;
            number
        }
    }

    static SCRIPTS: Mutex<BTreeMap<PathBuf, State>> = Mutex::new(BTreeMap::new());

    /// One of them was dropped.
    static DROPPED: Condvar = Condvar::new();

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
            scripts().insert(dir.to_owned(), State { at, ..State::default() });
            Self(dir.to_owned())
        }

        /// The calls so far.
        pub(crate) fn calls(&self) -> Vec<(Call, PathBuf)> {
            scripts().get(&self.0).map(|state| state.calls.clone()).unwrap_or_default()
        }

        /// Whether a call waits for it.
        pub(crate) fn holds(&self) -> bool {
            scripts().get(&self.0).is_some_and(|state| state.holds)
        }
    }

    impl Drop for Script {
        fn drop(&mut self) {
            scripts().remove(&self.0);
            DROPPED.notify_all();
        }
    }

    pub(crate) fn before(call: Call, path: &Path) -> io::Result<()> {
        let mut scripts = scripts();
        let Some((dir, state)) = scripts.iter_mut().find(|(dir, _)| path.starts_with(dir)) else {
            return Ok(());
        };
        // An acknowledgement is only noted.
        let meant = |at: At, then| {
            let before = state.calls.iter().filter(|(call, path)| at.counts(*call, path)).count();
            let reached = match then {
                Then::FailOn(_) => before >= at.number(),
                Then::Fail(_) | Then::Abort | Then::Hold => before == at.number(),
            };
            call != Call::Acknowledge && at.counts(call, path) && reached
        };
        let then = state.at.filter(|&(at, then)| meant(at, then));
        state.calls.push((call, path.to_owned()));
        match then {
            None => Ok(()),
            Some((_, Then::Fail(how) | Then::FailOn(how))) => Err(how.error()),
            Some((_, Then::Abort)) => std::process::abort(),
            Some((_, Then::Hold)) => {
                state.holds = true;
                let dir = dir.clone();
                let waits = |scripts: &mut BTreeMap<_, _>| scripts.contains_key(&dir);
                let waited = DROPPED.wait_timeout_while(scripts, LONGEST_HOLD, waits);
                let (mut scripts, _) = waited.unwrap_or_else(PoisonError::into_inner);
                if let Some(state) = scripts.get_mut(&dir) {
                    state.holds = false;
                }
                Ok(())
            }
        }
    }
}
