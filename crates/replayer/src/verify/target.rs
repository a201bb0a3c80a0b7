//! What a comparison asks the database.
//!
//! Everything is asked of the primary, in bounded portions, each answer with the deployment's
//! patience.

use std::collections::HashMap;

use bson::raw::RawDocumentBuf;
use bson::{Document, doc};
use changetape_core::Namespace;
use changetape_core::raw::{DocumentWriter, kind};
use changetape_deployment::{Deployment, error_code};
use futures_util::TryStreamExt as _;
use mongodb::Database;
use mongodb::error::Error as DriverError;
use tokio::runtime::Handle;

use super::definition::{Fields, Kind};
use super::documents::Key;
use crate::Error;

/// `NamespaceNotFound`.
const NAMESPACE_NOT_FOUND: i32 = 26;

/// `CommandNotSupportedOnView`.
const NOT_ON_A_VIEW: i32 = 166;

/// The database, asked from a thread that may block.
pub(super) struct Target {
    deployment: Deployment,
    runtime: Handle,
}

/// A collection or view as the database lists it.
pub(super) struct Listed {
    pub(super) kind: Kind,
    pub(super) options: Fields,
    /// By name.
    pub(super) indexes: HashMap<String, Fields>,
}

impl Target {
    /// Must be called inside a multi-threaded tokio runtime, which must live as long.
    pub(super) fn new(deployment: Deployment) -> Self {
        Self { deployment, runtime: Handle::current() }
    }

    /// The collections and views of a database, without the server's own, by name.
    pub(super) fn collections(&self, db: &str) -> Result<HashMap<String, Listed>, Error> {
        self.runtime.block_on(async {
            let database = self.deployment.client().database(db);
            let mut listed = HashMap::new();
            for found in self.list(&database, doc! {"listCollections": 1}).await? {
                let name = found.get_str("name").unwrap_or_default().to_owned();
                if name.starts_with("system.") {
                    continue;
                }
                let kind = Kind::of(found.get_str("type").unwrap_or_default());
                let options = found.get_document("options").ok();
                let options = options.map(|options| Fields::read(options.as_bytes()));
                let options = options.transpose().map_err(|error| self.nonsense(&error))?;
                let indexes = match kind {
                    Kind::Collection => self.indexes(&database, &name).await?,
                    Kind::View | Kind::TimeSeries => HashMap::new(),
                };
                let options = options.unwrap_or_default();
                listed.insert(name, Listed { kind, options, indexes });
            }
            Ok(listed)
        })
    }

    /// Looks documents up by their keys; `take` gets each that is there. Where the collection has
    /// a collation, its index of `_id`s does too: what is asked is what that index can tell, and
    /// `take` has to look whether it is the very key, as it has to for numbers of another type.
    pub(super) fn documents(
        &self,
        ns: &Namespace,
        keys: &[&Key],
        mut take: impl FnMut(RawDocumentBuf) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut filter = DocumentWriter::with_capacity(keys.iter().map(|key| key.len() + 8).sum());
        filter.open(kind::DOCUMENT, b"_id");
        filter.open(kind::ARRAY, b"$in");
        for (at, key) in keys.iter().enumerate() {
            if let Some((&kind, value)) = key.split_first() {
                filter.value(kind, at.to_string().as_bytes(), value);
            }
        }
        let filter = filter.finish().map_err(|error| self.nonsense(&error))?;
        let filter = Document::try_from(filter.as_ref()).map_err(|error| self.nonsense(&error))?;
        self.find(ns, filter, None, &mut take)
    }

    /// Hands over every document of a collection, with its `_id` alone, until `take` fails.
    pub(super) fn ids(
        &self,
        ns: &Namespace,
        mut take: impl FnMut(RawDocumentBuf) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.find(ns, Document::new(), Some(doc! {"_id": 1}), &mut take)
    }

    /// How many documents a collection has.
    pub(super) fn count(&self, ns: &Namespace) -> Result<u64, Error> {
        let database = self.deployment.client().database(&ns.db);
        let collection = database.collection::<Document>(ns.coll.as_deref().unwrap_or_default());
        let count = self.deployment.answer(collection.count_documents(doc! {}));
        let counted = self.runtime.block_on(count);
        counted.map_err(|error| self.failed(error, &format!("count the documents of {ns}")))
    }

    fn find(
        &self,
        ns: &Namespace,
        filter: Document,
        projection: Option<Document>,
        take: &mut dyn FnMut(RawDocumentBuf) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let failed = |error| self.failed(error, &format!("read documents of {ns}"));
        let database = self.deployment.client().database(&ns.db);
        let coll = ns.coll.as_deref().unwrap_or_default();
        let collection = database.collection::<RawDocumentBuf>(coll);
        self.runtime.block_on(async {
            let mut find = collection.find(filter);
            if let Some(projection) = projection {
                find = find.projection(projection);
            }
            let mut found = self.deployment.answer(find).await.map_err(failed)?;
            while let Some(document) =
                self.deployment.answer(found.try_next()).await.map_err(failed)?
            {
                take(document)?;
            }
            Ok(())
        })
    }

    async fn indexes(
        &self,
        database: &Database,
        coll: &str,
    ) -> Result<HashMap<String, Fields>, Error> {
        let mut indexes = HashMap::new();
        for index in self.list(database, doc! {"listIndexes": coll}).await? {
            // A clustered index is part of the collection, and none of its own.
            if index.get("clustered").is_ok_and(|clustered| clustered.is_some()) {
                continue;
            }
            let name = index.get_str("name").unwrap_or_default().to_owned();
            let fields = Fields::read(index.as_bytes()).map_err(|error| self.nonsense(&error))?;
            indexes.insert(name, fields);
        }
        Ok(indexes)
    }

    async fn list(
        &self,
        database: &Database,
        command: Document,
    ) -> Result<Vec<RawDocumentBuf>, Error> {
        let doing = format!("list what is in {}", database.name());
        let failed = |error| self.failed(error, &doing);
        let cursor = match self.deployment.answer(database.run_cursor_command(command)).await {
            // What has no indexes, or was dropped meanwhile.
            Err(error)
                if matches!(error_code(&error), Some(NAMESPACE_NOT_FOUND | NOT_ON_A_VIEW)) =>
            {
                return Ok(Vec::new());
            }
            cursor => cursor.map_err(failed)?,
        };
        let (mut cursor, mut listed) = (cursor.with_type(), Vec::new());
        while let Some(found) = self.deployment.answer(cursor.try_next()).await.map_err(failed)? {
            listed.push(found);
        }
        Ok(listed)
    }

    fn failed(&self, error: DriverError, doing: &str) -> Error {
        Error::deployment(self.deployment.explain(error, doing))
    }

    /// A server sent what is no BSON.
    pub(super) fn nonsense(&self, error: &dyn std::error::Error) -> Error {
        Error::deployment(changetape_deployment::Error::Failed {
            hosts: self.deployment.hosts().to_owned(),
            doing: "compare what it sent".to_owned(),
            cause: error.to_string(),
        })
    }
}
