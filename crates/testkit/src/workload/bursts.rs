//! `Bursts`: quiet spells, then many inserts at once.
//!
//! For whatever has to hold both ends of a rhythm: pacing, batching, idle detection.
//! Documents are `{_id, burst, sent_at, payload}`, where `_id` counts from 0 without holes.

use std::ops::RangeInclusive;
use std::time::Duration;

use bson::{Document, doc};
use changetape_core::{OperationType, WallTime};
use mongodb::Client;

use super::Tally;
use crate::Error;

/// A workload of bursts. The defaults: five bursts of 50 to 500 documents with 100 to 200
/// bytes each, 50 to 500 ms apart, into `bursts.events`.
#[derive(Debug, Clone)]
#[must_use]
pub struct Bursts {
    seed: u64,
    database: String,
    count: u32,
    documents: RangeInclusive<u32>,
    payload: RangeInclusive<usize>,
    quiet: RangeInclusive<Duration>,
}

/// A burst that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burst {
    /// When its first document was sent.
    pub start: WallTime,
    /// How many documents it had.
    pub documents: u32,
}

impl Bursts {
    /// A workload that this seed determines, except for `sent_at`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            database: "bursts".to_owned(),
            count: 5,
            documents: 50..=500,
            payload: 100..=200,
            quiet: Duration::from_millis(50)..=Duration::from_millis(500),
        }
    }

    /// The database that it writes to.
    pub fn database(mut self, database: &str) -> Self {
        database.clone_into(&mut self.database);
        self
    }

    /// How many bursts.
    pub fn bursts(mut self, bursts: u32) -> Self {
        self.count = bursts;
        self
    }

    /// How many documents in a burst.
    pub fn documents(mut self, documents: RangeInclusive<u32>) -> Self {
        self.documents = documents;
        self
    }

    /// How many bytes of payload in a document.
    pub fn payload(mut self, bytes: RangeInclusive<usize>) -> Self {
        self.payload = bytes;
        self
    }

    /// How long it is quiet before each burst but the first.
    pub fn quiet(mut self, quiet: RangeInclusive<Duration>) -> Self {
        self.quiet = quiet;
        self
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// [`Error::Mongo`] if a write fails.
    pub async fn run(&self, client: &Client) -> Result<(Vec<Burst>, Tally), Error> {
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let (mut sent, mut tally, mut next_id) = (Vec::new(), Tally::new(), 0_i64);
        let database = client.database(&self.database);
        database.create_collection("events").await.map_err(Error::mongo("create"))?;
        tally.add(OperationType::Create, 1);
        for burst in 0..self.count {
            if burst > 0 {
                tokio::time::sleep(self.quiet_spell(&mut rng)).await;
            }
            let start = bson::DateTime::now();
            let documents = rng.u32(self.documents.clone());
            let batch: Vec<Document> = (next_id..)
                .take(usize::try_from(documents).unwrap_or(usize::MAX))
                .map(|id| {
                    let payload = super::random_documents::text(&mut rng, self.payload.clone());
                    doc! {"_id": id, "burst": burst, "sent_at": start, "payload": payload}
                })
                .collect();
            next_id += i64::from(documents);
            if !batch.is_empty() {
                let events = database.collection::<Document>("events");
                events.insert_many(&batch).await.map_err(Error::mongo("insert"))?;
            }
            tally.add(OperationType::Insert, u64::from(documents));
            sent.push(Burst { start: start.into(), documents });
        }
        Ok((sent, tally))
    }

    fn quiet_spell(&self, rng: &mut fastrand::Rng) -> Duration {
        let (shortest, longest) = (*self.quiet.start(), *self.quiet.end());
        shortest + longest.saturating_sub(shortest).mul_f64(rng.f64())
    }
}
