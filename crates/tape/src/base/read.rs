//! Reading a base: each part when it is asked for, each checked.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use changetape_core::WallTime;

use super::block::{self, Decoder, Header};
use super::totals::{Extent, FOOTER_LEN, Footer, Totals};
use super::{BaseBlock, BaseSummary, Definition, HEADER_MAGIC, VERSION, damaged};
use crate::frame::{self, Magic};
use crate::{Damage, Error, TapeReader, disk, layout};

/// A base that is open for reading.
#[derive(Debug)]
pub struct Base {
    tape: PathBuf,
    file: File,
    totals: Totals,
    taken: WallTime,
    /// Where the collections end and the totals begin.
    end: u64,
    disk_bytes: u64,
}

/// A collection or view in a base.
#[derive(Debug, Clone, PartialEq)]
pub struct BaseCollection {
    /// What it is, apart from its documents.
    pub definition: Definition,
    /// How many documents it holds.
    pub documents: u64,
    /// Their BSON in bytes, uncompressed.
    pub bytes: u64,
    number: u32,
    /// Where its blocks begin and end.
    blocks: (u64, u64),
}

impl Base {
    /// Opens a tape's base; `None` if it has none.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it is not what was written; [`Error::TooNew`].
    pub fn open(tape: &Path) -> Result<Option<Self>, Error> {
        let path = tape.join(layout::BASE);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(Error::io("open", &path))?,
        };
        let metadata = file.metadata().map_err(Error::io("open", &path))?;
        let len = metadata.len();
        let part = Part { file: &file, path: &path, end: len };
        let header = part.frame(HEADER_MAGIC, 0)?;
        let header_len = header.as_ref().map_or(0, Vec::len) as u64;
        let header = header.as_deref().and_then(|bytes| frame::decode(HEADER_MAGIC, bytes));
        let Some(header) = header else {
            return Err(damaged(tape, "its header is not what was written"));
        };
        let field = |name: &str| header.get_i32(name).ok();
        let stated = header.get_timestamp("time").ok().zip(header.get_datetime("taken").ok());
        let (Some(version), Some((time, taken))) = (field("version"), stated) else {
            return Err(damaged(tape, "its header is not what was written"));
        };
        if version > VERSION {
            return Err(Error::TooNew {
                path: tape.to_owned(),
                what: "base",
                found: u32::try_from(version).unwrap_or_default(),
                supported: u32::try_from(VERSION).unwrap_or_default(),
            });
        }
        let footer = match len.checked_sub(FOOTER_LEN as u64) {
            Some(at) => part.bytes(at, FOOTER_LEN)?,
            None => None,
        };
        let footer = footer.as_deref().and_then(Footer::decode);
        let Some(footer) = footer.filter(|footer| footer.file_len == len) else {
            return Err(damaged(tape, "its footer is not what was written"));
        };
        let end = footer.totals_at;
        let totals = match usize::try_from(footer.totals_len()) {
            Ok(len) if len <= frame::MAX_LEN => part.bytes(end, len)?,
            _ => None,
        };
        let totals = totals.and_then(|bytes| Totals::decode(&bytes, header_len, end));
        match totals.filter(|totals| totals.time == time.into()) {
            Some(totals) => {
                let (tape, taken) = (tape.to_owned(), taken.into());
                let disk_bytes = metadata.blocks() * 512;
                Ok(Some(Self { tape, file, totals, taken, end, disk_bytes }))
            }
            None => Err(damaged(tape, "its totals are not what was written")),
        }
    }

    /// What it holds, counted.
    #[must_use]
    pub fn summary(&self) -> BaseSummary {
        self.totals.summary(self.taken, self.disk_bytes)
    }

    /// Its collections and views, in order; ends after the first error.
    pub fn collections(&self) -> impl Iterator<Item = Result<BaseCollection, Error>> {
        let all = 0..self.totals.collections.len();
        let mut failed = false;
        all.map_while(move |number| {
            let collection = (!failed).then(|| self.collection(number))?;
            failed = collection.is_err();
            Some(collection)
        })
    }

    /// The documents of a collection, a block at a time. Reads as it goes: memory does not grow
    /// with the base.
    #[must_use]
    pub fn blocks(&self, collection: &BaseCollection) -> BaseBlocks<'_> {
        BaseBlocks {
            base: self,
            collection: collection.clone(),
            at: collection.blocks.0,
            first: 0,
            bytes: 0,
            decoder: None,
            done: false,
        }
    }

    /// Reads all of it: what is damaged.
    pub(crate) fn check(&self, found: &mut dyn FnMut(Damage)) -> Result<(), Error> {
        for number in 0..self.totals.collections.len() {
            let read = self.collection(number).and_then(|collection| {
                self.blocks(&collection).try_for_each(|block| block.map(drop))
            });
            match read {
                Err(Error::Damaged { damage, .. }) => found(*damage),
                read => read?,
            }
        }
        Ok(())
    }

    fn collection(&self, number: usize) -> Result<BaseCollection, Error> {
        let cannot = || {
            damaged(&self.tape, &format!("the definition of collection {number} cannot be read"))
        };
        let extent = *self.totals.collections.get(number).ok_or_else(cannot)?;
        let Extent { at, documents, bytes } = extent;
        let next = self.totals.collections.get(number + 1);
        let end = next.map_or(self.end, |next| next.at);
        let part = Part { file: &self.file, path: &self.tape.join(layout::BASE), end };
        let frame = part.frame(super::definition::MAGIC, at)?.ok_or_else(cannot)?;
        let definition = Definition::decode(&frame).ok_or_else(cannot)?;
        let blocks = (at + frame.len() as u64, end);
        let number = u32::try_from(number).map_err(|_| cannot())?;
        Ok(BaseCollection { definition, documents, bytes, number, blocks })
    }
}

impl TapeReader {
    /// What there was before the first event, where the recording began with that; `None` if
    /// it did not.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::TooNew`]; see [`Error`].
    pub fn base(&self) -> Result<Option<Base>, Error> {
        Base::open(&self.path)
    }
}

/// Documents of a collection in a base, each block decoded and checked; ends after the first
/// error.
pub struct BaseBlocks<'a> {
    base: &'a Base,
    collection: BaseCollection,
    at: u64,
    /// How many documents were read, and their bytes.
    first: u64,
    bytes: u64,
    decoder: Option<Decoder>,
    done: bool,
}

impl std::fmt::Debug for BaseBlocks<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BaseBlocks").field("first", &self.first).finish_non_exhaustive()
    }
}

impl BaseBlocks<'_> {
    fn read(&mut self) -> Result<Option<BaseBlock>, Error> {
        let (_, end) = self.collection.blocks;
        if self.at == end {
            let counted = (self.first, self.bytes);
            let stated = (self.collection.documents, self.collection.bytes);
            return if counted == stated { Ok(None) } else { Err(self.damaged()) };
        }
        let path = self.base.tape.join(layout::BASE);
        let part = Part { file: &self.base.file, path: &path, end };
        let header = part.bytes(self.at, block::HEADER_LEN)?;
        let here = block::Place { collection: self.collection.number, first: self.first };
        let header = header.as_deref().and_then(Header::decode).filter(|it| it.place == here);
        let Some(header) = header else { return Err(self.damaged()) };
        let body = part.bytes(self.at + block::HEADER_LEN as u64, header.body_len())?;
        let mut decoder = match self.decoder.take() {
            Some(decoder) => decoder,
            None => Decoder::new().map_err(Error::io("read", &path))?,
        };
        let block = body.and_then(|body| decoder.decode(&header, &body));
        let Some(block) = block else { return Err(self.damaged()) };
        self.decoder = Some(decoder);
        self.at += (block::HEADER_LEN + header.body_len()) as u64;
        self.first += u64::from(header.count);
        self.bytes += block.raw_bytes() as u64;
        Ok(Some(block))
    }

    fn damaged(&self) -> Error {
        let namespace = self.collection.definition.namespace();
        let (first, all) = (self.first, self.collection.documents);
        let what = format!("of {all} documents of {namespace} only the first {first} can be read");
        damaged(&self.base.tape, &what)
    }
}

impl Iterator for BaseBlocks<'_> {
    type Item = Result<BaseBlock, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let read = self.read().transpose();
        self.done = !matches!(read, Some(Ok(_)));
        read
    }
}

/// A file up to where what is read of it must end: so no more is allocated than the file has.
struct Part<'a> {
    file: &'a File,
    path: &'a Path,
    end: u64,
}

impl Part<'_> {
    /// Some bytes; `None` if they are not all there.
    fn bytes(&self, at: u64, len: usize) -> Result<Option<Vec<u8>>, Error> {
        if at.checked_add(len as u64).is_none_or(|end| end > self.end) {
            return Ok(None);
        }
        disk::read_at(self.file, self.path, at, len)
    }

    /// As many bytes as the frame there says it has; `None` if none begins there.
    fn frame(&self, magic: Magic, at: u64) -> Result<Option<Vec<u8>>, Error> {
        let peek = self.bytes(at, frame::PEEK_LEN)?;
        match peek.and_then(|peek| frame::stated_len(magic, &peek)) {
            Some(len) => self.bytes(at, len),
            None => Ok(None),
        }
    }
}

/// What of a tape's base is damaged, and what it holds; nothing if there is none.
pub(crate) fn verify(
    tape: &Path,
    found: &mut dyn FnMut(Damage),
) -> Result<Option<BaseSummary>, Error> {
    match Base::open(tape) {
        Err(Error::Damaged { damage, .. }) => found(*damage),
        Err(error) => return Err(error),
        Ok(None) => {}
        Ok(Some(base)) => {
            base.check(found)?;
            return Ok(Some(base.summary()));
        }
    }
    Ok(None)
}
