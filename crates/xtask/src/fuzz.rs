//! `cargo xtask fuzz`: what reads a tape, given anything.
//!
//! Each target of `fuzz/` gets a minute. None may panic, nor take more memory than the
//! longest event needs a few times over.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};
use changetape_testkit::{cargo, target_directory, workspace_directory};

/// What can be fuzzed.
const TARGETS: [&str; 7] = ["block", "segment", "base", "frame", "event", "diff", "token"];

/// How long each target is tried, in seconds.
const TIME: &str = "-max_total_time=60";
/// One input may not take longer, in seconds.
const TIMEOUT: &str = "-timeout=20";
/// What a target may take of memory altogether, and at once, in mebibytes: a block may state
/// that it holds 64 MiB, and what decodes it and the fuzzer itself come on top.
const MEMORY: &str = "-rss_limit_mb=1024";
const ALLOCATION: &str = "-malloc_limit_mb=256";
/// Inputs are small: what matters is at their beginning.
const LENGTH: &str = "-max_len=16384";

/// Fuzzes some targets, or all.
pub(crate) fn run(targets: &[&str]) -> Result<()> {
    if let Some(unknown) = targets.iter().find(|target| !TARGETS.contains(target)) {
        bail!("no target is called {unknown}; there are {}", TARGETS.join(", "));
    }
    let version = cargo().args(["fuzz", "--version"]).stderr(Stdio::null()).output();
    ensure!(
        version.is_ok_and(|output| output.status.success()),
        "fuzzing needs cargo-fuzz: cargo install cargo-fuzz --locked"
    );
    let all = TARGETS.as_slice();
    let built = target_directory().join("fuzz");
    let committed = workspace_directory().join("fuzz/corpus");
    for target in if targets.is_empty() { all } else { targets } {
        println!("\n==> {target}");
        // What is found is kept for the next run; what is committed stays as it is.
        let found = built.join("corpus").join(target);
        fs::create_dir_all(&found).with_context(|| found.display().to_string())?;
        let ran = cargo()
            .args(["fuzz", "run", "--target-dir"])
            .args([built.as_path(), Path::new(target), &found, &committed.join(target)])
            .args(["--", TIME, TIMEOUT, MEMORY, ALLOCATION, LENGTH])
            // The sanitizer, which watches allocations, is no part of a stable compiler's
            // interface, but the stable compiler has it.
            .env("RUSTC_BOOTSTRAP", "1")
            .current_dir(workspace_directory())
            .status();
        if !ran.context("cannot start cargo")?.success() {
            bail!("{target}: see above; the input is in fuzz/artifacts/{target}/");
        }
    }
    Ok(())
}
