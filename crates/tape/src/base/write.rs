//! Writing a base: collection by collection, then what was counted.

use std::path::{Path, PathBuf};

use bson::raw::RawDocument;
use changetape_core::{ClusterTime, WallTime};

use super::block::{Encoder, Place};
use super::totals::{Extent, FOOTER_LEN, Footer, Totals};
use super::{BaseSummary, Definition, HEADER_MAGIC, MAX_DOCUMENT_LEN, TARGET_RAW_LEN, header};
use crate::output::Output;
use crate::{Error, disk, frame, layout};

/// A base that is being written. Dropped without [`finish`](Self::finish) there is none; what was
/// written of it goes with the draft.
pub struct BaseWriter {
    tape: PathBuf,
    output: Output,
    encoder: Encoder,
    totals: Totals,
    taken: WallTime,
    /// Documents of the last collection that are in no block yet, and how many.
    raw: Vec<u8>,
    count: u32,
}

impl std::fmt::Debug for BaseWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BaseWriter").field("path", &self.output.path()).finish_non_exhaustive()
    }
}

impl BaseWriter {
    /// Begins the base of a tape, in place of one that was not finished.
    pub(crate) fn begin(tape: &Path, time: ClusterTime, taken: WallTime) -> Result<Self, Error> {
        let path = layout::unfinished_base(tape);
        // One whose name could not be made durable may be there.
        disk::remove_file(&tape.join(layout::BASE))?;
        let file = disk::create_file(&path)?;
        let encoder = Encoder::new().map_err(Error::io("write", &path))?;
        let header = frame::encode(HEADER_MAGIC, &header(time, taken))
            .ok_or_else(|| Error::does_not_fit("write", &path))?;
        let mut output = Output::new(file, &path);
        output.add(&header)?;
        Ok(Self {
            tape: tape.to_owned(),
            output,
            encoder,
            totals: Totals { time, collections: Vec::new() },
            taken,
            raw: Vec::new(),
            count: 0,
        })
    }

    /// Begins a collection, or notes a view; documents that follow are its own.
    ///
    /// # Errors
    /// See [`Error`]. After any, the base cannot be finished.
    pub fn collection(&mut self, definition: &Definition) -> Result<(), Error> {
        self.end_block()?;
        let encoded =
            definition.encode().ok_or_else(|| Error::does_not_fit("write", self.output.path()))?;
        let at = self.output.position();
        self.totals.collections.push(Extent { at, documents: 0, bytes: 0 });
        self.output.add(&encoded)
    }

    /// Adds a document to the collection that was begun last.
    ///
    /// # Errors
    /// [`Error::DocumentTooLarge`]; [`Error::Io`] also if no collection was begun. After any, the
    /// base cannot be finished.
    pub fn document(&mut self, document: &RawDocument) -> Result<(), Error> {
        let document = document.as_bytes();
        if document.len() > MAX_DOCUMENT_LEN {
            let (bytes, limit) = (document.len(), MAX_DOCUMENT_LEN);
            return Err(Error::DocumentTooLarge { bytes, limit });
        }
        if !self.raw.is_empty() && self.raw.len() + document.len() > TARGET_RAW_LEN {
            self.end_block()?;
        }
        self.raw.extend_from_slice(document);
        self.count += 1;
        Ok(())
    }

    /// Puts the base in place, whole and durable.
    ///
    /// # Errors
    /// See [`Error`]. There is no base then.
    pub fn finish(mut self) -> Result<BaseSummary, Error> {
        self.end_block()?;
        let encoded =
            self.totals.encode().ok_or_else(|| Error::does_not_fit("write", self.output.path()))?;
        let totals_at = self.output.position();
        let file_len = totals_at + (encoded.len() + FOOTER_LEN) as u64;
        self.output.add(&encoded)?;
        self.output.add(&Footer { totals_at, file_len }.encode())?;
        debug_assert_eq!(self.output.position(), file_len);
        self.output.finish()?;
        disk::rename(&layout::unfinished_base(&self.tape), &self.tape.join(layout::BASE))?;
        Ok(self.totals.summary(self.taken, file_len))
    }

    /// Makes a block of the documents that are in none.
    fn end_block(&mut self) -> Result<(), Error> {
        if self.raw.is_empty() {
            return Ok(());
        }
        let number = self.totals.collections.len().checked_sub(1);
        let number = number.and_then(|number| u32::try_from(number).ok());
        let (Some(collection), Some(extent)) = (number, self.totals.collections.last_mut()) else {
            return Err(Error::does_not_fit("write", self.output.path()));
        };
        let place = Place { collection, first: extent.documents };
        extent.documents += u64::from(self.count);
        extent.bytes += self.raw.len() as u64;
        let encoded = self.encoder.encode(place, self.count, &self.raw);
        let block = encoded.map_err(Error::io("write", self.output.path()))?;
        self.raw.clear();
        self.count = 0;
        self.output.add(&block)
    }
}
