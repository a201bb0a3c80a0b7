//! A server process that never outlives its owner.
//!
//! It runs under a small shell script (`process/supervise.sh`) that holds one end of a pipe.
//! The other end is ours alone: when it closes, the script kills the server. It closes when
//! the [`Process`] is dropped, also while a test panics, and when our process ends, also by
//! SIGKILL. Both run in a process group of their own, so that Ctrl-C reaches only us.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use crate::Error;

const SUPERVISOR: &str = include_str!("process/supervise.sh");

/// How many of a log's last lines an error shows.
const LOG_LINES: usize = 5;

#[derive(Debug)]
pub(crate) struct Process {
    supervisor: Child,
    // `None` once closed.
    control: Option<ChildStdin>,
}

impl Process {
    /// Starts `program`, whose output goes to the end of the file `log`.
    pub(crate) fn start(program: &Path, arguments: &[OsString], log: &Path) -> Result<Self, Error> {
        let open = || OpenOptions::new().create(true).append(true).open(log);
        let output = open().map_err(|source| Error::file("write", log, source))?;
        let errors = output.try_clone().map_err(|source| Error::file("write", log, source))?;
        let mut supervisor = Command::new("/bin/sh")
            .args(["-c", SUPERVISOR, "supervise"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(|source| Error::Run { program: program.display().to_string(), source })?;
        let control = supervisor.stdin.take();
        Ok(Self { supervisor, control })
    }

    /// Asks the server to end (SIGTERM). It takes its time.
    pub(crate) fn terminate(&mut self) {
        if let Some(control) = &mut self.control {
            // Fails only if the supervisor is gone, and then so is the server.
            let _ = control.write_all(b"TERM\n");
        }
    }

    /// Kills the server (SIGKILL) and waits for its end.
    pub(crate) fn kill(&mut self) {
        self.control = None;
        let _ = self.supervisor.wait();
    }

    /// How the server ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.supervisor.try_wait().ok().flatten()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last lines of a log, errors before anything else.
pub(crate) fn end_of_log(log: &PathBuf) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = text.unwrap_or_else(|error| format!("(no log: {error})"));
    let is_error = |line: &&str| line.contains(r#""s":"E""#) || line.contains(r#""s":"F""#);
    let mut lines: Vec<&str> = text.lines().filter(is_error).collect();
    if lines.is_empty() {
        lines = text.lines().collect();
    }
    lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default().join("\n")
}
