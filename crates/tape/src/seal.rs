//! Sealing: from the blocks of a log, or of segments, to one segment.
//!
//! ```text
//! log's files ──► salvage ──► blocks ──┬──► large ones as they are ──┬──► segment ──► catalog
//! segments ────► merging ───► blocks ──┘   small ones merged ────────┘
//! ```
//! A block of a log is decoded before it is copied: what is about to be the only copy is known to
//! be readable. It is not compressed again, which would save next to nothing and make sealing
//! slower than appending: `docs/decisions/0002-…`. Of a full one that goes from segment to segment
//! only the checksums are compared; what is in it, the index knows.
//!
//! Written under another name, synced, renamed: the segment is there whole or not at all. What
//! it was made of is removed once the catalog lists the segment instead, and not before. So
//! whenever the process is killed, the events are in one place or the other, and the next to
//! take the tape's lock removes what is left over.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use changetape_core::Seq;

use crate::block::{Block, BlockEncoder, Decoder, Header, High, Merged, TARGET_RAW_LEN};
use crate::catalog::Listed;
use crate::salvage::{Run, Salvage};
use crate::segment::{KindCounts, KindNumber, SegmentWriter};
use crate::{Error, Gap, Metadata, disk, layout};

/// A block with at least so many uncompressed bytes is full: making it larger would gain little.
const FULL_RAW_LEN: usize = TARGET_RAW_LEN / 2;

/// What every segment of a tape needs to know of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tape<'a> {
    pub(crate) path: &'a Path,
    pub(crate) metadata: &'a Metadata,
}

impl Tape<'_> {
    /// Seals the blocks that were found in a log, up to one that ends at `end`, behind what is
    /// on the tape already: its latest times, and all its gaps. `unfinished` is where the segment
    /// is written. `None` if there is no such block.
    pub(crate) fn seal(
        self,
        (salvage, run): (&Salvage, &Run),
        end: Seq,
        behind: (High, &[Gap]),
        unfinished: &Path,
    ) -> Result<Option<(Listed, KindCounts)>, Error> {
        let found = run.blocks.iter().take_while(|found| found.end <= end);
        self.write(found.map(|found| salvage.read(found)), behind, unfinished)
    }

    /// Writes a segment of blocks that follow one another.
    pub(crate) fn write(
        self,
        blocks: impl IntoIterator<Item = Result<Vec<u8>, Error>>,
        (high, gaps): (High, &[Gap]),
        unfinished: &Path,
    ) -> Result<Option<(Listed, KindCounts)>, Error> {
        let mut sealing = Sealing::new(unfinished, high)?;
        for bytes in blocks {
            let bytes = bytes?;
            let block = sealing.decode(&bytes)?;
            sealing.add(&bytes, block)?;
        }
        sealing.finish(self, gaps)
    }
}

/// Whether a block of so many uncompressed bytes stays as it is.
pub(crate) fn is_full(raw_len: u32) -> bool {
    usize::try_from(raw_len).is_ok_and(|raw_len| raw_len >= FULL_RAW_LEN)
}

/// A segment in the making.
pub(crate) struct Sealing {
    path: PathBuf,
    writer: SegmentWriter,
    encoder: BlockEncoder,
    decoder: Decoder,
    /// Small blocks that wait for others to make a larger one.
    pending: Option<Merged>,
}

impl Sealing {
    /// Begins one behind what is on the tape already, in the file at a path.
    pub(crate) fn new(path: &Path, high: High) -> Result<Self, Error> {
        let encoder = BlockEncoder::new().map_err(Error::io("seal", path))?;
        let decoder = Decoder::new().map_err(Error::io("seal", path))?;
        let writer = SegmentWriter::new(open(path)?, path, high);
        Ok(Self { path: path.to_owned(), writer, encoder, decoder, pending: None })
    }

    /// What decodes the blocks that are to be [added](Self::add).
    pub(crate) fn decoder(&mut self) -> &mut Decoder {
        &mut self.decoder
    }

    /// Adds a full block of another segment as it is: see [`SegmentWriter::copy`].
    pub(crate) fn copy(
        &mut self,
        bytes: &[u8],
        header: &Header,
        kinds: (&[(KindNumber, u32)], &KindCounts),
    ) -> Result<(), Error> {
        self.flush()?;
        self.writer.copy(bytes, header, kinds)
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<Block, Error> {
        let decoded = self.decoder.decode(bytes);
        decoded.map_err(|error| Error::io("seal", &self.path)(std::io::Error::other(error)))
    }

    /// Adds a block: its bytes, and the same decoded.
    pub(crate) fn add(&mut self, bytes: &[u8], block: Block) -> Result<(), Error> {
        if is_full(block.header().raw_len) {
            self.flush()?;
            return self.writer.add(bytes, &block);
        }
        let Some(pending) = &mut self.pending else {
            self.pending = Some(Merged::of(block));
            return Ok(());
        };
        if let Some(block) = pending.add(block) {
            self.flush()?;
            self.pending = Some(Merged::of(block));
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        let Some(merged) = self.pending.take() else { return Ok(()) };
        let bytes = self.encoder.encode_merged(&merged).map_err(Error::io("seal", &self.path))?;
        // Read back: what was in several blocks is about to be in this one alone.
        let block = self.decode(&bytes)?;
        self.writer.add(&bytes, &block)
    }

    /// Makes the segment durable under its name.
    pub(crate) fn finish(
        mut self,
        tape: Tape<'_>,
        gaps: &[Gap],
    ) -> Result<Option<(Listed, KindCounts)>, Error> {
        self.flush()?;
        let Some((footer, totals)) = self.writer.finish(gaps, tape.metadata)? else {
            disk::remove_file(&self.path)?;
            return Ok(None);
        };
        let listed = Listed::new(&footer, &totals);
        disk::rename(&self.path, &layout::segment(tape.path, &listed.events()))?;
        Ok(Some((listed, totals.kinds)))
    }
}

/// Opens a file for writing without giving up room that was set aside in it.
pub(crate) fn open(path: &Path) -> Result<File, Error> {
    if path.exists() {
        let mut options = OpenOptions::new();
        options.read(true).write(true).open(path).map_err(Error::io("open", path))
    } else {
        disk::create_file(path)
    }
}
