//! Where the workspace and its build products are.

use std::path::{Path, PathBuf};

/// The directory of the workspace's `Cargo.toml`, as it was when this crate was built.
#[must_use]
pub fn workspace_directory() -> &'static Path {
    let crate_directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_directory.ancestors().nth(2).unwrap_or(crate_directory)
}

/// The workspace's target directory; whatever tests leave behind goes below it.
#[must_use]
pub fn target_directory() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => workspace_directory().join(directory),
        None => workspace_directory().join("target"),
    }
}
