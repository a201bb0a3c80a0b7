//! `closed`: the lengths and checksums of the log's files when a tape was closed cleanly.
//!
//! sled repairs what it opens, and in doing so may drop what it cannot read, or panic. So a
//! cleanly closed tape is compared with this file before sled sees it: what differs is damage
//! and nothing is touched. The file is removed, durably, before a recorder opens the log and
//! written again when it closes it; a tape without it was not closed, and recovering it is
//! sled's business (see `opening`). Readers leave it: reading a settled log changes none of
//! its files, but for the number of zeros that `db` ends in. sled cuts and pads that file
//! whenever it opens it, so its length and checksum are those of what precedes the zeros.
//!
//! Text; lengths in decimal, checksums CRC-32 in hexadecimal, paths relative to `log/`; the
//! last line is the checksum of the lines before it:
//! ```text
//! changetape closed
//! next 40213
//! file 69 4fbb10ed conf
//! file 524288 01ab77de db
//! file 612 9f2c01ab snap.0000000000041F00
//! crc32 5d1ab093
//! ```

use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use changetape_core::Seq;

use crate::bytes::len_without_zeros;
use crate::{Error, disk, layout};

/// Room for a line per blob of a log that was never sealed.
const MAX_LEN: u64 = 64 << 20;

/// How much of a file is read at a time.
const CHUNK_LEN: usize = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
struct FileState {
    len: u64,
    crc: u32,
    path: String,
}

/// The log of a tape as it was when it was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) next: Seq,
    files: Vec<FileState>,
}

/// What a tape says about how it was closed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Cleanly, in this state.
    Cleanly(Closed),
    /// It was not: its process was killed, or still runs.
    Nothing,
    /// The file is not what was written.
    Damaged,
}

impl Closed {
    /// The log of a tape as it is.
    pub(crate) fn of(tape: &Path, next: Seq) -> Result<Self, Error> {
        let log = tape.join(layout::LOG);
        let state = |path: String| state(&log.join(&path), path);
        let files = disk::files(&log)?.into_iter().map(state).collect::<Result<_, _>>()?;
        Ok(Self { next, files })
    }

    /// Makes the log's files durable, then writes the file.
    ///
    /// In this order: after a power loss the file must not vouch for what did not survive.
    pub(crate) fn write(&self, tape: &Path) -> Result<(), Error> {
        let log = tape.join(layout::LOG);
        for file in &self.files {
            let path = log.join(&file.path);
            File::open(&path).and_then(|file| file.sync_all()).map_err(Error::io("sync", &path))?;
        }
        disk::sync_dir(&log.join(layout::BLOBS))?;
        disk::sync_dir(&log)?;
        disk::replace(&tape.join(layout::CLOSED), self.render().as_bytes())
    }

    /// The first difference between then and now, in words.
    pub(crate) fn difference(&self, tape: &Path) -> Result<Option<String>, Error> {
        let log = tape.join(layout::LOG);
        for then in &self.files {
            let path = log.join(&then.path);
            if !path.exists() {
                return Ok(Some(format!("log/{} is missing", then.path)));
            }
            let now = state(&path, then.path.clone())?;
            if now.len != then.len {
                let (path, found, expected) = (&then.path, now.len, then.len);
                return Ok(Some(format!("log/{path} is {found} bytes long (expected {expected})")));
            }
            if now.crc != then.crc {
                return Ok(Some(format!(
                    "log/{}: checksum mismatch (expected {:08x}, found {:08x})",
                    then.path, then.crc, now.crc
                )));
            }
        }
        // sled takes the newest of the files so called; others it ignores, and so do we.
        let known = |path: &String| self.files.iter().any(|then| then.path == *path);
        let stranger =
            disk::files(&log)?.into_iter().find(|path| path.starts_with("snap.") && !known(path));
        Ok(stranger.map(|path| format!("log/{path} was not there when the tape was closed")))
    }

    fn render(&self) -> String {
        let mut text = format!("changetape closed\nnext {}\n", self.next.get());
        for FileState { len, crc, path } in &self.files {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "file {len} {crc:08x} {path}");
        }
        let crc = crc32fast::hash(text.as_bytes());
        let _ = writeln!(text, "crc32 {crc:08x}");
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let next = lines.nth(1)?.strip_prefix("next ")?.parse().ok()?;
        let file = |line: &str| {
            let mut fields = line.strip_prefix("file ")?.splitn(3, ' ');
            let len = fields.next()?.parse().ok()?;
            let crc = u32::from_str_radix(fields.next()?, 16).ok()?;
            Some(FileState { len, crc, path: fields.next()?.to_owned() })
        };
        let files = lines.map_while(file).collect();
        let closed = Self { next: Seq::new(next), files };
        // Also compares the first line, the checksum and everything between.
        (closed.render() == text).then_some(closed)
    }
}

fn state(file: &Path, path: String) -> Result<FileState, Error> {
    let sum = |file| if path == layout::DB { sum_to_zeros(file) } else { sum(file) };
    let (len, crc) = File::open(file).and_then(sum).map_err(Error::io("read", file))?;
    Ok(FileState { len, crc, path })
}

/// Length and checksum of a file.
fn sum(file: File) -> io::Result<(u64, u32)> {
    let mut hasher = crc32fast::Hasher::new();
    let mut len = 0;
    for_each_chunk(file, |chunk| {
        hasher.update(chunk);
        len += chunk.len() as u64;
    })?;
    Ok((len, hasher.finalize()))
}

/// Length and checksum of a file without the zeros at its end.
fn sum_to_zeros(file: File) -> io::Result<(u64, u32)> {
    let zeros = vec![0; CHUNK_LEN];
    let mut hasher = crc32fast::Hasher::new();
    let mut len = 0;
    // Zeros that count if something follows them.
    let mut pending = 0;
    for_each_chunk(file, |chunk| {
        let (content, rest) = chunk.split_at(len_without_zeros(chunk));
        if !content.is_empty() {
            len += pending + content.len() as u64;
            while pending > 0 {
                let some = usize::try_from(pending).unwrap_or(CHUNK_LEN).min(CHUNK_LEN);
                hasher.update(zeros.get(..some).unwrap_or_default());
                pending -= some as u64;
            }
            hasher.update(content);
        }
        pending += rest.len() as u64;
    })?;
    Ok((len, hasher.finalize()))
}

fn for_each_chunk(mut file: File, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_LEN];
    loop {
        let len = file.read(&mut chunk)?;
        match chunk.get(..len) {
            None | Some([]) => return Ok(()),
            Some(bytes) => each(bytes),
        }
    }
}

/// Reads how a tape was closed.
pub(crate) fn read(tape: &Path) -> Result<Said, Error> {
    let text = disk::read_small(&tape.join(layout::CLOSED), MAX_LEN)?;
    let text = text.map(String::from_utf8);
    Ok(match text.map(|text| text.ok().and_then(|text| Closed::parse(&text))) {
        Some(Some(closed)) => Said::Cleanly(closed),
        Some(None) => Said::Damaged,
        None => Said::Nothing,
    })
}

/// Removes the file durably: from here on the log may differ.
pub(crate) fn remove(tape: &Path) -> Result<(), Error> {
    disk::remove_file(&tape.join(layout::CLOSED))?;
    disk::sync_dir(tape)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_tape() -> tempfile::TempDir {
        let tape = tempfile::tempdir().unwrap();
        let log = tape.path().join(layout::LOG);
        std::fs::create_dir_all(log.join(layout::BLOBS)).unwrap();
        std::fs::write(log.join("db"), [7; 3000]).unwrap();
        std::fs::write(log.join("blobs/17"), "blob").unwrap();
        tape
    }

    #[test]
    fn each_kind_of_difference_is_named() {
        let tape = some_tape();
        let path = tape.path();
        let closed = Closed::of(path, Seq::new(9)).unwrap();
        let difference = || closed.difference(path).unwrap().unwrap_or_default();
        assert_eq!(difference(), "");
        std::fs::write(path.join("log/unrelated"), "x").unwrap();
        assert_eq!(difference(), "");
        std::fs::write(path.join("log/snap.00.generating"), "x").unwrap();
        assert!(difference().starts_with("log/snap.00.generating was not there"));
        std::fs::write(path.join("log/db"), [[7; 3000], [0; 3000]].concat()).unwrap();
        std::fs::remove_file(path.join("log/snap.00.generating")).unwrap();
        assert_eq!(difference(), "", "zeros at the end are sled's padding");
        std::fs::write(path.join("log/db"), [&[7; 3000][..], &[0; 5], &[1]].concat()).unwrap();
        assert_eq!(difference(), "log/db is 3006 bytes long (expected 3000)");
        std::fs::write(path.join("log/db"), [7; 2999]).unwrap();
        assert_eq!(difference(), "log/db is 2999 bytes long (expected 3000)");
        std::fs::write(path.join("log/blobs/17"), "Blob").unwrap();
        assert!(difference().starts_with("log/blobs/17: checksum mismatch (expected "));
        std::fs::remove_file(path.join("log/blobs/17")).unwrap();
        assert_eq!(difference(), "log/blobs/17 is missing");
    }

    #[test]
    fn zeros_count_where_something_follows_them() {
        let sums = |parts: &[&[u8]]| {
            let mut file = tempfile::tempfile().unwrap();
            std::io::Write::write_all(&mut file, &parts.concat()).unwrap();
            std::io::Seek::rewind(&mut file).unwrap();
            let again = file.try_clone().unwrap();
            let to_zeros = sum_to_zeros(file).unwrap();
            std::io::Seek::rewind(&mut (&again)).unwrap();
            (to_zeros, sum(again).unwrap())
        };
        let hole = vec![0; 2 * CHUNK_LEN + 17];
        let (to_zeros, whole) = sums(&[b"a", &hole, b"b"]);
        assert_eq!(to_zeros, whole);
        assert_eq!(to_zeros.0, hole.len() as u64 + 2);
        assert_eq!(sums(&[b"a", &hole, b"b", &hole]).0, whole);
        assert_eq!(sums(&[&hole]).0, sums(&[]).1);
    }

    #[test]
    fn the_file_is_taken_whole_and_unchanged_only() {
        let tape = some_tape();
        let path = tape.path();
        assert_eq!(read(path).unwrap(), Said::Nothing);
        let closed = Closed::of(path, Seq::new(9)).unwrap();
        closed.write(path).unwrap();
        assert_eq!(read(path).unwrap(), Said::Cleanly(closed));
        let text = std::fs::read(path.join(layout::CLOSED)).unwrap();
        for at in 0..text.len() {
            std::fs::write(path.join(layout::CLOSED), &text[..at]).unwrap();
            assert_eq!(read(path).unwrap(), Said::Damaged, "cut to {at}");
            let mut flipped = text.clone();
            flipped[at] ^= 1;
            std::fs::write(path.join(layout::CLOSED), flipped).unwrap();
            assert_eq!(read(path).unwrap(), Said::Damaged, "flipped at {at}");
        }
        remove(path).unwrap();
        assert_eq!(read(path).unwrap(), Said::Nothing);
    }
}
