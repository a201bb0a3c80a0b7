//! What the shop does to collections and indexes: at opening, in between, at closing.

use bson::{Document, doc};
use changetape_core::OperationType;
use mongodb::Database;

use super::Shop;
use super::documents::{ARTICLES, CUSTOMERS, article, customer};
use crate::Error;

/// Something done once, somewhere between ordinary steps.
#[derive(Debug, Clone, Copy)]
pub(super) enum Chore {
    IndexOrders,
    ChangeOptions,
    ChangeIndex,
    ChangeView,
    StartArchive,
    DropIndex,
    RenameArchive,
}

/// In the order of the day.
pub(super) const CHORES: &[Chore] = &[
    Chore::IndexOrders,
    Chore::ChangeOptions,
    Chore::StartArchive,
    Chore::ChangeIndex,
    Chore::ChangeView,
    Chore::DropIndex,
    Chore::RenameArchive,
];

/// The chores divide the day into so many parts.
pub(super) const PARTS_OF_THE_DAY: u32 = 8;

impl Shop {
    /// Makes the collections and fills those that do not start empty.
    pub(super) async fn open(&mut self) -> Result<(), Error> {
        let collation = doc! {"locale": "en", "strength": 2};
        let validator = doc! {"$jsonSchema": {"required": ["customer", "items"]}};
        let creations = [
            doc! {"create": "customers", "collation": collation},
            doc! {"create": "stock", "changeStreamPreAndPostImages": {"enabled": true}},
            doc! {"create": "orders", "validator": validator, "validationLevel": "moderate"},
            doc! {"create": "visits", "capped": true, "size": 1_048_576, "max": 10_000},
            doc! {"create": "carts"},
            doc! {"create": "open_orders", "viewOn": "orders", "pipeline": []},
        ];
        for command in creations {
            self.command(command).await?;
            self.tally.add(OperationType::Create, 1);
        }
        // Before the documents, where the server makes it without a build of its own.
        let unique = doc! {"key": {"email": 1}, "name": "email", "unique": true};
        self.command(doc! {"createIndexes": "customers", "indexes": [unique]}).await?;
        self.tally.add(OperationType::CreateIndexes, 1);

        let customers: Vec<_> = (0..CUSTOMERS).map(|id| customer(&mut self.rng, id)).collect();
        self.insert_all("customers", customers).await?;
        let stock: Vec<_> = (0..ARTICLES).map(|number| article(&mut self.rng, number)).collect();
        self.insert_all("stock", stock).await?;
        let carts: Vec<_> = (0..5_i32).map(|id| doc! {"_id": id, "items": []}).collect();
        self.insert_all("carts", carts).await?;

        let old = self.old_database.clone();
        old.collection("last_year").insert_one(doc! {"_id": 1}).await.map_err(doing("insert"))?;
        self.tally.add(OperationType::Create, 1);
        self.tally.add(OperationType::Insert, 1);
        Ok(())
    }

    pub(super) async fn administer(&mut self, chore: Chore) -> Result<(), Error> {
        match chore {
            Chore::IndexOrders => {
                let by_customer = doc! {"key": {"customer": 1, "placed": -1}, "name": "customer"};
                let expiring = doc! {"key": {"placed": 1}, "name": "placed",
                "expireAfterSeconds": 1_000_000_000};
                let partial = doc! {"key": {"status": 1}, "name": "status",
                "partialFilterExpression": {"total": {"$gt": 10}}};
                let indexes = [by_customer, expiring, partial];
                // A server waits for all voting nodes by default, and so for ever while one is
                // down that the workload is meant to run without.
                let command = doc! {"createIndexes": "orders", "indexes": indexes.to_vec(),
                "commitQuorum": "majority"};
                self.command(command).await?;
                self.tally.add(OperationType::CreateIndexes, 1);
            }
            Chore::ChangeOptions => {
                let images = doc! {"enabled": true};
                self.command(doc! {"collMod": "orders", "changeStreamPreAndPostImages": images})
                    .await?;
                self.tally.add(OperationType::Modify, 1);
            }
            Chore::ChangeIndex => {
                let index = doc! {"name": "placed", "expireAfterSeconds": 1_500_000_000};
                self.command(doc! {"collMod": "orders", "index": index}).await?;
                self.tally.add(OperationType::Modify, 1);
            }
            Chore::ChangeView => {
                let pipeline = vec![doc! {"$match": {"status": {"$ne": "lost"}}}];
                self.command(
                    doc! {"collMod": "open_orders", "viewOn": "orders", "pipeline": pipeline},
                )
                .await?;
                self.tally.add(OperationType::Modify, 1);
            }
            Chore::StartArchive => {
                let archived = (1..=10_i32).map(|id| doc! {"_id": id, "year": 2025}).collect();
                self.tally.add(OperationType::Create, 1);
                self.insert_all("archive", archived).await?;
            }
            Chore::DropIndex => {
                self.command(doc! {"dropIndexes": "orders", "index": "status"}).await?;
                self.tally.add(OperationType::DropIndexes, 1);
            }
            Chore::RenameArchive => {
                let name = |coll| format!("{}.{coll}", self.database.name());
                let rename = doc! {"renameCollection": name("archive"), "to": name("archive_2025")};
                let admin = self.client.database("admin");
                admin.run_command(rename).await.map_err(doing("rename a collection"))?;
                self.tally.add(OperationType::Rename, 1);
            }
        }
        Ok(())
    }

    /// Clears away what is not kept.
    pub(super) async fn close(&mut self) -> Result<(), Error> {
        let carts = self.collection("carts");
        carts.insert_one(doc! {"_id": 99, "left": true}).await.map_err(doing("insert"))?;
        self.tally.add(OperationType::Insert, 1);
        // Over a collection that exists: what was in it is gone without an event of its own.
        let name = |coll| format!("{}.{coll}", self.database.name());
        let over = doc! {"renameCollection": name("carts"), "to": name("archive_2025"),
        "dropTarget": true};
        let admin = self.client.database("admin");
        admin.run_command(over).await.map_err(doing("rename over a collection"))?;
        self.tally.add(OperationType::Rename, 1);
        self.command(doc! {"drop": "archive_2025"}).await?;
        self.command(doc! {"drop": "open_orders"}).await?;
        self.tally.add(OperationType::Drop, 2);
        // One event for its collection, one for itself.
        self.old_database.drop().await.map_err(doing("drop a database"))?;
        self.tally.add(OperationType::Drop, 1);
        self.tally.add(OperationType::DropDatabase, 1);
        Ok(())
    }

    async fn command(&self, command: Document) -> Result<(), Error> {
        run(&self.database, command).await
    }

    async fn insert_all(&mut self, name: &str, documents: Vec<Document>) -> Result<(), Error> {
        let count = u64::try_from(documents.len()).unwrap_or(u64::MAX);
        self.collection(name).insert_many(documents).await.map_err(doing("insert"))?;
        self.tally.add(OperationType::Insert, count);
        Ok(())
    }
}

async fn run(database: &Database, command: Document) -> Result<(), Error> {
    database.run_command(command).await.map_err(doing("change a collection")).map(|_| ())
}

fn doing(what: &'static str) -> impl FnOnce(mongodb::error::Error) -> Error {
    Error::mongo(what)
}
