//! `RandomDocuments`: documents of every BSON type under awkward names.
//!
//! What servers take and programs forget: dotted, `$`-prefixed, empty and numeric names,
//! NaN and negative zero, deprecated types, keys of many types, equal numbers of different
//! types. Limits are the server's own (6.0.5): `_id` is no array, regular expression or
//! undefined and holds no `$` name; a replacement has no `$` name at its top level.

mod values;

use bson::{Bson, Document, doc};
use changetape_core::OperationType;
use mongodb::{Client, Collection};

pub(super) use values::text;
pub use values::{random_document, random_name, random_value};

use super::{Pace, Tally, pace::Pacing};
use crate::Error;

/// Collections whose names are legal and easily mistreated.
const COLLECTIONS: [&str; 4] = ["plain", "dotted.name", "with space", "ünïcode"];

/// How many levels documents nest, at most.
const DEPTH: u32 = 4;

/// Inserts, updates, replaces and deletes random documents in several collections of the
/// database `random`; 1 000 operations unless told otherwise.
#[derive(Debug, Clone)]
#[must_use]
pub struct RandomDocuments {
    seed: u64,
    database: String,
    operations: u32,
    pace: Pace,
}

impl RandomDocuments {
    /// A workload that this seed determines.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            database: "random".to_owned(),
            operations: 1_000,
            pace: Pace::AsFastAsPossible,
        }
    }

    /// The database that it writes to.
    pub fn database(mut self, database: &str) -> Self {
        database.clone_into(&mut self.database);
        self
    }

    /// How many operations. Each is one event, except for updates that change nothing.
    pub fn operations(mut self, operations: u32) -> Self {
        self.operations = operations;
        self
    }

    /// How fast.
    pub fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// Runs it to its end. The tally counts an update with a pipeline as an update, though
    /// the server reports a replace where that is shorter than what changed.
    ///
    /// # Errors
    /// [`Error::Mongo`] if a write fails.
    pub async fn run(&self, client: &Client) -> Result<Tally, Error> {
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let mut tally = Tally::new();
        let database = client.database(&self.database);
        let mut collections = Vec::new();
        for name in COLLECTIONS {
            database.create_collection(name).await.map_err(Error::mongo("create"))?;
            tally.add(OperationType::Create, 1);
            collections.push(Contents { collection: database.collection(name), keys: Vec::new() });
        }
        let mut pacing = Pacing::begin(self.pace, self.operations);
        for _ in 0..self.operations {
            pacing.next().await;
            let index = rng.usize(..collections.len());
            if let Some(contents) = collections.get_mut(index) {
                contents.change(&mut rng, &mut tally).await?;
            }
        }
        Ok(tally)
    }
}

/// A collection and the keys of the documents that are in it.
struct Contents {
    collection: Collection<Document>,
    keys: Vec<Bson>,
}

impl Contents {
    async fn change(&mut self, rng: &mut fastrand::Rng, tally: &mut Tally) -> Result<(), Error> {
        let kind = rng.u32(..100);
        if self.keys.is_empty() || kind < 40 {
            return self.insert(rng, tally).await;
        }
        let at = rng.usize(..self.keys.len());
        let Some(key) = self.keys.get(at).cloned() else { return Ok(()) };
        // `$eq` as a value: a key that is a document with fields must match as a whole.
        let filter = doc! {"_id": {"$eq": key}};
        match kind {
            40..70 => {
                let update = values::random_update(rng);
                let done = self.collection.update_one(filter, update).await;
                let done = done.map_err(Error::mongo("update"))?;
                tally.add(OperationType::Update, done.modified_count);
            }
            70..85 => {
                let mut replacement: Document = random_document(rng, DEPTH)
                    .into_iter()
                    .filter(|(name, _)| !name.starts_with('$'))
                    .collect();
                // The server changes nothing when told to put what is there already.
                replacement.insert("replaced", rng.i64(..));
                let done = self.collection.replace_one(filter, replacement).await;
                let done = done.map_err(Error::mongo("replace"))?;
                tally.add(OperationType::Replace, done.modified_count);
            }
            _ => {
                let done = self.collection.delete_one(filter).await;
                tally.add(
                    OperationType::Delete,
                    done.map_err(Error::mongo("delete"))?.deleted_count,
                );
                self.keys.swap_remove(at);
            }
        }
        Ok(())
    }

    async fn insert(&mut self, rng: &mut fastrand::Rng, tally: &mut Tally) -> Result<(), Error> {
        let key = values::random_key(rng);
        let mut document = doc! {"_id": key.clone()};
        document.extend(random_document(rng, DEPTH));
        self.collection.insert_one(document).await.map_err(Error::mongo("insert"))?;
        tally.add(OperationType::Insert, 1);
        self.keys.push(key);
        Ok(())
    }
}
