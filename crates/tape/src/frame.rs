//! A BSON document with a name, a length and a checksum around it.
//!
//! Whatever small thing a tape keeps besides its blocks has this form: it is told from what was
//! not written whole, and found again in files that cannot be read otherwise.
//!
//! Layout, little-endian:
//! ```text
//! offset  size  field
//! 0       4     magic, of each kind its own
//! 4       4     length L of the document
//! 8       L     a BSON document
//! 8+L     4     CRC-32 of all before it
//! ```

use bson::raw::RawDocument;

use crate::bytes::{len_at, u32_at};

/// What a frame begins with.
pub(crate) type Magic = [u8; 4];

const AT_LEN: usize = size_of::<Magic>();
const AT_DOCUMENT: usize = AT_LEN + 4;
const CRC_LEN: usize = 4;

/// Enough of a frame to see what it is and how long.
pub(crate) const PEEK_LEN: usize = AT_DOCUMENT;

/// The longest document: a pipeline is part of a command, whose length the server bounds at 16
/// MiB, and lists of kinds and of segments stay well below the rest.
pub(crate) const MAX_DOCUMENT_LEN: usize = 64 << 20;

/// The longest frame.
pub(crate) const MAX_LEN: usize = AT_DOCUMENT + MAX_DOCUMENT_LEN + CRC_LEN;

/// The frame around a document; `None` if the document is longer than allowed.
pub(crate) fn encode(magic: Magic, document: &RawDocument) -> Option<Vec<u8>> {
    let document = document.as_bytes();
    if document.len() > MAX_DOCUMENT_LEN {
        return None;
    }
    let mut bytes = Vec::with_capacity(AT_DOCUMENT + document.len() + CRC_LEN);
    bytes.extend_from_slice(&magic);
    bytes.extend_from_slice(&u32::try_from(document.len()).ok()?.to_le_bytes());
    bytes.extend_from_slice(document);
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    Some(bytes)
}

/// How long the frame at the start of `bytes` says it is, if one begins there.
pub(crate) fn stated_len(magic: Magic, bytes: &[u8]) -> Option<usize> {
    let len = len_at(bytes, AT_LEN)?;
    let sound = bytes.starts_with(&magic) && len <= MAX_DOCUMENT_LEN;
    sound.then_some(AT_DOCUMENT + len + CRC_LEN)
}

/// The document of a frame; `None` if the bytes are not one frame whole and unchanged.
pub(crate) fn decode(magic: Magic, bytes: &[u8]) -> Option<&RawDocument> {
    if stated_len(magic, bytes)? != bytes.len() {
        return None;
    }
    let checked = bytes.len() - CRC_LEN;
    let whole = crc32fast::hash(bytes.get(..checked)?) == u32_at(bytes, checked)?;
    whole.then(|| RawDocument::from_bytes(bytes.get(AT_DOCUMENT..checked)?).ok()).flatten()
}

/// The documents of an array in a frame's document, each read; `None` if one cannot be.
pub(crate) fn documents<T>(
    document: &RawDocument,
    name: &str,
    read: impl Fn(&RawDocument) -> Option<T>,
) -> Option<Vec<T>> {
    let items = document.get_array(name).ok()?.into_iter();
    items.map(|item| read(item.ok()?.as_document()?)).collect()
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    #[test]
    fn every_flip_and_every_cut_is_noticed() {
        const MAGIC: Magic = *b"CTXX";
        let document = rawdoc! {"a": 1, "text": "some"};
        let bytes = encode(MAGIC, &document).unwrap();
        assert_eq!(decode(MAGIC, &bytes).unwrap().as_bytes(), document.as_bytes());
        assert_eq!(decode(*b"CTYY", &bytes), None);
        for at in 0..bytes.len() {
            assert_eq!(decode(MAGIC, &bytes[..at]), None, "cut to {at}");
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert_eq!(decode(MAGIC, &flipped), None, "bit {bit} of byte {at}");
            }
        }
        assert_eq!(decode(MAGIC, &[&bytes[..], &[0]].concat()), None, "one byte more");
    }
}
