//! `OrderShop`: a small shop's day, with every kind of operation that a change stream reports.
//!
//! ```text
//! opening   collections made with options, a view; customers and stock inserted
//! trade     orders come in, change in every way an update can, are replaced and deleted;
//!           some are placed in a transaction over three collections
//! between   an index made, one changed, one dropped; options and the view changed
//! closing   old orders archived under another name, carts and the view dropped,
//!           a whole database dropped
//! ```
//! Collections: `orders`, `customers`, `stock`, `visits` (capped), `carts`, `archive_…`; the
//! view `open_orders`; in a database of its own beside them, `<database>_old`, what is
//! dropped at the end. Both databases must not exist.

mod administration;
mod documents;
mod trade;
mod updates;

use bson::Document;
use fastrand::Rng;
use mongodb::{Client, Collection, Database};

use super::{Pace, Tally, pace::Pacing};
use crate::Error;

/// The workload. The defaults: 400 steps as fast as possible, in the database `shop`.
#[derive(Debug, Clone)]
#[must_use]
pub struct OrderShop {
    seed: u64,
    database: String,
    steps: u32,
    pace: Pace,
}

impl OrderShop {
    /// A workload that this seed determines.
    pub fn new(seed: u64) -> Self {
        Self { seed, database: "shop".to_owned(), steps: 400, pace: Pace::AsFastAsPossible }
    }

    /// The database that it writes to; beside it `<database>_old` comes and goes.
    pub fn database(mut self, database: &str) -> Self {
        database.clone_into(&mut self.database);
        self
    }

    /// How many steps of trade, at least 10. A step is one operation or one transaction.
    pub fn steps(mut self, steps: u32) -> Self {
        self.steps = steps.max(10);
        self
    }

    /// How fast.
    pub fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// [`Error::Mongo`] with what was being done, if the server refuses it.
    pub async fn run(&self, client: &Client) -> Result<Tally, Error> {
        let mut shop = Shop {
            client: client.clone(),
            database: client.database(&self.database),
            old_database: client.database(&format!("{}_old", self.database)),
            rng: Rng::with_seed(self.seed),
            tally: Tally::new(),
            open_orders: Vec::new(),
            next_order: 1,
            next_change: 1,
        };
        let mut pacing = Pacing::begin(self.pace, self.steps);
        shop.open().await?;
        for step in 0..self.steps {
            pacing.next().await;
            shop.trade().await?;
            // Spread over the day, so that each happens between ordinary writes.
            for (index, chore) in (1..).zip(administration::CHORES) {
                if step == self.steps * index / administration::PARTS_OF_THE_DAY {
                    shop.administer(*chore).await?;
                }
            }
        }
        shop.close().await?;
        Ok(shop.tally)
    }
}

/// A shop at work.
struct Shop {
    client: Client,
    database: Database,
    old_database: Database,
    rng: Rng,
    tally: Tally,
    /// The keys of the documents in `orders`.
    open_orders: Vec<i64>,
    next_order: i64,
    /// Written by every update and replacement, so that none changes nothing: the server
    /// would not report that.
    next_change: i64,
}

impl Shop {
    fn collection(&self, name: &str) -> Collection<Document> {
        self.database.collection(name)
    }

    fn change_number(&mut self) -> i64 {
        let number = self.next_change;
        self.next_change += 1;
        number
    }
}
