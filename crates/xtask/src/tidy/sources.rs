//! What every source file keeps to.
//!
//! - It begins with a module documentation that says what it is.
//! - It has at most [`MOST_LINES`] lines, tests aside: a file fits in the head. Tests are
//!   what comes after `#[cfg(test)]`, what lies below a `tests` directory, and `tests.rs`.
//! - It skips no test: one that does not run guards nothing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use changetape_testkit::workspace_directory;

/// How many lines a file may have, tests aside.
const MOST_LINES: usize = 400;

/// Where the workspace's own source files are.
const DIRECTORIES: [&str; 4] = ["crates", "tests", "benches", "fuzz"];

/// The attribute, in two parts lest this file be found to have it.
const SKIPPED: &str = concat!("#[", "ignore");

/// Every breach in the workspace.
pub(super) fn check() -> Result<Vec<String>> {
    let root = workspace_directory();
    let mut files = Vec::new();
    for directory in DIRECTORIES.map(|directory| root.join(directory)) {
        if directory.is_dir() {
            source_files(&directory, &mut files)?;
        }
    }
    files.sort();
    let mut breaches = Vec::new();
    if files.is_empty() {
        breaches.push(format!("{}: no source files", root.display()));
    }
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let path = file.strip_prefix(root).unwrap_or(&file);
        breaches.extend(breaches_of(path, &text));
    }
    Ok(breaches)
}

fn source_files(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        let is_build_directory = path.file_name().is_some_and(|name| name == "target");
        if path.is_dir() && !is_build_directory {
            source_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

fn breaches_of(path: &Path, text: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    let shown = path.display();
    if !text.starts_with("//!") {
        breaches.push(format!("{shown}:1: begins without a module documentation (`//! …`)"));
    }
    let is_test = path.components().any(|part| part.as_os_str() == "tests")
        || path.file_name().is_some_and(|name| name == "tests.rs");
    let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
    if !is_test && lines > MOST_LINES {
        breaches.push(format!("{shown}: {lines} lines, more than {MOST_LINES}; split it"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with(SKIPPED) {
            breaches.push(format!("{shown}:{number}: skips a test; make it run or remove it"));
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_is_kept_and_its_breach_is_named() {
        let check = |path: &str, text: &str| breaches_of(Path::new(path), text);
        assert_eq!(check("a.rs", "//! Good.\nfn f() {}\n"), [""; 0]);
        assert_eq!(
            check("a.rs", "use b;\n//! Late.\n"),
            ["a.rs:1: begins without a module documentation (`//! …`)"]
        );
        let long = format!("//! Long.\n{}", "fn f() {}\n".repeat(MOST_LINES));
        assert_eq!(check("a.rs", &long), ["a.rs: 401 lines, more than 400; split it"]);
        assert_eq!(check("crates/a/tests/b.rs", &long), [""; 0]);
        assert_eq!(check("crates/a/src/b/tests.rs", &long), [""; 0]);
        let with_tests = format!("//! Short.\n#[cfg(test)]\n{}", "\n".repeat(MOST_LINES));
        assert_eq!(check("a.rs", &with_tests), [""; 0]);
        let skipping = format!("//! Skips.\n    {SKIPPED} = \"slow\"]\n");
        assert_eq!(check("a.rs", &skipping), ["a.rs:2: skips a test; make it run or remove it"]);
    }
}
