//! A tape's files, to be damaged and put back.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

/// A tape's files: path in the tape, content. The lock's text is not the tape's content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Image(pub(crate) BTreeMap<String, Vec<u8>>);

/// How long a block's header is at least.
const HEADER_LEN: usize = 92;

/// Where a block lies, and its events.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) file: String,
    pub(crate) bytes: Range<usize>,
    pub(crate) events: Range<u64>,
}

impl Image {
    pub(crate) fn of(tape: &Path) -> Self {
        let mut image = Self::default();
        let mut pending = vec![tape.to_owned()];
        while let Some(dir) = pending.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(tape).unwrap().to_str().unwrap().to_owned();
                if path.is_dir() {
                    pending.push(path);
                } else if name != "lock" {
                    image.0.insert(name, fs::read(path).unwrap());
                }
            }
        }
        image
    }

    /// Makes the tape what it was.
    pub(crate) fn restore(&self, tape: &Path) {
        if tape.exists() {
            fs::remove_dir_all(tape).unwrap();
        }
        for dir in ["log", "segments"] {
            fs::create_dir_all(tape.join(dir)).unwrap();
        }
        for (name, bytes) in &self.0 {
            let path = tape.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    pub(crate) fn with(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut changed = self.clone();
        change(changed.0.get_mut(name).unwrap());
        changed
    }

    pub(crate) fn without(&self, name: &str) -> Self {
        let mut changed = self.clone();
        changed.0.remove(name).unwrap();
        changed
    }

    /// The names of the files in a directory.
    pub(crate) fn names(&self, dir: &str) -> Vec<String> {
        self.0.keys().filter(|name| name.starts_with(dir)).cloned().collect()
    }

    /// Where blocks lie in a file. What lies within a block is not looked at.
    pub(crate) fn blocks(&self, name: &str) -> Vec<Placed> {
        let bytes = &self.0[name];
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let mut found = Vec::new();
        let mut at = 0;
        while at + HEADER_LEN < bytes.len() {
            if !bytes[at..].starts_with(b"CTBK") {
                at += 1;
                continue;
            }
            let end = at + usize::try_from(u32_at(at + 8) + u32_at(at + 12)).unwrap();
            let first = u64::from_le_bytes(bytes[at + 24..at + 32].try_into().unwrap());
            let events = first..first + u64::from(u32_at(at + 20));
            found.push(Placed { file: name.to_owned(), bytes: at..end, events });
            at = end;
        }
        found
    }
}

/// How long a file is without the zeros at its end: sled pads its file with them.
pub(crate) fn content_len(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
}
