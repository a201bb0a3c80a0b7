//! `Jumble`: writes that come out otherwise if the wrong two of them change places.

use bson::{Bson, Decimal128, Document, doc};
use changetape_testkit::workload::RandomDocuments;
use fastrand::Rng;
use mongodb::{Client, ClientSession, Collection, Database};

use crate::replay_transactions::bank::Bank;

/// How often everything is done, and how many writes there are between two changes of collections.
const ROUNDS: u32 = 4;
const WRITES: u32 = 100;

const SEATS: i32 = 8;

/// Of each there are several that are equal, to the server or to the collection's collation.
const NUMBERS: i32 = 5;
const NAMES: [&str; 3] = ["anna", "bob", "zoë"];

/// Everything that a seed determines.
pub(super) struct Jumble {
    client: Client,
    database: Database,
    session: ClientSession,
    bank: Bank,
    rng: Rng,
    seed: u64,
    /// Who sits, by `_id`, and who comes next.
    sitting: Vec<i32>,
    next: i32,
    transactions: u64,
}

impl Jumble {
    pub(super) async fn begin(client: &Client, seed: u64) -> Self {
        let bank = Bank::open(client, seed).await;
        Self {
            client: client.clone(),
            database: client.database("jumble"),
            session: client.start_session().await.unwrap(),
            bank,
            rng: Rng::with_seed(seed),
            seed,
            sitting: Vec::new(),
            next: 0,
            transactions: 1,
        }
    }

    /// Does it all; how many transactions there were.
    pub(super) async fn run(mut self) -> u64 {
        self.furnish().await;
        self.admit().await;
        for round in 0..ROUNDS {
            let random = format!("random-{round}");
            let documents = RandomDocuments::new(self.seed ^ u64::from(round)).database(&random);
            documents.operations(150).run(&self.client).await.unwrap();
            for _ in 0..WRITES {
                self.write().await;
            }
            self.change_collections(round).await;
            for _ in 0..WRITES {
                self.write().await;
            }
            self.change_what_is_there(round).await;
            if round % 2 == 0 {
                self.client.database(&random).drop().await.unwrap();
            }
        }
        self.transactions
    }

    async fn write(&mut self) {
        match self.rng.u32(..10) {
            0..4 => {
                let numbers = self.database.collection("numbers");
                let id = self.number();
                self.change(&numbers, id).await;
            }
            4..6 => {
                let names = self.database.collection("names");
                let id = self.name();
                self.change(&names, id).await;
            }
            6 => self.swap().await,
            7 => self.give_up_a_seat().await,
            8 => self.hand_on_a_badge().await,
            _ => {
                self.bank.move_money(1).await;
                self.transactions += 1;
            }
        }
    }

    /// Changes documents in ways that no server refuses, in whatever order: between two changes of
    /// collections nothing else happens that would have the replay keep to the tape's order.
    async fn change_what_is_there(&mut self, round: u32) {
        let name = format!("there-{round}");
        self.command("jumble", doc! {"create": &name}).await;
        let there = self.database.collection::<Document>(&name);
        there.insert_many((0..NUMBERS).map(|n| doc! {"_id": n})).await.unwrap();
        for _ in 0..WRITES {
            let filter = doc! {"_id": self.rng.i32(..NUMBERS)};
            let value = self.rng.i64(..);
            if self.rng.bool() {
                let set = doc! {"$inc": {"times": 1}, "$set": {"last": value}};
                there.update_one(filter, set).await.unwrap();
            } else {
                there.replace_one(filter, doc! {"last": value}).await.unwrap();
            }
        }
    }

    /// A number of any type, by itself or in a document, and negative zero.
    fn number(&mut self) -> Bson {
        let number = self.rng.i32(..NUMBERS);
        let number = match self.rng.u32(..4) {
            0 => Bson::Int32(number),
            1 => Bson::Int64(number.into()),
            2 => Bson::Double(f64::from(number) * if number == 0 { -1.0 } else { 1.0 }),
            _ => Bson::Decimal128(number.to_string().parse::<Decimal128>().unwrap()),
        };
        if self.rng.bool() { number } else { Bson::Document(doc! {"n": number}) }
    }

    /// A name in any letters.
    fn name(&mut self) -> Bson {
        let name = NAMES[self.rng.usize(..NAMES.len())].chars();
        let name = name
            .map(|c| if self.rng.bool() { c.to_uppercase().collect() } else { String::from(c) });
        Bson::String(name.collect())
    }

    /// Does something to the document of an `_id`, or of one that is equal; makes it if there is none.
    async fn change(&mut self, coll: &Collection<Document>, id: Bson) {
        let filter = doc! {"_id": {"$eq": id}};
        let value = self.rng.i64(..);
        match self.rng.u32(..10) {
            0..4 => {
                let update = doc! {"$inc": {"times": 1}, "$set": {"last": value}};
                coll.update_one(filter, update).upsert(true).await.unwrap();
            }
            4..7 => {
                coll.replace_one(filter, doc! {"last": value}).upsert(true).await.unwrap();
            }
            _ => drop(coll.delete_one(filter).await.unwrap()),
        }
    }

    fn seats(&self) -> Collection<Document> {
        self.database.collection("seats")
    }

    fn somebody(&mut self) -> i32 {
        self.sitting[self.rng.usize(..self.sitting.len())]
    }

    /// Two change seats, one of them standing in between; at one moment or not.
    async fn swap(&mut self) {
        let (one, other) = (self.somebody(), self.somebody());
        if one == other {
            return;
        }
        let seats = self.seats();
        let is_transaction = self.rng.bool();
        if is_transaction {
            self.session.start_transaction().await.unwrap();
            self.transactions += 1;
        }
        let mut free = Bson::String(format!("standing {one}"));
        for id in [one, other, one] {
            let sit = seats.find_one_and_update(doc! {"_id": id}, doc! {"$set": {"seat": free}});
            let had = if is_transaction { sit.session(&mut self.session).await } else { sit.await };
            free = had.unwrap().unwrap().remove("seat").unwrap();
        }
        if is_transaction {
            self.session.commit_transaction().await.unwrap();
        }
    }

    /// Somebody new takes what somebody had.
    async fn give_up_a_seat(&mut self) {
        let at = self.rng.usize(..self.sitting.len());
        let filter = doc! {"_id": self.sitting[at]};
        let mut document = self.seats().find_one_and_delete(filter).await.unwrap().unwrap();
        document.insert("_id", self.next);
        self.seats().insert_one(document).await.unwrap();
        self.sitting[at] = self.next;
        self.next += 1;
    }

    /// Not everybody has a badge.
    async fn hand_on_a_badge(&mut self) {
        let (one, other) = (self.somebody(), self.somebody());
        let without = doc! {"$unset": {"badge": ""}};
        let had = self.seats().find_one_and_update(doc! {"_id": one}, without).await.unwrap();
        let badge = had.unwrap().remove("badge").unwrap_or_else(|| self.rng.i32(1_000..).into());
        let with = doc! {"$set": {"badge": badge}};
        self.seats().update_one(doc! {"_id": other}, with).await.unwrap();
    }

    /// Creates what has options.
    async fn furnish(&mut self) {
        let collation = doc! {"locale": "en", "strength": 2};
        self.command("jumble", doc! {"create": "names", "collation": collation}).await;
        let indexes = doc! {"createIndexes": "seats", "indexes": [
            {"key": {"seat": 1}, "name": "seat", "unique": true},
            {"key": {"badge": 1}, "name": "badge", "unique": true, "sparse": true},
        ]};
        self.command("jumble", indexes).await;
    }

    /// Everybody gets a seat.
    async fn admit(&mut self) {
        let documents = (0..SEATS).map(|n| {
            let badge = if n % 2 == 0 {
                doc! {"badge": n}
            } else {
                doc! {}
            };
            let mut document = doc! {"_id": self.next + n, "seat": n};
            document.extend(badge);
            document
        });
        self.seats().insert_many(documents).await.unwrap();
        self.sitting = (self.next..self.next + SEATS).collect();
        self.next += SEATS;
    }

    async fn change_collections(&mut self, round: u32) {
        match round {
            0 => {
                self.rename("numbers", "old-numbers").await;
                self.command("jumble", doc! {"drop": "names"}).await;
                self.command("jumble", doc! {"dropIndexes": "seats", "index": "seat"}).await;
            }
            1 => {
                // Over one that is there, with its unique indexes; nobody is left.
                self.rename("seats", "old-numbers").await;
                self.rename("names", "numbers").await;
            }
            2 => {
                self.command("jumble", doc! {"dropDatabase": 1}).await;
            }
            _ => return,
        }
        self.furnish().await;
        if round > 0 {
            self.admit().await;
        }
    }

    async fn rename(&self, from: &str, to: &str) {
        let (from, to) = (format!("jumble.{from}"), format!("jumble.{to}"));
        self.command("admin", doc! {"renameCollection": from, "to": to, "dropTarget": true}).await;
    }

    async fn command(&self, db: &str, command: Document) {
        let shown = command.to_string();
        if let Err(error) = self.client.database(db).run_command(command).await {
            panic!("{shown}: {error}");
        }
    }
}
