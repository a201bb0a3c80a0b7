//! Reading a segment: each part when it is asked for, each checked.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use changetape_core::Seq;

use super::footer::LEN as FOOTER_LEN;
use super::{Entry, Footer, HEADER_LEN, Index, Totals, VERSION, decode_header};
use crate::block::{Block, BlockError, Decoder, Header};
use crate::{Damage, Error, block, disk, layout};

/// A segment that is open for reading.
#[derive(Debug)]
pub(crate) struct Segment {
    file: File,
    path: PathBuf,
    footer: Footer,
}

impl Segment {
    /// Opens a segment and reads its header and footer.
    ///
    /// # Errors
    /// [`Error::Damaged`] if they are not what was written; whoever knows what it should hold
    /// compares [`footer`](Self::footer).
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let len = file.metadata().map_err(Error::io("open", path))?.len();
        let damaged = |what: &str| Error::damaged(tape(path), Damage::of(named(path, what), None));
        let header = disk::read_at(&file, path, 0, HEADER_LEN)?;
        let Some(stated) = header.as_deref().and_then(decode_header) else {
            return Err(damaged("its header is not what was written"));
        };
        if stated.version > VERSION {
            return Err(Error::TooNew {
                path: path.to_owned(),
                what: "segment",
                found: stated.version.into(),
                supported: VERSION.into(),
            });
        }
        let footer = match len.checked_sub(FOOTER_LEN as u64) {
            Some(at) => disk::read_at(&file, path, at, FOOTER_LEN)?,
            None => None,
        };
        match footer.as_deref().and_then(Footer::decode) {
            Some(footer) if footer.file_len == len && footer.first == stated.first => {
                Ok(Self { file, path: path.to_owned(), footer })
            }
            Some(_) | None => Err(damaged("its footer is not what was written")),
        }
    }

    pub(crate) fn footer(&self) -> &Footer {
        &self.footer
    }

    /// The events that it holds.
    pub(crate) fn events(&self) -> Range<Seq> {
        self.footer.first..self.footer.end
    }

    /// What it holds, counted.
    pub(crate) fn totals(&self) -> Result<Totals, Error> {
        let len = self.footer.totals_len();
        let bytes = self.part(self.footer.totals_at, len)?;
        let totals = bytes.as_deref().and_then(Totals::decode);
        let events = self.footer.end.since(self.footer.first);
        let counted =
            |totals: &Totals| totals.events == events && totals.kinds.total() == Some(events);
        totals
            .filter(counted)
            .ok_or_else(|| self.damaged("its totals are not what was written", self.events()))
    }

    /// Where its blocks are, and what is in them.
    pub(crate) fn index(&self) -> Result<Index, Error> {
        let bytes = self.part(self.footer.index_at, self.footer.index_len())?;
        let index = bytes
            .filter(|bytes| crc32fast::hash(bytes) == self.footer.index_crc)
            .and_then(|bytes| Index::decode(&bytes, self.events(), self.footer.index_at));
        index.ok_or_else(|| self.damaged("its index is not what was written", self.events()))
    }

    /// A block's bytes, unchecked.
    pub(crate) fn block_bytes(&self, entry: &Entry) -> Result<Vec<u8>, Error> {
        let bytes = self.part(entry.offset, entry.len.into())?;
        bytes.ok_or_else(|| self.damaged("it is cut off", entry.first..entry.end()))
    }

    /// Reads a block and checks all of it.
    pub(crate) fn block(&self, entry: &Entry, decoder: &mut Decoder) -> Result<Block, Error> {
        self.decode(entry, &self.block_bytes(entry)?, decoder)
    }

    /// Decodes a block's bytes.
    pub(crate) fn decode(
        &self,
        entry: &Entry,
        bytes: &[u8],
        decoder: &mut Decoder,
    ) -> Result<Block, Error> {
        let block = decoder.decode(bytes);
        self.expect(entry, block, |block| block.first()..block.end())
    }

    /// Checks a block's bytes without decompressing them.
    pub(crate) fn check(&self, entry: &Entry, bytes: &[u8]) -> Result<Header, Error> {
        self.expect(entry, block::check(bytes), |header| header.first..header.end())
    }

    fn expect<T>(
        &self,
        entry: &Entry,
        read: Result<T, BlockError>,
        events: impl FnOnce(&T) -> Range<Seq>,
    ) -> Result<T, Error> {
        let read = read.map(|read| (events(&read) == (entry.first..entry.end()), read));
        match read {
            Ok((true, read)) => Ok(read),
            Ok((false, _)) => {
                let what = format!("the block at {} holds other events", entry.first);
                Err(self.damaged(&what, entry.first..entry.end()))
            }
            Err(BlockError::TooNew { found }) => Err(Error::TooNew {
                path: self.path.clone(),
                what: "block",
                found: found.into(),
                supported: block::VERSION.into(),
            }),
            Err(error) => {
                let what = format!("{error} at {}", entry.first);
                Err(self.damaged(&what, entry.first..entry.end()))
            }
        }
    }

    /// The error for a part that is not what was written.
    pub(crate) fn damaged(&self, what: &str, events: Range<Seq>) -> Error {
        Error::damaged(tape(&self.path), Damage::of(named(&self.path, what), Some(events)))
    }

    fn part(&self, at: u64, len: u64) -> Result<Option<Vec<u8>>, Error> {
        // The footer's parts lie within the file, so no more is allocated than the file has.
        let within = at.checked_add(len).is_some_and(|end| end <= self.footer.file_len);
        match usize::try_from(len) {
            Ok(len) if within => disk::read_at(&self.file, &self.path, at, len),
            _ => Ok(None),
        }
    }
}

/// The tape that a segment belongs to.
fn tape(segment: &Path) -> &Path {
    layout::parent(layout::parent(segment))
}

fn named(path: &Path, what: &str) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("{}/{name}: {what}", layout::SEGMENTS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::High;
    use crate::samples;
    use crate::segment::SegmentWriter;

    #[test]
    fn a_block_is_not_taken_for_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("segment");
        let mut writer =
            SegmentWriter::new(disk::create_file(&path).unwrap(), &path, High::default());
        let mut decoder = Decoder::new().unwrap();
        for (written, stated) in [((5, 9), (5, 9)), ((5, 9), (9, 13))] {
            let stated = decoder.decode(&samples::block(stated.0, stated.1)).unwrap();
            writer.add(&samples::block(written.0, written.1), &stated).unwrap();
        }
        writer.finish(&[], &samples::metadata()).unwrap().unwrap();
        let segment = Segment::open(&path).unwrap();
        let index = segment.index().unwrap();
        let [sound, other] = &index.0[..] else { panic!("two blocks were written") };
        let mut readable = |entry| {
            let checked = segment.check(entry, &segment.block_bytes(entry).unwrap()).is_ok();
            (segment.block(entry, &mut decoder).is_ok(), checked)
        };
        assert_eq!((readable(sound), readable(other)), ((true, true), (false, false)));
    }
}
