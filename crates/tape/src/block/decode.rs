//! Blocks to events.

use std::io;

use super::{Block, Header, MIN_EVENT_LEN, VERSION};
use crate::bytes::len_at;

/// Bytes that should be a block and are not one whole and unchanged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlockError {
    #[error("{0}")]
    Malformed(&'static str),
    #[error("block version {found} is newer than {VERSION}")]
    TooNew { found: u16 },
    #[error("header checksum mismatch (expected {expected:08x}, found {found:08x})")]
    HeaderChecksum { expected: u32, found: u32 },
    #[error("body checksum mismatch (expected {expected:08x}, found {found:08x})")]
    BodyChecksum { expected: u32, found: u32 },
    #[error("the body cannot be decompressed: {0}")]
    Compression(io::Error),
}

/// Reads blocks; keeps what zstd allocates.
pub(crate) struct Decoder(zstd::bulk::Decompressor<'static>);

impl Decoder {
    pub(crate) fn new() -> io::Result<Self> {
        zstd::bulk::Decompressor::new().map(Self)
    }

    /// Reads a block and checks all of it.
    pub(crate) fn decode(&mut self, bytes: &[u8]) -> Result<Block, BlockError> {
        let (header, compressed) = parts(bytes)?;
        let raw_len = usize::try_from(header.raw_len).unwrap_or(usize::MAX);
        // At most `raw_len` is allocated, which the header bounds.
        let body = self.0.decompress(compressed, raw_len).map_err(BlockError::Compression)?;
        let ends = (body.len() == raw_len)
            .then(|| document_ends(&body, header.count))
            .flatten()
            .ok_or(BlockError::Malformed("the body is not the events that the header states"))?;
        Ok(Block { header, body, ends })
    }
}

/// Checks a block as far as its checksums tell, without decompressing it.
pub(crate) fn check(bytes: &[u8]) -> Result<Header, BlockError> {
    parts(bytes).map(|(header, _)| header)
}

/// The header and the compressed body behind it, the checksums of both compared.
fn parts(bytes: &[u8]) -> Result<(Header, &[u8]), BlockError> {
    let header = Header::decode(bytes)?;
    if bytes.len() != header.block_len() {
        return Err(BlockError::Malformed("the body is not as long as the header states"));
    }
    let body = bytes.get(header.len()..).unwrap_or_default();
    let found = crc32fast::hash(body);
    if found != header.body_crc {
        return Err(BlockError::BodyChecksum { expected: header.body_crc, found });
    }
    Ok((header, body))
}

/// Where each of `count` documents ends that together fill `body`; `None` if they do not.
pub(crate) fn document_ends(body: &[u8], count: u32) -> Option<Vec<u32>> {
    let mut ends = Vec::with_capacity(usize::try_from(count).ok()?);
    let mut at: usize = 0;
    while at < body.len() {
        let len = len_at(body, at)?;
        let document = body.get(at..at.checked_add(len)?)?;
        // What `RawDocument` asks of bytes: a length that counts itself, a closing zero.
        if len < MIN_EVENT_LEN || document.last() != Some(&0) {
            return None;
        }
        at += len;
        ends.push(u32::try_from(at).ok()?);
        if ends.len() > usize::try_from(count).ok()? {
            return None;
        }
    }
    (ends.len() == usize::try_from(count).ok()?).then_some(ends)
}
