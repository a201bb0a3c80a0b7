//! `lock`: one process at a time changes a tape.
//!
//! Whoever records onto a tape, seals what a killed process left, or repairs it, locks this
//! file first (`flock`, which ends with the process however it ends) and writes into it who it
//! is. Reading what is sealed needs no lock. The text is read only by who finds the file locked; what a killed process left in it
//! means nothing.
//! ```text
//! pid 4711
//! host db7
//! program changetape
//! doing recording
//! ```

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::{Error, layout};

/// The most that is read of what another process wrote.
const MAX_LEN: usize = 4096;

/// How long to wait for a holder that should soon have let go, and how long between looks.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// What a holder says that does not hold the tape for long.
const RECOVERING: &str = "recovering";

/// What a process has a tape open for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Recording,
    /// Sealing what a killed process left, before it is read.
    Recovering,
    Repairing,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Recovering => RECOVERING,
            Self::Repairing => "repairing",
        }
    }
}

/// Who has a tape open, as far as it said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holder {
    /// Its process id, on its host.
    pub pid: Option<u32>,
    /// Its host's name.
    pub host: Option<String>,
    /// Its program's name.
    pub program: Option<String>,
    /// What it does with the tape: `recording`, `recovering` or `repairing`.
    pub doing: Option<String>,
}

impl Holder {
    /// Whether it will soon have let go, or said what it does.
    pub(crate) fn is_brief(&self) -> bool {
        self.doing.as_deref().is_none_or(|doing| doing == RECOVERING)
    }

    fn this_process(purpose: Purpose) -> Self {
        let program = std::env::current_exe().ok();
        let program = program.as_deref().and_then(Path::file_name);
        Self {
            pid: Some(std::process::id()),
            host: Some(rustix::system::uname().nodename().to_string_lossy().into_owned()),
            program: program.map(|name| name.to_string_lossy().into_owned()),
            doing: Some(purpose.as_str().to_owned()),
        }
    }

    fn render(&self) -> String {
        let line = |name: &str, value: Option<&str>| match value {
            Some(value) => format!("{name} {value}\n"),
            None => String::new(),
        };
        let pid = self.pid.map(|pid| pid.to_string());
        [
            line("pid", pid.as_deref()),
            line("host", self.host.as_deref()),
            line("program", self.program.as_deref()),
            line("doing", self.doing.as_deref()),
        ]
        .concat()
    }

    fn parse(text: &str) -> Self {
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            value.map(str::to_owned)
        };
        Self {
            pid: field("pid").and_then(|pid| pid.parse().ok()),
            host: field("host"),
            program: field("program"),
            doing: field("doing"),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program.as_deref().unwrap_or("a program that has not said which"))?;
        if let Some(doing) = &self.doing {
            write!(f, ", {doing}")?;
        }
        if let Some(pid) = self.pid {
            write!(f, ", pid {pid}")?;
        }
        if let Some(host) = &self.host {
            write!(f, " on host {host}")?;
        }
        Ok(())
    }
}

/// The lock, held until it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct TapeLock {
    file: File,
}

impl Drop for TapeLock {
    /// Closing the file is not enough: a process that is just being started has a copy of it,
    /// and with it of the lock, until it becomes another program.
    fn drop(&mut self) {
        // Nobody is to take it for who has the lock next. Neither call can be helped if it fails:
        // the lock ends with the last copy.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

impl TapeLock {
    /// Takes the lock of the tape at `tape`, waiting for whoever has it only briefly.
    pub(crate) fn take_soon(tape: &Path, purpose: Purpose) -> Result<Self, Error> {
        let started = Instant::now();
        loop {
            match Self::take(tape, tape, purpose) {
                Err(Error::InUse { holder, .. })
                    if holder.is_brief() && started.elapsed() < PATIENCE =>
                {
                    std::thread::sleep(PAUSE);
                }
                taken => return taken,
            }
        }
    }

    /// Takes the lock in `dir` of the tape that is, or will be, at `tape`.
    pub(crate) fn take(dir: &Path, tape: &Path, purpose: Purpose) -> Result<Self, Error> {
        let path = dir.join(layout::LOCK);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(Error::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = read_holder(&file).map_err(Error::io("read", &path))?;
                return Err(Error::InUse { path: tape.to_owned(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(Error::io("lock", &path)(source)),
        }
        let text = Holder::this_process(purpose).render();
        let write = || {
            file.set_len(0)?;
            file.write_all_at(text.as_bytes(), 0)
        };
        write().map_err(Error::io("write", &path))?;
        Ok(Self { file })
    }
}

fn read_holder(file: &File) -> io::Result<Holder> {
    let mut text = vec![0; MAX_LEN];
    let len = file.read_at(&mut text, 0)?;
    text.truncate(len);
    Ok(Holder::parse(&String::from_utf8_lossy(&text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let tape = Path::new("orders.tape");
        let held = TapeLock::take(dir.path(), tape, Purpose::Recording).unwrap();
        let error = TapeLock::take(dir.path(), tape, Purpose::Recovering).unwrap_err().to_string();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let who = format!("recording, pid {} on host {host}", std::process::id());
        assert!(error.starts_with("orders.tape is open in another process"), "{error}");
        assert!(error.contains(&who), "{error}");
        drop(held);
        TapeLock::take(dir.path(), tape, Purpose::Recovering).unwrap();
    }

    #[test]
    fn a_lock_let_go_of_can_be_taken_while_processes_are_started() {
        let dir = tempfile::tempdir().unwrap();
        let take = || TapeLock::take(dir.path(), Path::new("t"), Purpose::Recovering);
        std::thread::scope(|scope| {
            let starting = scope.spawn(|| {
                for _ in 0..200 {
                    std::process::Command::new("true").status().unwrap();
                }
            });
            while !starting.is_finished() {
                drop(take().unwrap());
            }
        });
    }

    #[test]
    fn what_a_killed_process_left_neither_blocks_nor_remains() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(layout::LOCK);
        std::fs::write(&path, "pid 1\nhost elsewhere\n".repeat(50)).unwrap();
        let _held = TapeLock::take(dir.path(), Path::new("t"), Purpose::Recovering).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(Holder::parse(&text), Holder::this_process(Purpose::Recovering));
    }

    #[test]
    fn a_holder_that_has_not_written_yet_is_still_a_holder() {
        assert_eq!(Holder::parse(""), Holder::default());
        assert_eq!(Holder::default().to_string(), "a program that has not said which");
    }
}
