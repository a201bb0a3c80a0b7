//! Where a connection string comes from, so that none with a password need be typed, and none
//! is shown when it stands in the wrong place.

use std::fs;
use std::path::Path;

use crate::exit::Usage;

/// The connection string given on the command line (or in `variable`), or in a file.
pub(crate) fn choose(
    given: Option<&str>,
    file: Option<&Path>,
    variable: &str,
) -> anyhow::Result<String> {
    match (given, file) {
        (Some(_), Some(_)) => {
            Err(Usage::new("give the connection string or --uri-file, not both").into())
        }
        (Some(uri), None) => Ok(uri.to_owned()),
        (None, Some(path)) => {
            let text = fs::read_to_string(path).map_err(|error| {
                Usage::new(format!("cannot read --uri-file {}: {error}", path.display()))
            })?;
            Ok(text.trim().to_owned())
        }
        (None, None) => Err(Usage::new(format!(
            "no connection string: give it as an argument, with --uri-file, or in {variable}"
        ))
        .into()),
    }
}
