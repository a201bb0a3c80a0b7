//! Cargo, run by something that Cargo runs.

use std::process::Command;

/// The Cargo that runs this process, or `cargo`, as its user would run it.
///
/// What Cargo sets for a program that it runs (`CARGO_PKG_NAME` and the like) is taken out:
/// build scripts that depend on such variables, ring's for one, would see a change, and the
/// driver and all that is built on it would be compiled anew.
#[must_use]
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(describes_a_package) {
            command.env_remove(name);
        }
    }
    command
}

/// Whether it is about the package whose program is run, not about how Cargo is set up.
fn describes_a_package(variable: &str) -> bool {
    let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_CFG_"];
    prefixes.iter().any(|prefix| variable.starts_with(prefix))
        || matches!(variable, "CARGO_PRIMARY_PACKAGE" | "CARGO_TARGET_TMPDIR" | "OUT_DIR")
}
