//! The programs of this workspace, built and found.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};

use crate::{Error, cargo, workspace_directory};

/// Any test program. With it in the selection, Cargo chooses the same features for every
/// dependency as `cargo test --workspace` does; without it, the driver and much else would be
/// compiled once more, with fewer, in the middle of a test.
const TEST: &str = "replica_sets";

/// Where Cargo's progress and the compiler's messages go while something is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// To standard error, as they come.
    Shown,
    /// Into the error, if there is one.
    Kept,
}

static CHANGETAPE: Mutex<Option<PathBuf>> = Mutex::new(None);

/// The path of the `changetape` program: `CHANGETAPE_TEST_BINARY`, else it is built first,
/// once in this process.
///
/// # Errors
/// [`Error::Build`] with Cargo's words if it cannot be built.
pub fn changetape_binary() -> Result<PathBuf, Error> {
    let mut known = CHANGETAPE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = &*known {
        return Ok(path.clone());
    }
    let path = if let Some(path) = std::env::var_os("CHANGETAPE_TEST_BINARY") {
        workspace_directory().join(path)
    } else {
        let [path] = build(["changetape"], Progress::Kept)?;
        path
    };
    *known = Some(path.clone());
    Ok(path)
}

/// Builds programs by the Cargo that runs this one (or `cargo`); where they are, in the same
/// order.
///
/// # Errors
/// [`Error::Build`] with Cargo's words if one cannot be built; they are empty if the progress
/// was shown.
pub fn build<const N: usize>(
    programs: [&str; N],
    progress: Progress,
) -> Result<[PathBuf; N], Error> {
    let mut command = cargo();
    command.args(["build", "--workspace", "--test", TEST]);
    command.args(programs.iter().flat_map(|program| ["--bin", program]));
    if progress == Progress::Kept {
        command.arg("--quiet");
    }
    let output = command
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(workspace_directory())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(match progress {
            Progress::Shown => Stdio::inherit(),
            Progress::Kept => Stdio::piped(),
        })
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .map_err(|source| Error::Run { program: "cargo".to_owned(), source })?;
    let messages = String::from_utf8_lossy(&output.stdout);
    let paths = programs.map(|program| executable(&messages, program));
    if !output.status.success() || paths.iter().any(Option::is_none) {
        let output = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Error::Build { programs: programs.join(", "), output });
    }
    // None is missing; see above.
    Ok(paths.map(Option::unwrap_or_default))
}

/// Where a program is, by Cargo's messages.
fn executable(messages: &str, program: &str) -> Option<PathBuf> {
    messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_it = message.pointer("/target/name")?.as_str()? == program
            && message.pointer("/target/kind/0")?.as_str()? == "bin";
        message.get("executable")?.as_str().filter(|_| is_it).map(PathBuf::from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changetape_is_built_and_runs() {
        let path = changetape_binary().unwrap();
        let output = std::process::Command::new(path).arg("--version").output().unwrap();
        let version = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(version.starts_with("changetape "), "{version}");
    }
}
