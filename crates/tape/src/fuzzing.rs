//! What fuzzing reaches: everything that reads a tape's bytes, given any.
//!
//! No part of the interface, and there only with the feature `fuzzing`; `fuzz/` has the targets.
//! A changed byte does not get past a checksum, so each input is read twice: as it is, and with
//! its checksums made right, as a malicious tape's would be.

mod base;

use std::path::Path;

pub use base::base;

use crate::block::{Decoder, MAGIC};
use crate::bytes::{len_at, u64_at};
use crate::catalog::Catalog;
use crate::checkpoint::Kept;
use crate::salvage::Salvage;
use crate::segment::{HEADER_LEN as SEGMENT_HEADER_LEN, Kinds, Segment, Totals};
use crate::{Block, Error, Gap, format, metadata};
use changetape_core::Seq;

const CRC_LEN: usize = 4;

/// Reads a block.
///
/// The first byte decides what is done to the rest: besides the checksums also the body may be
/// compressed first, so that fuzzing reaches the events in it.
pub fn block(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if choice & 1 == 1 {
        compress_body(&mut bytes);
    }
    read_block(&bytes);
    mend_block(&mut bytes);
    read_block(&bytes);
}

/// Reads a segment, each part of it by itself. `scratch` is where it is put.
///
/// # Errors
/// If it cannot be put there.
pub fn segment(input: &[u8], scratch: &Path) -> std::io::Result<()> {
    let mut bytes = input.to_vec();
    for mended in [false, true] {
        if mended {
            mend_segment(&mut bytes);
        }
        std::fs::write(scratch, &bytes)?;
        // What is wrong with it is not the question.
        let _ = read_segment(scratch);
        if let Ok(salvage) = Salvage::of_file(scratch) {
            let run = salvage.run(Seq::ZERO);
            for found in salvage.blocks().chain(&run.blocks) {
                let _ = salvage.read(found);
                let _ = salvage.checkpoint_at(found.end);
            }
        }
    }
    Ok(())
}

/// Reads whatever small thing a tape keeps.
pub fn frame(input: &[u8]) {
    let mut bytes = input.to_vec();
    for mended in [false, true] {
        if mended {
            mend_frame(&mut bytes);
        }
        let _ = Kept::decode(&bytes);
        let _ = Gap::decode(&bytes);
        let _ = Totals::decode(&bytes);
        let _ = metadata::decode(&bytes);
        let _ = format::parse(&bytes);
        if let Some(mut catalog) = Catalog::decode(&bytes) {
            let _ = (catalog.checkpoint(), catalog.disk_len(), catalog.position(catalog.start()));
            let counted = catalog.kinds.clone();
            catalog.kinds.add(&counted);
            catalog.kinds.subtract(&counted);
            let _ = catalog.kinds.agrees_with(&counted);
        }
    }
}

fn read_block(bytes: &[u8]) {
    let decoded = Decoder::new().ok().and_then(|mut decoder| decoder.decode(bytes).ok());
    decoded.iter().for_each(look_at);
}

/// Asks a block for everything that it tells.
fn look_at(block: &Block) {
    let mut count = 0;
    for recorded in block.events() {
        let _ = (recorded.event.operation_type(), recorded.event.namespace());
        count += 1;
    }
    assert_eq!(count, block.len(), "as many events as it says");
    assert_eq!(block.end().since(block.first()), block.len() as u64, "each in its place");
}

fn read_segment(path: &Path) -> Result<(), Error> {
    let segment = Segment::open(path)?;
    let totals = segment.totals();
    let index = segment.index()?;
    let mut decoder = Decoder::new().map_err(Error::io("read", path))?;
    let mut kinds = Kinds::default();
    for entry in &index.0 {
        if let Ok(totals) = &totals {
            kinds.add_counted(&entry.kinds, &totals.kinds);
        }
        if let Ok(bytes) = segment.block_bytes(entry) {
            let _ = segment.check(entry, &bytes);
        }
        if let Ok(block) = segment.block(entry, &mut decoder) {
            look_at(&block);
        }
    }
    totals.map(drop)
}

/// Puts the checksum of what is before it at a place.
fn sum(bytes: &mut [u8], from: usize, at: usize) -> Option<()> {
    let crc = crc32fast::hash(bytes.get(from..at)?);
    put(bytes, at, &crc.to_le_bytes())
}

fn put(bytes: &mut [u8], at: usize, what: &[u8]) -> Option<()> {
    bytes.get_mut(at..at.checked_add(what.len())?)?.copy_from_slice(what);
    Some(())
}

/// Where a block has its header's length, its body's, and the body's checksum.
const AT_LENGTHS: (usize, usize, usize) = (8, 12, 80);

/// Makes the checksums of the block at the beginning right: how long it says it is.
fn mend_block(bytes: &mut [u8]) -> Option<usize> {
    let (at_header, at_body, at_crc) = AT_LENGTHS;
    let header_len = len_at(bytes, at_header)?;
    let end = header_len.checked_add(len_at(bytes, at_body)?)?;
    let crc = crc32fast::hash(bytes.get(header_len..end)?);
    put(bytes, at_crc, &crc.to_le_bytes())?;
    sum(bytes, 0, header_len.checked_sub(CRC_LEN)?)?;
    Some(end)
}

/// Takes what follows the header for events, and compresses them.
fn compress_body(bytes: &mut Vec<u8>) -> Option<()> {
    let (at_header, at_body, _) = AT_LENGTHS;
    let header_len = len_at(bytes, at_header)?;
    let raw = bytes.get(header_len..)?.to_vec();
    let body = zstd::bulk::compress(&raw, 1).ok()?;
    put(bytes, at_body, &u32::try_from(body.len()).ok()?.to_le_bytes())?;
    put(bytes, at_body + 4, &u32::try_from(raw.len()).ok()?.to_le_bytes())?;
    bytes.truncate(header_len);
    bytes.extend_from_slice(&body);
    Some(())
}

fn mend_frame(bytes: &mut [u8]) -> Option<()> {
    let crc_at = bytes.len().checked_sub(CRC_LEN)?;
    let document_len = u32::try_from(crc_at.checked_sub(8)?).ok()?;
    // A checkpoint is no frame, but ends in a checksum all the same.
    if !bytes.starts_with(b"CTCP") {
        put(bytes, 4, &document_len.to_le_bytes())?;
    }
    sum(bytes, 0, crc_at)
}

fn mend_segment(bytes: &mut [u8]) -> Option<()> {
    const FOOTER_LEN: usize = 52;
    let len = bytes.len();
    let footer = len.checked_sub(FOOTER_LEN)?;
    sum(bytes, 0, SEGMENT_HEADER_LEN - CRC_LEN)?;
    let mut at = SEGMENT_HEADER_LEN;
    while let Some(rest) = bytes.get_mut(at..).filter(|rest| rest.starts_with(&MAGIC)) {
        let Some(len) = mend_block(rest).filter(|len| *len > 0) else { break };
        at += len;
    }
    let place = |bytes: &[u8], at| usize::try_from(u64_at(bytes, footer + at)?).ok();
    let (index_at, totals_at) = (place(bytes, 24)?, place(bytes, 32)?);
    if let Some(index) = bytes.get(index_at..totals_at) {
        let crc = crc32fast::hash(index);
        put(bytes, footer + 4, &crc.to_le_bytes())?;
    }
    bytes.get_mut(totals_at..footer).and_then(mend_frame);
    put(bytes, footer + 40, &(len as u64).to_le_bytes())?;
    sum(bytes, footer, len - CRC_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn what_is_changed_behind_a_checksum_is_reached() {
        let bytes = samples::block(3, 9);
        let body = bytes.len() - 20;
        let mut changed = bytes.clone();
        changed[body] ^= 1;
        let decode = |bytes: &[u8]| Decoder::new().unwrap().decode(bytes).map(|block| block.len());
        let told = |bytes: &[u8]| decode(bytes).unwrap_err().to_string();
        assert!(told(&changed).contains("body checksum"), "{}", told(&changed));
        assert_eq!(mend_block(&mut changed), Some(bytes.len()));
        assert!(decode(&changed).map_or_else(|e| !e.to_string().contains("sum"), |n| n == 6));
        let mut same = bytes.clone();
        mend_block(&mut same);
        assert_eq!(same, bytes);

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.seg");
        samples::segment(&path);
        let segment = std::fs::read(&path).unwrap();
        let mut mended = segment.clone();
        mend_segment(&mut mended).unwrap();
        assert!(mended == segment, "what was right is left alone");
    }

    /// The inputs that fuzzing begins with, and those that once were too much.
    #[test]
    fn the_corpus_is_harmless() {
        let dir = tempfile::tempdir().unwrap();
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
        for target in ["block", "segment", "base", "frame"] {
            let mut inputs = 0;
            for entry in std::fs::read_dir(corpus.join(target)).unwrap() {
                let input = std::fs::read(entry.unwrap().path()).unwrap();
                match target {
                    "block" => block(&input),
                    "base" => base(&input, dir.path()).unwrap(),
                    "segment" => segment(&input, &dir.path().join("a.seg")).unwrap(),
                    _ => frame(&input),
                }
                inputs += 1;
            }
            assert!(inputs > 0, "{target}: no inputs");
        }
        let made = |name: &str| std::fs::read(corpus.join("frame").join(name)).unwrap();
        assert!(Catalog::decode(&made("catalog")).is_some_and(|catalog| {
            catalog.kinds.total() == Some(catalog.next.since(catalog.start()))
        }));
        assert!(Kept::decode(&made("checkpoint")).is_some());
        assert!(Gap::decode(&made("gap")).is_some());
        assert!(metadata::decode(&made("metadata")).is_some());
    }
}
