//! `cargo xtask power-loss`: what a recording leaves when the power goes, at many moments.
//!
//! A program of its own (`crates/power-loss`), for the reason that the demo is one.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use changetape_testkit::programs::{self, Progress};
use changetape_testkit::{mongod, workspace_directory};

/// Builds it and runs it, with the arguments that it is given.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    ensure!(cfg!(target_os = "linux"), "power-loss traces system calls, which needs Linux");
    let strace = Command::new("strace").arg("--version").stdout(Stdio::null()).status();
    if !strace.is_ok_and(|status| status.success()) {
        bail!("power-loss needs strace, which Debian and Ubuntu have in the package strace");
    }
    if std::env::var_os("CHANGETAPE_TEST_URI").is_none() {
        mongod::find()?;
    }
    println!("==> building; the first time this takes some minutes");
    let [program, changetape] =
        programs::build(["changetape-power-loss", "changetape"], Progress::Shown)?;
    let ran = Command::new(program)
        .args(arguments)
        .env("CHANGETAPE_TEST_BINARY", changetape)
        .current_dir(workspace_directory())
        .status();
    match ran.context("cannot start power-loss")?.code() {
        Some(0) => Ok(()),
        Some(3) => bail!("an image was not as it should be; see above"),
        _ => bail!("power-loss could not be run; see above"),
    }
}
