//! `Dump`: a deployment's contents as bytes.

use std::collections::BTreeMap;

use bson::raw::RawDocumentBuf;
use bson::{Document, doc};
use changetape_core::{Namespace, raw};
use futures_util::TryStreamExt;
use mongodb::{Client, Database};

use super::Differences;
use crate::Error;

const NOT_USERS: [&str; 3] = ["admin", "config", "local"];

/// What collections a server keeps for itself in a user's database: view definitions (which
/// are compared as views) and the profiler's notes.
const NOT_DUMPED: [&str; 2] = ["system.views", "system.profile"];

/// Everything users have in a deployment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dump {
    pub(super) collections: BTreeMap<Namespace, Contents>,
}

/// A collection or view.
#[derive(Debug, Clone, PartialEq)]
pub struct Contents {
    /// `collection`, `view` or `timeseries`.
    pub kind: String,
    /// As in `listCollections`, which has the UUID elsewhere.
    pub options: RawDocumentBuf,
    /// By name.
    pub indexes: BTreeMap<String, RawDocumentBuf>,
    /// By key.
    pub documents: BTreeMap<DocumentKey, RawDocumentBuf>,
    /// The keys in the order the server returns the documents, if that is the user's: in
    /// capped collections only.
    pub order: Option<Vec<DocumentKey>>,
}

/// An `_id` as type and bytes: to a server 1 and 1.0 are one key, here they are two.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentKey {
    pub(super) kind: u8,
    pub(super) value: Box<[u8]>,
}

impl Dump {
    /// Reads it all from the primary.
    ///
    /// # Errors
    /// [`Error::Mongo`] if a server does not let it be read.
    pub async fn take(client: &Client) -> Result<Self, Error> {
        let mut dump = Self::default();
        let databases = client.list_database_names().await.map_err(Error::mongo("list"))?;
        for name in databases.iter().filter(|name| !NOT_USERS.contains(&name.as_str())) {
            dump.add_database(&client.database(name)).await?;
        }
        Ok(dump)
    }

    /// What is different in `found`; see [`Differences`].
    #[must_use]
    pub fn differences(&self, found: &Self) -> Differences {
        Differences::between(self, found)
    }

    /// The collections and views.
    pub fn collections(&self) -> impl Iterator<Item = (&Namespace, &Contents)> {
        self.collections.iter()
    }

    /// The dump without the namespaces for which `keep` is false.
    #[must_use]
    pub fn filtered(mut self, mut keep: impl FnMut(&Namespace) -> bool) -> Self {
        self.collections.retain(|namespace, _| keep(namespace));
        self
    }

    /// The dump with other names, to compare a source with what was replayed from it under
    /// other names.
    #[must_use]
    pub fn renamed(self, mut name: impl FnMut(Namespace) -> Namespace) -> Self {
        let collections = self.collections.into_iter();
        Self { collections: collections.map(|(old, contents)| (name(old), contents)).collect() }
    }

    /// How many documents there are.
    #[must_use]
    pub fn documents(&self) -> usize {
        self.collections.values().map(|contents| contents.documents.len()).sum()
    }

    /// How many bytes of BSON the documents are.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let documents = self.collections.values().flat_map(|contents| contents.documents.values());
        documents.map(|document| document.as_bytes().len()).sum()
    }

    async fn add_database(&mut self, database: &Database) -> Result<(), Error> {
        for listed in listed(database, doc! {"listCollections": 1}).await? {
            let (name, kind) = (text(&listed, "name"), text(&listed, "type"));
            if NOT_DUMPED.contains(&name.as_str()) {
                continue;
            }
            let options = listed.get_document("options").map(ToOwned::to_owned).unwrap_or_default();
            let mut contents = Contents {
                kind,
                options,
                indexes: BTreeMap::new(),
                documents: BTreeMap::new(),
                order: None,
            };
            if contents.kind == "collection" {
                contents.read_indexes(database, &name).await?;
                contents.read_documents(database, &name).await?;
            }
            self.collections.insert(Namespace::collection(database.name(), name), contents);
        }
        Ok(())
    }
}

impl Contents {
    async fn read_indexes(&mut self, database: &Database, name: &str) -> Result<(), Error> {
        for index in listed(database, doc! {"listIndexes": name}).await? {
            self.indexes.insert(text(&index, "name"), index);
        }
        Ok(())
    }

    async fn read_documents(&mut self, database: &Database, name: &str) -> Result<(), Error> {
        let reading = || Error::mongo("read a collection");
        let documents = database.collection::<RawDocumentBuf>(name).find(doc! {}).await;
        let mut documents = documents.map_err(reading())?;
        let mut order = Vec::new();
        while let Some(document) = documents.try_next().await.map_err(reading())? {
            let key = DocumentKey::of(&document);
            order.push(key.clone());
            self.documents.insert(key, document);
        }
        let capped = self.options.get_bool("capped").unwrap_or(false);
        self.order = capped.then_some(order);
        Ok(())
    }
}

impl DocumentKey {
    fn of(document: &RawDocumentBuf) -> Self {
        match raw::find("a document", document.as_bytes(), "_id") {
            Ok(Some(id)) => Self { kind: id.kind, value: id.value.into() },
            // The server gives every document an `_id`; this is for what it should not hold.
            _ => Self { kind: 0, value: document.as_bytes().into() },
        }
    }
}

async fn listed(database: &Database, command: Document) -> Result<Vec<RawDocumentBuf>, Error> {
    let cursor = database.run_cursor_command(command).await.map_err(Error::mongo("list"))?;
    cursor.with_type().try_collect().await.map_err(Error::mongo("list"))
}

fn text(document: &RawDocumentBuf, field: &str) -> String {
    document.get_str(field).unwrap_or_default().to_owned()
}
