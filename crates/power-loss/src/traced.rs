//! A process that records, traced, and how it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use changetape_tape::tape_exists;
use rustix::process::{Pid, Signal, kill_process};

use crate::trace;

/// More than is ever written at once.
const LONGEST_STRING: &str = "134217728";

/// How long a recorder may take over anything.
const PATIENCE: Duration = Duration::from_secs(300);

/// strace, and below it the process.
#[derive(Debug)]
pub(crate) struct Traced {
    strace: Child,
    tape: PathBuf,
}

impl Traced {
    /// Starts a command that records onto a tape.
    pub(crate) fn start(command: &Command, tape: &Path, trace: &Path) -> Result<Self> {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-q", "-xx", "--seccomp-bpf", "-e", "signal=none"]);
        strace.args(["-s", LONGEST_STRING, "-e", &format!("trace={}", trace::CALLS), "-o"]);
        strace.arg(trace).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            strace.env(name, value.unwrap_or_default());
        }
        let strace = strace.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        Ok(Self { strace: strace.context("cannot start strace")?, tape: tape.to_owned() })
    }

    /// Kills the process once so many events are acknowledged, and waits for its trace.
    pub(crate) fn kill_at(mut self, acknowledged: u64) -> Result<()> {
        let tape = self.tape.clone();
        let recorded = || watermark(&tape).is_some_and(|next| next >= acknowledged);
        // It is on its own tape's lock: strace's child, but not ours.
        let pid = self.until(&format!("{acknowledged} events"), || {
            if recorded() { holder(&tape) } else { None }
        })?;
        self.kill(pid)
    }

    /// Kills the process over its base, once so many bytes of that are written, and waits for its
    /// trace.
    pub(crate) fn kill_over_base(mut self, bytes: u64) -> Result<()> {
        let name = self.tape.file_name().context("a tape has a name")?.to_string_lossy();
        let unfinished = self.tape.with_file_name(format!(".{name}.creating"));
        let base = unfinished.join("base.new");
        let begun = || fs::metadata(&base).is_ok_and(|base| base.len() >= bytes);
        let pid = self.until(&format!("{bytes} bytes of a base"), || {
            if begun() { holder(&unfinished) } else { None }
        })?;
        let tape = self.tape.clone();
        self.kill(pid)?;
        ensure!(!tape_exists(&tape), "the base was whole before it was killed; try again");
        Ok(())
    }

    /// Waits until there is a tape.
    pub(crate) fn made(mut self) -> Result<Self> {
        let tape = self.tape.clone();
        self.until("a tape", || tape_exists(&tape).then_some(()))?;
        Ok(self)
    }

    /// Waits until something is there.
    fn until<T>(&mut self, what: &str, found: impl Fn() -> Option<T>) -> Result<T> {
        let start = Instant::now();
        loop {
            if let Some(found) = found() {
                return Ok(found);
            }
            ensure!(self.strace.try_wait()?.is_none(), "it ended before there was {what}");
            if start.elapsed() > PATIENCE {
                bail!("waited {} s for {what}", PATIENCE.as_secs());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn kill(mut self, pid: Pid) -> Result<()> {
        kill_process(pid, Signal::KILL)?;
        self.strace.wait()?;
        Ok(())
    }

    /// Waits until it has ended well.
    pub(crate) fn finish(mut self) -> Result<()> {
        let status = self.strace.wait()?;
        ensure!(status.success(), "the recorder ended with {status}");
        Ok(())
    }
}

/// Who has a tape open; `None` while that is just being written.
fn holder(tape: &Path) -> Option<Pid> {
    let text = fs::read_to_string(tape.join("lock")).ok()?;
    Pid::from_raw(text.lines().find_map(|line| line.strip_prefix("pid ")?.parse().ok())?)
}

/// What a tape says of how much is durable.
fn watermark(tape: &Path) -> Option<u64> {
    let bytes = fs::read(tape.join("durable")).ok()?;
    Some(u64::from_le_bytes(bytes.get(4..12)?.try_into().ok()?))
}
