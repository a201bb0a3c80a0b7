//! `cargo xtask test`: everything that a change must pass.
//!
//! What must be fetched is fetched first, so that a machine without it is told at once and
//! not after minutes of compiling. Then come the checks, the quick ones before the slow ones,
//! up to the first that fails. The tests are last, and nothing is printed after them.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use changetape_testkit::{cargo, mongod, python, workspace_directory};

use crate::tidy;

/// Links to private items are welcome: the documentation is made with them, for contributors.
const DOC_FLAGS: &str = "--deny warnings --allow rustdoc::private_intra_doc_links";

/// Runs it all.
pub(crate) fn run() -> Result<()> {
    step("a mongod to test with", || {
        println!("{}", mongod::find()?.display());
        Ok(())
    })?;
    step("pymongo for the Python examples", || {
        println!("{}", python::packages_for_examples()?.display());
        Ok(())
    })?;
    step("cargo fmt --all --check", || {
        passes(cargo().args(["fmt", "--all", "--check"]), "run `cargo fmt --all`")
    })?;
    step("cargo xtask tidy", tidy::run)?;
    step("cargo clippy --workspace --all-targets", || {
        let flags = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
        passes(cargo().args(flags), "see its warnings above")
    })?;
    step("cargo doc --workspace --no-deps", || {
        let flags = ["doc", "--workspace", "--no-deps", "--document-private-items"];
        passes(cargo().args(flags).env("RUSTDOCFLAGS", DOC_FLAGS), "see rustdoc's warnings above")
    })?;
    println!("\n==> cargo test --workspace");
    passes(cargo().args(["test", "--workspace"]), "see the failures above")
}

fn step(name: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("\n==> {name}");
    let start = Instant::now();
    run().with_context(|| format!("`{name}` failed"))?;
    println!("    {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Runs a command whose own output says what is wrong; `advice` says what to do.
fn passes(command: &mut Command, advice: &str) -> Result<()> {
    let status = command.current_dir(workspace_directory()).status();
    if !status.context("cannot start cargo")?.success() {
        bail!("{advice}");
    }
    Ok(())
}
