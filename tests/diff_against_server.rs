//! Goal: what we make of the server's update diff is what the server makes of it, byte for
//! byte: the document after it, the public `updateDescription`, and the whole public event.
//!
//! Method: random updates run on a real mongod while three change streams watch: the one
//! that tapes record (raw and expanded), a plain one and an expanded one. Then
//!
//! - every event of the recorded stream, made public by us, is the other streams' event;
//! - every diff, applied by us to our own copy of the document, gives the document that a
//!   `find` after each round returns; a round updates no document twice;
//! - every other diff is applied, by us and by the server (`$_internalApplyOplogUpdate`), to
//!   a document that missed some earlier ones, and the results are the same.
//!
//! One seed gives one run: `CHANGETAPE_TEST_SEED`. Counters say which shapes of diff came
//! up, and the test fails if it has become trivial.

mod hand_made;
mod shapes;
mod streams;

use std::collections::BTreeMap;
use std::env;

use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{Bson, Document, doc};
use changetape_core::{ChangeEvent, DisambiguatedPaths, OperationType, UpdateDiff};
use changetape_testkit::ReplicaSet;
use changetape_testkit::workload::random_updates::RandomUpdates;
use futures_util::TryStreamExt;
use mongodb::{Client, Collection};

use self::shapes::Shapes;
use self::streams::{Scope, Streams};

/// How many updates are compared.
const UPDATES: usize = 10_000;

/// How many documents a round updates, once each.
const DOCUMENTS: i32 = 250;

/// Documents grow by chance; one larger than this is replaced by a new one.
const MAX_DOCUMENT_BYTES: usize = 8_000;

#[tokio::test]
async fn random_updates_are_applied_and_described_as_the_server_does() {
    let seed = env::var("CHANGETAPE_TEST_SEED")
        .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("a seed is a number"));
    println!("CHANGETAPE_TEST_SEED={seed}");
    let set = ReplicaSet::single().start().await.unwrap();
    let mut test = Comparison::start(&set, seed).await;
    while test.shapes.updates() < UPDATES {
        test.round().await;
    }
    println!("{}", test.shapes);
    test.shapes.assert_not_trivial();
}

struct Comparison {
    client: Client,
    random: RandomUpdates,
    streams: Streams,
    round: i32,
    /// Our copies of the documents, changed by applying diffs only.
    ours: BTreeMap<i32, RawDocumentBuf>,
    /// Our copies of documents that every now and then miss a diff.
    lagging: BTreeMap<i32, RawDocumentBuf>,
    shapes: Shapes,
}

impl Comparison {
    async fn start(set: &ReplicaSet, seed: u64) -> Self {
        let client = set.client().unwrap();
        let streams = Streams::open(&client, &Scope::Deployment, doc! {}).await;
        let mut test = Self {
            client,
            random: RandomUpdates::with_seed(seed),
            streams,
            round: 0,
            ours: BTreeMap::new(),
            lagging: BTreeMap::new(),
            shapes: Shapes::default(),
        };
        let documents: Vec<_> = (0..DOCUMENTS).map(|id| test.random.document(id)).collect();
        for name in ["documents", "lagging"] {
            test.collection(name).insert_many(&documents).await.unwrap();
        }
        test.lagging = test.find("lagging").await;
        test
    }

    fn collection(&self, name: &str) -> Collection<Document> {
        self.client.database("test").collection(name)
    }

    async fn find(&self, name: &str) -> BTreeMap<i32, RawDocumentBuf> {
        let found = self.collection(name).clone_with_type::<RawDocumentBuf>().find(doc! {}).await;
        let found: Vec<_> = found.unwrap().try_collect().await.unwrap();
        found.into_iter().map(|document| (document.get_i32("_id").unwrap(), document)).collect()
    }

    async fn round(&mut self) {
        self.update_all().await;
        self.round += 1;
        let marker = doc! {"marker": self.round};
        self.client.database("markers").collection("markers").insert_one(marker).await.unwrap();
        let events = self.streams.compare_until(self.round).await;

        let mut diffs = BTreeMap::new();
        for event in &events {
            let event = ChangeEvent::from(&**event);
            let ns = event.namespace().unwrap().unwrap();
            if ns.db != "test" || ns.coll.as_deref() != Some("documents") {
                continue;
            }
            // The collection's creation has no document.
            let Some(key) = event.document_key().unwrap() else { continue };
            let id = key.get_i32("_id").unwrap();
            if let Some(update) = self.follow(&event, id) {
                diffs.insert(id, update);
            }
        }
        compare("documents", &self.ours, &self.find("documents").await, &diffs);
        self.compare_on_lagging(diffs).await;
    }

    /// One update for each document, except where it must be replaced.
    async fn update_all(&mut self) {
        let mut updates = Vec::new();
        for (id, document) in &self.ours {
            if document.as_bytes().len() > MAX_DOCUMENT_BYTES {
                let new = self.random.document(*id);
                updates.push(doc! {"q": {"_id": id}, "u": [{"$replaceWith": {"$literal": new}}]});
                continue;
            }
            let document = Document::try_from(&**document).unwrap();
            let update = Bson::from(self.random.update(&document));
            updates.push(doc! {"q": {"_id": id}, "u": update});
        }
        if updates.is_empty() {
            // The first round follows the inserts.
            return;
        }
        let command = doc! {"update": "documents", "updates": updates, "ordered": false};
        let reply = self.client.database("test").run_command(command).await.unwrap();
        if let Ok(errors) = reply.get_array("writeErrors") {
            self.shapes.refused(errors);
        }
    }

    /// Brings our copy of a document up to date; returns the update if it was one.
    fn follow(&mut self, event: &ChangeEvent<'_>, id: i32) -> Option<RawDocumentBuf> {
        let operation = event.operation_type().unwrap();
        if operation != OperationType::Update {
            self.shapes.other(&operation);
            self.ours.insert(id, event.full_document().unwrap().unwrap().to_owned());
            return None;
        }
        let raw = event.raw_update().unwrap().unwrap();
        let pre = self.ours.get(&id).unwrap();
        self.shapes.update(raw, pre);
        let post = UpdateDiff::from_raw(raw).unwrap().apply(pre).unwrap();
        self.ours.insert(id, post);
        Some(raw.to_owned())
    }

    /// Applies some of the diffs to documents they were not made from, here and there.
    async fn compare_on_lagging(&mut self, mut diffs: BTreeMap<i32, RawDocumentBuf>) {
        diffs.retain(|_, _| self.random.rng().bool());
        let mut updates = Vec::new();
        for (id, raw) in &diffs {
            let stage = doc! {"$_internalApplyOplogUpdate": {
                "oplogUpdate": Document::try_from(&**raw).unwrap(),
            }};
            updates.push(doc! {"q": {"_id": id}, "u": [stage]});
            let pre = self.lagging.get(id).unwrap();
            self.shapes.lagging(raw, pre);
            let post = UpdateDiff::from_raw(raw).unwrap().apply(pre).unwrap();
            self.lagging.insert(*id, post);
        }
        if updates.is_empty() {
            return;
        }
        let command = doc! {"update": "lagging", "updates": updates, "ordered": false};
        let reply = self.client.database("test").run_command(command).await.unwrap();
        assert_eq!(reply.get("writeErrors"), None);
        compare("lagging", &self.lagging, &self.find("lagging").await, &diffs);
    }
}

#[track_caller]
fn compare(
    name: &str,
    ours: &BTreeMap<i32, RawDocumentBuf>,
    theirs: &BTreeMap<i32, RawDocumentBuf>,
    diffs: &BTreeMap<i32, RawDocumentBuf>,
) {
    assert!(ours.keys().eq(theirs.keys()), "{name}: other documents than ours");
    for (id, our) in ours {
        let their = &theirs[id];
        let diff = diffs.get(id).map(|diff| readable(diff));
        assert!(
            our == their,
            "{name} {id}, after {diff:?}:\nours   {}\ntheirs {}",
            readable(our),
            readable(their)
        );
    }
}

fn readable(document: &RawDocument) -> String {
    match Document::try_from(document) {
        // With types, and escaped.
        Ok(document) => format!("{document:?}"),
        Err(error) => format!("{error}: {document:?}"),
    }
}

#[tokio::test]
async fn every_kind_of_event_is_public_as_the_server_delivers_it() {
    let set = ReplicaSet::single().start().await.unwrap();
    let client = set.client().unwrap();
    let images =
        doc! {"fullDocument": "whenAvailable", "fullDocumentBeforeChange": "whenAvailable"};
    let mut cases = Vec::new();
    for scope in [Scope::Deployment, Scope::Database("shop"), Scope::Collection("shop", "orders")] {
        for options in [doc! {}, doc! {"fullDocument": "updateLookup"}, images.clone()] {
            cases.push((scope, Streams::open(&client, &scope, options).await));
        }
    }
    streams::run_every_operation(&client).await;
    for (scope, mut streams) in cases {
        let events = streams.compare_until(1).await;
        let seen = |operation: &OperationType| {
            events
                .iter()
                .any(|raw| ChangeEvent::from(&**raw).operation_type().unwrap() == *operation)
        };
        let expected = scope.operations();
        let missing: Vec<_> = expected.iter().filter(|operation| !seen(operation)).collect();
        assert!(missing.is_empty(), "{scope:?} had no {missing:?}");
    }
}

#[tokio::test]
async fn a_description_alone_is_the_servers() {
    let set = ReplicaSet::single().start().await.unwrap();
    let client = set.client().unwrap();
    let mut streams = Streams::open(&client, &Scope::Deployment, doc! {}).await;
    streams::run_every_operation(&client).await;
    let (recorded, plain) = streams.read_until(1).await;
    let described: Vec<_> = recorded
        .iter()
        .filter_map(|event| {
            let event = ChangeEvent::from(&**event);
            let raw = event.raw_update().unwrap()?;
            Some(UpdateDiff::from_raw(raw).unwrap().describe(DisambiguatedPaths::Omit).unwrap())
        })
        .collect();
    let delivered: Vec<_> = plain
        .iter()
        .filter_map(|event| {
            Some(ChangeEvent::from(&**event).update_description().unwrap()?.to_owned())
        })
        .collect();
    assert!(!described.is_empty());
    assert_eq!(described, delivered);
}
