//! The Python packages that the examples need, apart from whatever Python has installed.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, fetch, target_directory, workspace_directory};

/// A directory for `PYTHONPATH` with what `examples/python/requirements.txt` names,
/// installed there by pip once.
///
/// # Errors
/// [`Error::Python`] if pip is missing or cannot get them.
pub fn packages_for_examples() -> Result<PathBuf, Error> {
    packages(&workspace_directory().join("examples/python/requirements.txt"))
}

fn packages(requirements: &Path) -> Result<PathBuf, Error> {
    let text = fs::read_to_string(requirements)
        .map_err(|source| Error::file("read", requirements, source))?;
    let installed = target_directory().join("python").join(name_of(&text));
    fetch::once(&installed, |directory| {
        eprintln!("installing the packages of {} (once)", requirements.display());
        let arguments = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        let into: [&OsStr; 4] = [
            "--target".as_ref(),
            directory.as_os_str(),
            "--requirement".as_ref(),
            requirements.as_os_str(),
        ];
        fetch::python(&arguments.map(OsStr::new).into_iter().chain(into).collect::<Vec<_>>())
    })?;
    Ok(installed)
}

/// A directory's name that changes with the requirements.
fn name_of(requirements: &str) -> String {
    let lines = requirements.lines().map(str::trim);
    let pins = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    pins.map(|pin| pin.replace("==", "-")).collect::<Vec<_>>().join("+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_requirements_go_to_another_directory() {
        assert_eq!(name_of("# pinned\na==1.0\n\nb==2.1\n"), "a-1.0+b-2.1");
    }
}
