//! `FORMAT`: what a directory is and in which version, read before anything else.
//!
//! Three lines of text, which keep their meaning in every version; the checksum is the
//! CRC-32 of the two lines before it:
//! ```text
//! changetape tape
//! format 1
//! crc32 1e0bd5c9
//! ```
//! A tape of a newer version is refused here, before anything is locked, opened or changed.

use std::fs;
use std::io;
use std::path::Path;

use crate::{Error, disk, layout};

/// The version of the tape format that this program writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// Far longer than the file ever is.
const MAX_LEN: u64 = 256;

/// What is at a path where a tape should be.
pub(crate) enum Found {
    /// A tape of a version that this program reads.
    Tape,
    /// A tape, but its `FORMAT` is not what was written.
    Damaged,
}

/// The text of the file for a version.
pub(crate) fn render(version: u32) -> String {
    let lines = format!("changetape tape\nformat {version}\n");
    format!("{lines}crc32 {:08x}\n", crc32fast::hash(lines.as_bytes()))
}

/// The version that a text states, if the text is whole and unchanged.
pub(crate) fn parse(text: &[u8]) -> Option<u32> {
    let line = std::str::from_utf8(text).ok()?.lines().nth(1)?;
    let version = line.strip_prefix("format ")?.parse().ok()?;
    (render(version).as_bytes() == text).then_some(version)
}

/// Whether there is a tape at `path`, whatever its version or state.
#[must_use]
pub fn tape_exists(path: &Path) -> bool {
    path.join(layout::FORMAT).is_file()
}

/// Looks what is at `path`.
///
/// # Errors
/// If it is no tape, or one of a newer version.
pub(crate) fn look(path: &Path) -> Result<Found, Error> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::NotFound { path: path.to_owned() });
        }
        Err(error) => return Err(Error::io("open", path)(error)),
        Ok(metadata) if !metadata.is_dir() => {
            return Err(not_a_tape(path, "it is a file, and a tape is a directory"));
        }
        Ok(_) => {}
    }
    let text = disk::read_small(&path.join(layout::FORMAT), MAX_LEN)?;
    match text.as_deref().map(parse) {
        Some(Some(version)) if version > FORMAT_VERSION => Err(Error::TooNew {
            path: path.to_owned(),
            what: "format",
            found: version,
            supported: FORMAT_VERSION,
        }),
        Some(Some(_)) => Ok(Found::Tape),
        // With all else of a tape there, the file was lost or changed.
        _ if path.join(layout::CATALOG).is_file() => Ok(Found::Damaged),
        Some(None) => Err(not_a_tape(path, "its file FORMAT is not a tape's")),
        None if is_empty(path)? => Err(not_a_tape(path, "it is an empty directory")),
        None => Err(not_a_tape(path, "it is a directory without a file FORMAT")),
    }
}

fn not_a_tape(path: &Path, found: &'static str) -> Error {
    Error::NotATape { path: path.to_owned(), found }
}

fn is_empty(path: &Path) -> Result<bool, Error> {
    fs::read_dir(path).map(|mut entries| entries.next().is_none()).map_err(Error::io("list", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_whole_and_unchanged_only() {
        let text = render(1);
        assert_eq!(parse(text.as_bytes()), Some(1));
        assert_eq!(parse(render(40_000).as_bytes()), Some(40_000));
        for at in 0..text.len() {
            assert_eq!(parse(&text.as_bytes()[..at]), None, "cut to {at}");
            let mut flipped = text.clone().into_bytes();
            flipped[at] ^= 1;
            assert_eq!(parse(&flipped), None, "flipped at {at}");
        }
        assert_eq!(parse(text.replace("format 1", "format 01").as_bytes()), None);
    }
}
