//! `durable`: the watermark, one past the last event that an append acknowledged.
//!
//! Written in place after each append that added events, without a sync of its own: behind
//! the log it is harmless, ahead of it it never is. It outlives the process that wrote it, so
//! a log that ends before it has lost something that was durable, which is damage and no
//! crash. sled alone would take a cut log for one that ended there. It is synced before another
//! log is begun, so also after a power loss it is not behind a log that was full.
//!
//! Layout, little-endian:
//! ```text
//! offset  size  field
//! 0       4     magic "CTDW"
//! 4       8     the Seq of the next event
//! 12      4     CRC-32 of all before it
//! ```
//! It lies within one sector and is written whole at creation, so a power loss leaves it as
//! it was or as it was to be.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use changetape_core::Seq;

use crate::bytes::u64_at;
use crate::{Error, disk, layout};

const MAGIC: [u8; 4] = *b"CTDW";
const AT_NEXT: usize = MAGIC.len();
const AT_CRC: usize = AT_NEXT + 8;
const LEN: usize = AT_CRC + 4;

/// The watermark of a tape that is being recorded.
#[derive(Debug)]
pub(crate) struct Watermark {
    file: File,
    path: PathBuf,
}

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// Everything before it is durable.
    Next(Seq),
    /// It is not there: someone removed it, and with it what it guarded.
    Nothing,
    /// It is not what was written.
    Damaged,
}

pub(crate) fn encode(next: Seq) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&next.get().to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Seq> {
    let next = Seq::new(u64_at(bytes, AT_NEXT)?);
    (encode(next) == bytes).then_some(next)
}

/// Reads a tape's watermark.
pub(crate) fn read(tape: &Path) -> Result<Said, Error> {
    let bytes = disk::read_small(&tape.join(layout::DURABLE), LEN as u64)?;
    Ok(match bytes.as_deref().map(decode) {
        Some(Some(next)) => Said::Next(next),
        Some(None) => Said::Damaged,
        None => Said::Nothing,
    })
}

impl Watermark {
    /// Opens the watermark of a tape whose events before `next` are durable.
    pub(crate) fn open(tape: &Path, next: Seq) -> Result<Self, Error> {
        let path = tape.join(layout::DURABLE);
        if read(tape)? == Said::Nothing {
            disk::write_new(&path, &encode(next))?;
            disk::sync_dir(tape)?;
        }
        let file = OpenOptions::new().write(true).open(&path).map_err(Error::io("open", &path))?;
        let watermark = Self { file, path };
        watermark.advance(next)?;
        Ok(watermark)
    }

    /// States that everything before `next` is durable.
    pub(crate) fn advance(&self, next: Seq) -> Result<(), Error> {
        disk::write_at(&self.file, &self.path, &encode(next), 0)
    }

    /// Makes the watermark itself durable.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        disk::sync_file(&self.file, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_was_written_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), Said::Nothing);
        let watermark = Watermark::open(dir.path(), Seq::new(5)).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Said::Next(Seq::new(5)));
        watermark.advance(Seq::new(1 << 40)).unwrap();
        watermark.sync().unwrap();
        assert_eq!(read(dir.path()).unwrap(), Said::Next(Seq::new(1 << 40)));
        let path = dir.path().join(layout::DURABLE);
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), LEN);
        for at in 0..LEN {
            std::fs::write(&path, &bytes[..at]).unwrap();
            assert_eq!(read(dir.path()).unwrap(), Said::Damaged, "cut to {at}");
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                std::fs::write(&path, flipped).unwrap();
                assert_eq!(read(dir.path()).unwrap(), Said::Damaged, "bit {bit} of {at}");
            }
        }
        std::fs::write(&path, [&bytes[..], &[0]].concat()).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Said::Damaged, "one byte more");
    }
}
