//! The program under test, run as a user runs it.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use bson::raw::RawDocumentBuf;
use changetape_core::Seq;
use changetape_tape::TapeReader;

/// What a run printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Fails the test with everything that was printed unless the run ended with `code`.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// The one line that a failure prints, without `error: `.
    #[track_caller]
    pub(crate) fn sentence(&self) -> &str {
        let mut errors = self.stderr.lines().filter_map(|line| line.strip_prefix("error: "));
        let sentence = errors.next().unwrap_or_else(|| panic!("no error in: {}", self.stderr));
        assert!(!sentence.is_empty() && !self.stderr.contains("panicked"), "{}", self.stderr);
        sentence
    }

    /// The result as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in stdout: {}", self.stdout))
    }
}

/// A command that runs `changetape` with these arguments and no environment of ours.
pub(crate) fn changetape(args: &[&str]) -> Command {
    let mut command = Command::new(changetape_testkit::changetape_binary().unwrap());
    command.args(args).stdin(Stdio::null());
    without_ours(&mut command);
    command
}

/// Takes what is ours out of a command's environment.
pub(crate) fn without_ours(command: &mut Command) {
    for (name, _) in std::env::vars() {
        if name.starts_with("CHANGETAPE_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
}

/// Runs `changetape` to its end.
pub(crate) fn run(args: &[&str]) -> Ran {
    ran(changetape(args).output().unwrap())
}

/// Starts `changetape` and lets it run.
pub(crate) fn start(args: &[&str]) -> Child {
    changetape(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Sends a running `changetape` a signal, such as `-INT`.
pub(crate) fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// What a finished run printed.
pub(crate) fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Every event on a tape, as its bytes; from where it begins, if the oldest were dropped.
pub(crate) fn tape_events(tape: &Path) -> Vec<RawDocumentBuf> {
    let reader = TapeReader::open(tape).unwrap();
    let mut events = Vec::new();
    for block in reader.blocks(Seq::ZERO) {
        let block = block.unwrap();
        for recorded in block.events() {
            assert_eq!(recorded.seq, reader.start() + events.len() as u64, "a hole on the tape");
            events.push(recorded.event.as_raw().to_owned());
        }
    }
    assert_eq!(reader.end(), reader.start() + events.len() as u64);
    events
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
