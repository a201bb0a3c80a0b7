//! A bank, whose money only ever moves.

use bson::{Document, doc};
use fastrand::Rng;
use mongodb::{Client, ClientSession, Database};

/// How many accounts each collection has, and how much money each has at first.
const ACCOUNTS: i32 = 40;
const MONEY: i64 = 1_000;

/// The collections that money is moved between.
pub(super) const COLLECTIONS: [&str; 2] = ["checking", "savings"];

/// All there is.
pub(super) const TOTAL: i64 = 2 * ACCOUNTS as i64 * MONEY;

/// A bank.
pub(crate) struct Bank {
    database: Database,
    session: ClientSession,
    rng: Rng,
    papers: i32,
}

impl Bank {
    /// Opens all accounts in one transaction.
    pub(crate) async fn open(client: &Client, seed: u64) -> Self {
        let database = client.database("bank");
        let mut session = client.start_session().await.unwrap();
        for coll in COLLECTIONS {
            database.create_collection(coll).await.unwrap();
        }
        database.create_collection("papers").await.unwrap();
        session.start_transaction().await.unwrap();
        for coll in COLLECTIONS {
            let accounts = (0..ACCOUNTS).map(|id| doc! {"_id": id, "money": MONEY});
            let coll = database.collection::<Document>(coll);
            coll.insert_many(accounts).session(&mut session).await.unwrap();
        }
        session.commit_transaction().await.unwrap();
        Self { database, session, rng: Rng::with_seed(seed), papers: 0 }
    }

    /// Moves money so often, each time out of an account of one collection into several of the other,
    /// and does something by itself in between; what the last time did first.
    pub(crate) async fn move_money(&mut self, times: u32) -> Document {
        let mut last = Document::new();
        for _ in 0..times {
            self.session.start_transaction().await.unwrap();
            last = self.transfer().await;
            self.session.commit_transaction().await.unwrap();
            let notes = self.database.collection::<Document>("notes");
            notes.insert_one(last.clone()).await.unwrap();
        }
        last
    }

    /// One transaction that writes papers, too.
    pub(super) async fn move_with_papers(&mut self, papers: i32, bytes: usize) {
        let text = "x".repeat(bytes);
        let documents = (0..papers).map(|n| doc! {"_id": self.papers + n, "text": &text});
        let documents: Vec<_> = documents.collect();
        self.papers += papers;
        self.session.start_transaction().await.unwrap();
        self.transfer().await;
        let coll = self.database.collection::<Document>("papers");
        coll.insert_many(documents).session(&mut self.session).await.unwrap();
        self.transfer().await;
        self.session.commit_transaction().await.unwrap();
    }

    /// One transaction that creates a collection in its middle.
    pub(super) async fn move_into_new(&mut self, name: &str) {
        self.session.start_transaction().await.unwrap();
        self.transfer().await;
        self.database.create_collection(name).session(&mut self.session).await.unwrap();
        let index = doc! {"createIndexes": name, "indexes": [
            {"key": {"money": 1}, "name": "money"},
        ]};
        self.database.run_command(index).session(&mut self.session).await.unwrap();
        let coll = self.database.collection::<Document>(name);
        coll.insert_one(doc! {"_id": 1, "money": 0}).session(&mut self.session).await.unwrap();
        self.session.commit_transaction().await.unwrap();
    }

    async fn transfer(&mut self) -> Document {
        let turn = self.rng.usize(0..2);
        let (from, to) = (COLLECTIONS[turn], COLLECTIONS[1 - turn]);
        let id = self.rng.i32(0..ACCOUNTS);
        let parts = self.rng.i64(1..=5);
        self.add(from, id, -parts).await;
        let first = self.rng.i32(0..ACCOUNTS);
        let mut arrived = 0;
        for n in 0..i32::try_from(parts).unwrap() {
            let there = self.add(to, (first + n) % ACCOUNTS, 1).await;
            arrived = if n == 0 { there } else { arrived };
        }
        doc! {"from": from, "id": id, "to": to, "arrived": arrived}
    }

    /// Adds to an account; what it then has.
    async fn add(&mut self, coll: &str, id: i32, money: i64) -> i64 {
        let coll = self.database.collection::<Document>(coll);
        let update = coll.find_one_and_update(doc! {"_id": id}, doc! {"$inc": {"money": money}});
        let after = mongodb::options::ReturnDocument::After;
        let account = update.return_document(after).session(&mut self.session).await.unwrap();
        account.unwrap().get_i64("money").unwrap()
    }
}
