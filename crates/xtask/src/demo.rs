//! `cargo xtask demo`: the whole path on throw-away servers.
//!
//! The demo is a program of its own (`crates/demo`), because it needs a driver, and this
//! crate must not make everybody wait for one to be compiled.

use std::process::Command;

use anyhow::{Context as _, Result, bail};
use changetape_testkit::programs::{self, Progress};
use changetape_testkit::{mongod, workspace_directory};

/// Builds it and runs it.
pub(crate) fn run() -> Result<()> {
    // Before minutes of compiling, not after. Deployments that are named need no mongod.
    if std::env::var_os("CHANGETAPE_TEST_URI").is_none() {
        mongod::find()?;
    }
    println!("==> building; the first time this takes some minutes");
    let [demo, changetape] = programs::build(["changetape-demo", "changetape"], Progress::Shown)?;
    let ran = Command::new(demo)
        .env("CHANGETAPE_TEST_BINARY", changetape)
        .current_dir(workspace_directory())
        .status();
    if !ran.context("cannot start the demo")?.success() {
        bail!("the demo failed; see above");
    }
    Ok(())
}
