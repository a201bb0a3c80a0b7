//! Who may import whom.
//!
//! Data flows one way, and a part that only reads tapes must not need a driver or a runtime.
//! That stays so because every package has a rule here; a package without one is a breach.
//! What tests and benches import is their own affair.

use anyhow::{Context, Result, anyhow};
use changetape_testkit::{cargo, workspace_directory};
use serde_json::Value;

/// What a package may import.
struct Rule {
    package: &'static str,
    /// Of the packages of this workspace, these only.
    ours: &'static [&'static str],
    /// Of other packages, never these.
    never: &'static [&'static str],
}

/// The driver, the runtime and the log, which few may touch.
const DRIVER: &str = "mongodb";
const RUNTIME: &str = "tokio";
const LOG: &str = "sled";

const RULES: &[Rule] = &[
    Rule {
        package: "changetape-core",
        ours: &[],
        never: &[DRIVER, RUNTIME, LOG, "tokio-util", "futures-util"],
    },
    Rule {
        package: "changetape-tape",
        ours: &["changetape-core"],
        never: &[DRIVER, RUNTIME, "tokio-util", "futures-util"],
    },
    Rule { package: "changetape-deployment", ours: &[], never: &[LOG] },
    Rule {
        package: "changetape-recorder",
        ours: &["changetape-core", "changetape-deployment", "changetape-tape"],
        never: &[LOG],
    },
    Rule {
        package: "changetape-replayer",
        ours: &["changetape-core", "changetape-deployment", "changetape-tape"],
        never: &[LOG],
    },
    Rule {
        package: "changetape",
        ours: &[
            "changetape-core",
            "changetape-deployment",
            "changetape-recorder",
            "changetape-replayer",
            "changetape-tape",
        ],
        never: &[DRIVER, LOG],
    },
    Rule {
        package: "changetape-testkit",
        ours: &["changetape-core", "changetape-recorder", "changetape-replayer", "changetape-tape"],
        never: &[LOG],
    },
    // The driver would make a newcomer's first `cargo xtask` wait for minutes.
    Rule { package: "xtask", ours: &["changetape-testkit"], never: &[DRIVER, RUNTIME, LOG] },
];

/// Programs that nothing imports and that look at everything.
const UNBOUND: [&str; 4] =
    ["changetape-benches", "changetape-demo", "changetape-power-loss", "changetape-tests"];

/// Every breach in the workspace.
pub(super) fn check() -> Result<Vec<String>> {
    let output = cargo()
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(workspace_directory())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        return Err(anyhow!(String::from_utf8_lossy(&output.stderr).into_owned()))
            .context("cargo metadata failed");
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    Ok(breaches(&packages(&metadata)))
}

/// A package and what it imports outside tests.
#[derive(Debug, PartialEq)]
struct Package {
    name: String,
    imports: Vec<String>,
}

fn packages(metadata: &Value) -> Vec<Package> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    list(metadata.get("packages"))
        .iter()
        .map(|package| Package {
            name: text(package.get("name")),
            imports: list(package.get("dependencies"))
                .iter()
                .filter(|dependency| text(dependency.get("kind")) != "dev")
                .map(|dependency| text(dependency.get("name")))
                .collect(),
        })
        .collect()
}

fn breaches(packages: &[Package]) -> Vec<String> {
    let mut breaches = Vec::new();
    if packages.is_empty() {
        breaches.push("cargo metadata names no packages".to_owned());
    }
    let is_ours = |name: &str| packages.iter().any(|package| package.name == name);
    let bound = |package: &&Package| !UNBOUND.contains(&package.name.as_str());
    for package in packages.iter().filter(bound) {
        let name = &package.name;
        let Some(rule) = RULES.iter().find(|rule| rule.package == name) else {
            breaches.push(format!(
                "{name}: no rule says what it may import; add one in {} and in docs/architecture.md",
                file!()
            ));
            continue;
        };
        for import in &package.imports {
            let import = import.as_str();
            if is_ours(import) && !rule.ours.contains(&import) || rule.never.contains(&import) {
                breaches
                    .push(format!("{name}: must not import {import}; see docs/architecture.md"));
            }
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, imports: &[&str]) -> Package {
        let imports = imports.iter().map(|&import| import.to_owned()).collect();
        Package { name: name.to_owned(), imports }
    }

    #[test]
    fn imports_against_the_flow_are_breaches() {
        let breaches = breaches(&[
            package("changetape-core", &["bson", "tokio"]),
            package("changetape-tape", &["changetape-core", "sled", "changetape-recorder"]),
            package("changetape-recorder", &["changetape-tape", "mongodb", "tokio"]),
            package("changetape", &["clap", "sled", "mongodb"]),
            package("changetape-new", &[]),
            package("changetape-tests", &["changetape-core", "mongodb"]),
        ]);
        let starts = [
            "changetape-core: must not import tokio",
            "changetape-tape: must not import changetape-recorder",
            "changetape: must not import sled",
            "changetape: must not import mongodb",
            "changetape-new: no rule",
        ];
        assert_eq!(breaches.len(), starts.len(), "{breaches:?}");
        for (breach, start) in breaches.iter().zip(starts) {
            assert!(breach.starts_with(start), "{breach}");
        }
    }

    #[test]
    fn what_tests_import_is_not_looked_at() {
        let metadata = serde_json::json!({"packages": [{"name": "a", "dependencies": [
            {"name": "b", "kind": null}, {"name": "c", "kind": "dev"}, {"name": "d", "kind": "build"},
        ]}]});
        assert_eq!(packages(&metadata), [package("a", &["b", "d"])]);
    }

    #[test]
    fn a_workspace_that_cannot_be_read_is_a_breach() {
        assert_eq!(breaches(&packages(&serde_json::json!({}))).len(), 1);
    }
}
