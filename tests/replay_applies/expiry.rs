//! What expires: nothing while a replay lasts, and everything as recorded when it is over.
//!
//! The source keeps what has expired. The target's TTL monitor is quick, and has made a pass before
//! the second part of the events comes: they are about documents that would be gone by then. Before
//! the comparison it is switched off.

use bson::{DateTime, doc};
use changetape_testkit::Standalone;

use super::*;
use crate::expiring::{
    after_a_pass, keeping, long_ago, not_so_long_ago, quick, set_monitor, until_empty,
};

const DOCUMENTS: i32 = 20;

impl Pair {
    async fn expiring() -> Self {
        let (source, target) = tokio::join!(keeping().start(), quick().start());
        let (source, target) = (source.unwrap(), target.unwrap());
        let (from, to) = (source.client().unwrap(), target.client().unwrap());
        let begin = stream::present(&from).await;
        Self { _source: source, target, from, to, begin }
    }

    /// The events before and after a mark.
    async fn halves(&self) -> [Vec<RawDocumentBuf>; 2] {
        let mut first = self.events().await;
        let is_mark = |event: &RawDocumentBuf| {
            event.get_document("ns").unwrap().get_str("coll").is_ok_and(|coll| coll == "mark")
        };
        let mark = first.iter().rposition(is_mark).unwrap();
        let second = first.split_off(mark);
        [first, second]
    }

    /// Applies both halves, with a pass in between.
    async fn apply_with_a_pass(&self) -> Tally {
        let [first, second] = self.halves().await;
        let (to, runtime) = (self.to.clone(), tokio::runtime::Handle::current());
        let pass = move || {
            runtime.block_on(async {
                set_monitor(&to, true).await;
                after_a_pass(&to).await;
                set_monitor(&to, false).await;
            });
        };
        let second = std::iter::once_with(move || {
            pass();
            second
        });
        let parts = std::iter::once(first).chain(second);
        apply_parts(self.sink().await, parts, None).await.unwrap()
    }
}

async fn mark(client: &Client) {
    raw(client, "mark").insert_one(bson::rawdoc! {}).await.unwrap();
}

/// A TTL index on `at`.
fn ttl(coll: &str, seconds: i32) -> Document {
    let index = doc! {"key": {"at": 1}, "name": "ttl", "expireAfterSeconds": seconds};
    doc! {"createIndexes": coll, "indexes": [index]}
}

/// A change of an index.
fn modify(coll: &str, mut index: Document) -> Document {
    index.insert("name", "ttl");
    doc! {"collMod": coll, "index": index}
}

async fn insert(client: &Client, coll: &str, at: DateTime) {
    let documents = (0..DOCUMENTS).map(|n| bson::rawdoc! {"_id": n, "at": at});
    raw(client, coll).insert_many(documents).await.unwrap();
}

async fn update(client: &Client, coll: &str) {
    let set = doc! {"$set": {"seen": true}};
    let updated = raw(client, coll).update_many(doc! {}, set).await.unwrap();
    assert_eq!(updated.modified_count, DOCUMENTS as u64);
}

/// Where the server keeps the index, which another one never has.
async fn table(client: &Client) -> String {
    let stats = client.database("shop").run_command(doc! {"collStats": "a"}).await.unwrap();
    let details = stats.get_document("indexDetails").unwrap().get_document("ttl").unwrap();
    details.get_str("uri").unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_expires_before_the_end() {
    let pair = Pair::expiring().await;
    let from = &pair.from;
    let shop = async |command| run(from, "shop", command).await;
    let clustered = doc! {"key": {"_id": 1}, "unique": true};
    shop(doc! {"create": "clustered", "clusteredIndex": &clustered, "expireAfterSeconds": 30})
        .await;
    shop(doc! {"create": "later", "clusteredIndex": &clustered}).await;
    for coll in ["clustered", "later"] {
        let at = |n| DateTime::from_millis(long_ago().timestamp_millis() + i64::from(n));
        let documents = (0..DOCUMENTS).map(|n| bson::rawdoc! {"_id": at(n)});
        raw(from, coll).insert_many(documents).await.unwrap();
    }
    for coll in ["created", "turned", "modified"] {
        insert(from, coll, long_ago()).await;
    }
    // Not before the next document is written would the target be looked at.
    shop(ttl("created", 0)).await;
    shop(doc! {"createIndexes": "turned", "indexes": [{"key": {"at": 1}, "name": "ttl"}]}).await;
    shop(modify("turned", doc! {"expireAfterSeconds": 10})).await;
    shop(ttl("modified", 3_000_000)).await;
    shop(modify("modified", doc! {"expireAfterSeconds": 20, "hidden": true})).await;
    shop(doc! {"collMod": "later", "expireAfterSeconds": 40}).await;
    // Servers make no use of this one.
    let hashed = doc! {"key": {"at": "hashed"}, "name": "hashed", "expireAfterSeconds": 50};
    shop(doc! {"createIndexes": "useless", "indexes": [hashed]}).await;
    insert(from, "useless", long_ago()).await;
    mark(from).await;
    for coll in ["created", "turned", "modified", "clustered", "later", "useless"] {
        update(from, coll).await;
    }

    assert_plain(&pair.apply_with_a_pass().await);
    pair.compare().await;
    set_monitor(&pair.to, true).await;
    for coll in ["created", "turned", "modified", "clustered", "later"] {
        until_empty(&pair.to, "shop", coll).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_back_goes_where_its_collection_goes() {
    let pair = Pair::expiring().await;
    let from = &pair.from;
    let shop = async |command| run(from, "shop", command).await;
    let rename = async |old: &str, new: &str| {
        let (old, new) = (format!("shop.{old}"), format!("shop.{new}"));
        let rename = doc! {"renameCollection": old, "to": new, "dropTarget": true};
        run(from, "admin", rename).await;
    };
    let colls =
        ["moved", "over", "plain", "under", "unindexed", "dropped", "again", "off", "capped"];
    for coll in colls {
        if coll == "plain" {
            shop(doc! {"createIndexes": coll, "indexes": [{"key": {"at": 1}, "name": "ttl"}]})
                .await;
        } else {
            shop(ttl(coll, 1)).await;
        }
        insert(from, coll, long_ago()).await;
    }
    run(from, "gone", ttl("x", 1)).await;
    run(from, "gone", doc! {"dropDatabase": 1}).await;
    run(from, "gone", doc! {"createIndexes": "x", "indexes": [{"key": {"at": 1}, "name": "ttl"}]})
        .await;
    let clustered = doc! {"key": {"_id": 1}, "unique": true};
    shop(doc! {"create": "still", "clusteredIndex": clustered, "expireAfterSeconds": 30}).await;
    rename("moved", "moved here").await;
    rename("over", "over this").await;
    mark(from).await;
    update(from, "moved here").await;
    // With an index of the same name, which is none that lets documents expire.
    rename("plain", "under").await;
    // And the other way round.
    shop(doc! {"createIndexes": "over", "indexes": [{"key": {"at": 1}, "name": "ttl"}]}).await;
    rename("over this", "over").await;
    shop(doc! {"dropIndexes": "unindexed", "index": "ttl"}).await;
    shop(doc! {"drop": "dropped"}).await;
    shop(doc! {"drop": "again"}).await;
    shop(doc! {"createIndexes": "again", "indexes": [{"key": {"at": 1}, "name": "ttl"}]}).await;
    shop(doc! {"dropIndexes": "off", "index": "ttl"}).await;
    shop(ttl("off", 7)).await;
    // It copies in an order of its own.
    raw(from, "capped").delete_many(doc! {"_id": {"$gt": 0}}).await.unwrap();
    shop(doc! {"convertToCapped": "capped", "size": 65_536}).await;
    shop(doc! {"collMod": "still", "expireAfterSeconds": "off"}).await;
    for coll in ["moved here", "over", "under", "unindexed", "off"] {
        let set = doc! {"$set": {"last": 1}};
        let updated = raw(from, coll).update_many(doc! {}, set).await.unwrap();
        assert_eq!(updated.modified_count, DOCUMENTS as u64);
    }

    assert_plain(&pair.apply_with_a_pass().await);
    pair.compare().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_target_lets_expire_already_is_held_back_too() {
    let pair = Pair::expiring().await;
    let from = &pair.from;
    run(from, "shop", ttl("a", 100)).await;
    run(from, "shop", ttl("b", 100)).await;
    let clustered = doc! {"key": {"_id": 1}, "unique": true};
    let create = doc! {"create": "c", "clusteredIndex": clustered, "expireAfterSeconds": 30};
    run(from, "shop", create).await;
    set_monitor(&pair.to, false).await;
    assert_plain(&pair.apply_and_compare().await);

    // Another replay, which sees none of that created. Its stream begins with what happened last.
    run(from, "shop", doc! {"collMod": "a"}).await;
    let pair = Pair { begin: stream::present(from).await, ..pair };
    let from = &pair.from;
    insert(from, "a", not_so_long_ago()).await;
    raw(from, "c").insert_one(bson::rawdoc! {"_id": long_ago(), "at": 1}).await.unwrap();
    mark(from).await;
    update(from, "a").await;
    raw(from, "c").delete_one(doc! {}).await.unwrap();
    // It has no documents before that.
    run(from, "shop", modify("b", doc! {"expireAfterSeconds": 200})).await;
    insert(from, "b", not_so_long_ago()).await;
    assert_plain(&pair.apply_with_a_pass().await);
    pair.compare().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_finds_what_is_held_back_as_it_was() {
    let pair = Pair::expiring().await;
    let from = &pair.from;
    let clustered = doc! {"key": {"_id": 1}, "unique": true};
    let create = doc! {"create": "b", "clusteredIndex": clustered, "expireAfterSeconds": 30};
    run(from, "shop", create).await;
    run(from, "shop", ttl("a", 100)).await;
    insert(from, "a", not_so_long_ago()).await;
    mark(from).await;
    update(from, "a").await;
    set_monitor(&pair.to, false).await;
    assert_plain(&pair.apply_and_compare().await);
    let built = table(&pair.to).await;

    let tally = pair.apply_with_a_pass().await;
    // The documents, the mark, and the three collections.
    assert_eq!(tally.adapted, DOCUMENTS as u64 + 1 + 3, "{tally:?}");
    assert_plain(&Tally { adapted: 0, ..tally });
    pair.compare().await;
    assert_eq!(table(&pair.to).await, built, "the index was built anew");
}

/// Without transactions, nothing else makes a sink look at a collection.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_standalone_target_lets_expire_is_held_back_too() {
    let target = Standalone::start().await.unwrap();
    let client = target.client().await.unwrap();
    run(&client, "shop", ttl("a", 1_000)).await;
    let insert = |id: i32| {
        let event = doc! {
            "operationType": "insert", "ns": {"db": "shop", "coll": "a"},
            "documentKey": {"_id": id}, "fullDocument": {"_id": id},
        };
        vec![RawDocumentBuf::try_from(&event).unwrap()]
    };
    let listed = async |client: &Client| {
        let listed = client.database("shop").run_command(doc! {"listIndexes": "a"}).await.unwrap();
        let indexes = listed.get_document("cursor").unwrap().get_array("firstBatch").unwrap();
        indexes[1].as_document().unwrap().get_i32("expireAfterSeconds").unwrap()
    };
    let (runtime, meanwhile) = (tokio::runtime::Handle::current(), client.clone());
    let second = std::iter::once_with(move || {
        assert_eq!(runtime.block_on(listed(&meanwhile)), i32::MAX);
        insert(2)
    });
    let parts = std::iter::once(insert(1)).chain(second);
    assert_plain(&apply_parts(sink(&target.uri()).await, parts, None).await.unwrap());
    assert_eq!(listed(&client).await, 1_000);
}
