//! `Output`: a file that is written from its beginning to its end.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::{Error, disk};

/// How much is collected before it is written, and synced: whoever syncs another file meanwhile, as
/// a recording does, waits for no more than that. Measured: `docs/decisions/0002-…`.
const WRITE_LEN: usize = 4 << 20;

/// A file that is written from its beginning to its end, some of it at a time.
pub(crate) struct Output {
    file: File,
    path: PathBuf,
    buffer: Vec<u8>,
    /// How much of the file is written, the buffer not counted.
    written: u64,
}

impl Output {
    /// Writes to a file from its beginning, over what may be there.
    pub(crate) fn new(file: File, path: &Path) -> Self {
        Self { file, path: path.to_owned(), buffer: Vec::new(), written: 0 }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where in the file comes what is added next.
    pub(crate) fn position(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() < WRITE_LEN {
            return Ok(());
        }
        self.write()?;
        disk::sync_file(&self.file, &self.path)
    }

    /// Writes what is left, cuts off what lies behind it, and makes the file durable under the
    /// name that it has.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        self.write()?;
        disk::truncate(&self.file, &self.path, self.written)?;
        disk::sync_file(&self.file, &self.path)
    }

    fn write(&mut self) -> Result<(), Error> {
        disk::write_at(&self.file, &self.path, &self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
