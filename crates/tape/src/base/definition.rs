//! `Definition`: a collection or view, apart from its documents.
//!
//! A frame, magic "CTBC", around a document:
//!
//! | field | type | |
//! | --- | --- | --- |
//! | `db`, `coll` | strings | |
//! | `type` | string | as `listCollections` tells it: `collection` or `view` |
//! | `options` | document | as `listCollections` gives them |
//! | `indexes` | array of documents | as `listIndexes` gives them; none of a view |

use bson::cstr;
use bson::raw::{RawArrayBuf, RawDocument, RawDocumentBuf};
use changetape_core::Namespace;

use crate::frame::{self, Magic, documents};

pub(super) const MAGIC: Magic = *b"CTBC";

/// A collection or view as the server describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// Its database.
    pub db: String,
    /// Its name there.
    pub coll: String,
    /// As `listCollections` tells it: `collection` or `view`.
    pub kind: String,
    /// As `listCollections` gives them.
    pub options: RawDocumentBuf,
    /// As `listIndexes` gives them; none of a view.
    pub indexes: Vec<RawDocumentBuf>,
}

impl Definition {
    /// Its name with its database's.
    #[must_use]
    pub fn namespace(&self) -> Namespace {
        Namespace::collection(self.db.as_str(), self.coll.as_str())
    }

    /// The frame; `None` if it is longer than one can be.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let mut document = RawDocumentBuf::new();
        document.append(cstr!("db"), self.db.as_str());
        document.append(cstr!("coll"), self.coll.as_str());
        document.append(cstr!("type"), self.kind.as_str());
        document.append(cstr!("options"), self.options.clone());
        let mut indexes = RawArrayBuf::new();
        self.indexes.iter().for_each(|index| indexes.push(index.clone()));
        document.append(cstr!("indexes"), indexes);
        frame::encode(MAGIC, &document)
    }

    /// `None` if the bytes are not one definition whole and unchanged.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let document = frame::decode(MAGIC, bytes)?;
        let text = |name: &str| document.get_str(name).ok().map(ToOwned::to_owned);
        Some(Self {
            db: text("db")?,
            coll: text("coll")?,
            kind: text("type")?,
            options: document.get_document("options").ok()?.to_owned(),
            indexes: documents(document, "indexes", |index: &RawDocument| Some(index.to_owned()))?,
        })
    }
}
