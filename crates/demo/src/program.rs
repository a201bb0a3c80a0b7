//! `changetape`, run as a user runs it; its result read as JSON.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// The program.
pub(crate) struct Program(PathBuf);

/// A run that has not ended.
pub(crate) struct Running(Child);

impl Program {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Starts a recording that ends by itself when the shop has closed.
    pub(crate) fn start_record(&self, uri: &str, tape: &Path, since: &str) -> Result<Running> {
        let mut command = self.command("record", tape, &["--since", since]);
        command.args(["--stop-when-idle", "2s"]).env("CHANGETAPE_SOURCE_URI", uri);
        start(&mut command)
    }

    /// Replays a tape to its end.
    pub(crate) fn replay(&self, tape: &Path, uri: &str, speed: &str) -> Result<Value> {
        let mut command = self.command("replay", tape, &["--speed", speed]);
        start(command.env("CHANGETAPE_SINK", uri))?.finish()
    }

    fn command(&self, verb: &str, tape: &Path, flags: &[&str]) -> Command {
        let shown = flags.join(" ");
        println!("$ {} {verb} {} {shown}", self.0.display(), tape.display());
        let mut command = Command::new(&self.0);
        command.arg(verb).arg(tape).args(flags).args(["--format", "json"]);
        command
    }
}

fn start(command: &mut Command) -> Result<Running> {
    // Progress and messages go where ours go.
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    Ok(Running(child.context("cannot start changetape")?))
}

impl Running {
    /// Waits for the end and reads the result.
    pub(crate) fn finish(self) -> Result<Value> {
        let output = self.0.wait_with_output()?;
        if !output.status.success() {
            bail!("changetape ended with {}", output.status);
        }
        serde_json::from_slice(&output.stdout).context("changetape printed no result")
    }
}
