//! A base: read from its file, as it is and with its checksums made right.

use std::path::Path;

use super::{CRC_LEN, mend_frame, put, sum};
use crate::base::{self, HEADER_MAGIC};
use crate::bytes::{len_at, u64_at};
use crate::frame::{self, Magic};
use crate::{Base, Error, layout};

/// What a base's parts begin with, and how long its footer is: see `docs/tape-format.md`.
const DEFINITION: Magic = *b"CTBC";
const BLOCK: Magic = *b"CTBB";
const TOTALS: Magic = *b"CTBT";
const FOOTER_LEN: usize = 24;

/// Where a block has its body's length, its body's checksum, its own, and its body.
const AT_BODY_LEN: usize = 24;
const AT_BODY_CRC: usize = 28;
const AT_CRC: usize = 32;
const AT_BODY: usize = AT_CRC + CRC_LEN;

/// Reads a base, all of it. `scratch` is the directory of a tape in which it is put.
///
/// # Errors
/// If it cannot be put there.
pub fn base(input: &[u8], scratch: &Path) -> std::io::Result<()> {
    let mut bytes = input.to_vec();
    for mended in [false, true] {
        if mended {
            mend(&mut bytes);
        }
        std::fs::write(scratch.join(layout::BASE), &bytes)?;
        // What is wrong with it is not the question.
        let _ = read(scratch);
        let _ = base::verify(scratch, &mut |_| ());
    }
    Ok(())
}

/// Reads until something is damaged.
fn read(tape: &Path) -> Result<(), Error> {
    let Some(base) = Base::open(tape)? else { return Ok(()) };
    let summary = base.summary();
    let (mut documents, mut bytes) = (0, 0);
    for collection in base.collections() {
        for block in base.blocks(&collection?) {
            let block = block?;
            assert_eq!(block.documents().count(), block.len(), "as many documents as it says");
            documents += block.len() as u64;
            bytes += block.raw_bytes() as u64;
        }
    }
    assert_eq!((documents, bytes), (summary.documents, summary.bytes), "what was counted");
    Ok(())
}

fn mend(bytes: &mut [u8]) -> Option<()> {
    let len = bytes.len();
    let footer = len.checked_sub(FOOTER_LEN)?;
    let mut at = 0;
    while let Some(rest) = bytes.get_mut(at..footer) {
        let Some(len) = mend_part(rest) else { break };
        at += len;
    }
    // Wherever the footer says that the totals are.
    let totals_at = usize::try_from(u64_at(bytes, footer + 4)?).ok();
    totals_at.and_then(|at| mend_frame(bytes.get_mut(at..footer)?));
    put(bytes, footer + 12, &(len as u64).to_le_bytes())?;
    sum(bytes, footer, len - CRC_LEN)
}

/// Makes the checksums of what begins there right: how long it says it is.
fn mend_part(bytes: &mut [u8]) -> Option<usize> {
    if bytes.starts_with(&BLOCK) {
        let end = AT_BODY.checked_add(len_at(bytes, AT_BODY_LEN)?)?;
        let crc = crc32fast::hash(bytes.get(AT_BODY..end)?);
        put(bytes, AT_BODY_CRC, &crc.to_le_bytes())?;
        sum(bytes, 0, AT_CRC)?;
        return Some(end);
    }
    let stated = |magic| frame::stated_len(magic, bytes);
    let len = [HEADER_MAGIC, DEFINITION, TOTALS].into_iter().find_map(stated)?;
    mend_frame(bytes.get_mut(..len)?)?;
    Some(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn what_is_changed_behind_a_checksum_is_reached() {
        let dir = tempfile::tempdir().unwrap();
        let whole = samples::base(&dir.path().join("a.tape"));
        let mut mended = whole.clone();
        mend(&mut mended).unwrap();
        assert!(mended == whole, "what was right is left alone");
        let at = |text: &[u8]| whole.windows(text.len()).rposition(|w| w == text).unwrap();
        // In a definition, a block and the totals; one checksum is not enough for any.
        for (place, reached) in [
            (at(b"viewOn"), true),
            (at(&BLOCK) + AT_BODY + 1, false),
            (at(b"documents\0") + 10, false),
        ] {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            std::fs::write(dir.path().join(layout::BASE), &changed).unwrap();
            assert!(read(dir.path()).is_err(), "{place}");
            mend(&mut changed).unwrap();
            std::fs::write(dir.path().join(layout::BASE), &changed).unwrap();
            assert_eq!(read(dir.path()).is_ok(), reached, "{place}");
        }
    }
}
