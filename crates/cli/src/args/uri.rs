//! Where a connection string comes from, so that none with a password need be typed, and none
//! is shown when it stands in the wrong place.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use crate::exit::Usage;

/// The connection string given as an argument (or in `variable`), or in a file (or one named in
/// `variable` with `_FILE` behind it). What stands on the command line wins over what does not.
pub(crate) fn choose(
    given: Option<&str>,
    file: Option<&Path>,
    variable: &str,
) -> anyhow::Result<String> {
    let from = |variable: &str, value: &OsStr| env::var_os(variable).is_some_and(|is| is == value);
    let file_variable = format!("{}_URI_FILE", variable.trim_end_matches("_URI"));
    match (given, file) {
        (Some(uri), Some(path)) => {
            if from(variable, uri.as_ref()) && !from(&file_variable, path.as_os_str()) {
                read(path)
            } else if from(&file_variable, path.as_os_str()) {
                Ok(uri.to_owned())
            } else {
                Err(Usage::new("give the connection string or --uri-file, not both").into())
            }
        }
        (Some(uri), None) => Ok(uri.to_owned()),
        (None, Some(path)) => read(path),
        (None, None) => Err(Usage::new(format!(
            "no connection string: give it as an argument, with --uri-file, or in {variable}"
        ))
        .into()),
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(path).map_err(|error| {
        Usage::new(format!("cannot read --uri-file {}: {error}", path.display()))
    })?;
    Ok(text.trim().to_owned())
}
