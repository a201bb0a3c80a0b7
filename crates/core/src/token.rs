//! `ResumeToken`: the server's bookmark in its change stream.

use std::fmt;

use bson::raw::{RawDocument, RawDocumentBuf};

use crate::{ClusterTime, Error};

/// A change stream's resume token, opaque: the server's bytes, compared for equality only.
///
/// Shape: a document, today `{_data: "<hex>"}`. Source: the MongoDB change streams
/// specification, which forbids clients to look inside; [`cluster_time`](Self::cluster_time)
/// peeks for people's eyes only and nothing depends on it.
#[derive(Clone, PartialEq, Eq)]
pub struct ResumeToken(Box<[u8]>);

impl ResumeToken {
    /// Takes the bytes of a token document.
    #[must_use]
    pub fn from_raw(token: &RawDocument) -> Self {
        Self(token.as_bytes().into())
    }

    /// Takes the bytes of a token document from storage.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the bytes are not one BSON document.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        RawDocument::from_bytes(bytes)
            .map_err(|source| Error::malformed("resume token", source))?;
        Ok(Self(bytes.into()))
    }

    /// A token from the hex string of its `_data` field, as people copy it from logs.
    ///
    /// # Errors
    /// [`Error::BadPosition`] if the text is not an even number of hex digits.
    pub fn from_data(hex: &str) -> Result<Self, Error> {
        let plausible = hex.len() >= 18
            && hex.len().is_multiple_of(2)
            && hex.bytes().all(|b| b.is_ascii_hexdigit());
        if !plausible {
            return Err(Error::BadPosition { input: hex.to_owned() });
        }
        let mut token = RawDocumentBuf::new();
        token.append(bson::cstr!("_data"), hex);
        Ok(Self(token.into_bytes().into()))
    }

    /// The token document's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The token document, as `resumeAfter` and `startAfter` take it.
    ///
    /// # Errors
    /// [`Error::Malformed`] never in practice: the bytes were checked when taken.
    pub fn to_raw(&self) -> Result<RawDocumentBuf, Error> {
        RawDocumentBuf::from_bytes(self.0.to_vec())
            .map_err(|source| Error::malformed("resume token", source))
    }

    /// The hex string of the `_data` field, where the token has today's shape.
    #[must_use]
    pub fn data(&self) -> Option<&str> {
        let doc = RawDocument::from_bytes(&self.0).ok()?;
        doc.get("_data").ok()??.as_str()
    }

    /// The cluster time that today's tokens begin with: `82`, four bytes of seconds,
    /// four bytes of increment, in hex.
    #[must_use]
    pub fn cluster_time(&self) -> Option<ClusterTime> {
        let digits = self.data()?.strip_prefix("82")?;
        Some(ClusterTime {
            seconds: u32::from_str_radix(digits.get(..8)?, 16).ok()?,
            increment: u32::from_str_radix(digits.get(8..16)?, 16).ok()?,
        })
    }
}

impl fmt::Display for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.data() {
            Some(data) => f.write_str(data),
            None => write!(f, "({} bytes)", self.0.len()),
        }
    }
}

impl fmt::Debug for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResumeToken({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_shows_its_cluster_time() {
        let token = ResumeToken::from_data("826B02A9B5000000132B022C0100296F04").unwrap();
        assert_eq!(
            token.cluster_time(),
            Some(ClusterTime { seconds: 0x6B02_A9B5, increment: 0x13 })
        );
        assert_eq!(token.data(), Some("826B02A9B5000000132B022C0100296F04"));
        assert_eq!(ResumeToken::from_bytes(token.as_bytes()).unwrap(), token);
    }

    #[test]
    fn text_that_is_no_token_is_refused() {
        for text in ["", "82", "now", "826B02A9B5000000132", "826B02A9B50000001xyz"] {
            assert!(ResumeToken::from_data(text).is_err(), "{text:?}");
        }
    }
}
