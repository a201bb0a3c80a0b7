//! `changetape` itself, for tests that run it as a user does.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};

use crate::{Error, cargo, workspace_directory};

static BUILT: Mutex<Option<PathBuf>> = Mutex::new(None);

/// The path of the `changetape` program, built first, once in this process, by the Cargo
/// that runs the test (or `cargo`).
///
/// # Errors
/// [`Error::Build`] with Cargo's words if it cannot be built.
pub fn changetape_binary() -> Result<PathBuf, Error> {
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = &*built {
        return Ok(path.clone());
    }
    let path = build()?;
    *built = Some(path.clone());
    Ok(path)
}

fn build() -> Result<PathBuf, Error> {
    let output = cargo()
        .args(["build", "--quiet", "--package", "changetape", "--bin", "changetape"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(workspace_directory())
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Run { program: "cargo".to_owned(), source })?;
    let failed = || Error::Build { output: String::from_utf8_lossy(&output.stderr).into_owned() };
    if !output.status.success() {
        return Err(failed());
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut executables = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message.get("executable")?.as_str().map(PathBuf::from)
    });
    executables.next().ok_or_else(failed)
}
