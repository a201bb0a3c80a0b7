//! Goal: while a replay lasts nothing expires on its target, and when it is over the recorded
//! expiries are in place; whichever way it ends, that is so or is said.
//!
//! Method: a source that keeps what has expired is recorded, base and events, and replayed into a
//! target whose TTL monitor is quick. An update that the target does not take for the time being
//! holds the replay, after all TTL indexes are there; a pass of the monitor is waited for; then the
//! replay is killed, stopped, fails, or goes on. (What events become meanwhile is tested in
//! `replay_applies`.)

use std::path::PathBuf;
use std::process::Child;

use bson::{Document, doc};
use changetape_testkit::ReplicaSet;
use changetape_testkit::compare::Dump;
use mongodb::Client;
use serde_json::json;
use tempfile::{TempDir, tempdir};

use crate::expiring::{after_a_pass, keeping, long_ago, quick, set_monitor, until_empty};
use crate::program::{Ran, ran, run, signal, start, text};

const DOCUMENTS: i32 = 20;

/// Recorded expiries of indexes, in seconds: in a collection of the base, and in one of the events.
const EXPIRIES: [(&str, i32); 2] = [("carts", 100), ("tokens", 200)];

/// A tape with two TTL indexes and a clustered collection that expires, and a target for it.
struct Taped {
    _source: ReplicaSet,
    target: ReplicaSet,
    from: Client,
    to: Client,
    _directory: TempDir,
    tape: PathBuf,
}

async fn command(client: &Client, db: &str, command: Document) -> Document {
    client.database(db).run_command(command).await.unwrap()
}

impl Taped {
    async fn prepare() -> Self {
        // What a killed replay had not committed the server ends then.
        let target = quick().set_parameter("transactionLifetimeLimitSeconds", "1");
        let target = target.set_parameter("enableTestCommands", "1");
        let (source, target) = tokio::join!(keeping().start(), target.start());
        let (source, target) = (source.unwrap(), target.unwrap());
        let (from, to) = (source.client().unwrap(), target.client().unwrap());
        let directory = tempdir().unwrap();
        let tape = directory.path().join("expiring.tape");
        let record = ["record", &source.uri(), text(&tape), "--snapshot", "--stop-when-idle", "1s"];
        let shop = from.database("shop");
        let clustered = doc! {"key": {"_id": 1}, "unique": true};
        let create =
            doc! {"create": "sessions", "clusteredIndex": clustered, "expireAfterSeconds": 1};
        command(&from, "shop", create).await;
        shop.collection("sessions").insert_one(doc! {"_id": long_ago()}).await.unwrap();
        for (coll, seconds) in EXPIRIES {
            let index = doc! {"key": {"at": 1}, "name": "ttl", "expireAfterSeconds": seconds};
            command(&from, "shop", doc! {"createIndexes": coll, "indexes": [index]}).await;
            let documents = (0..DOCUMENTS).map(|n| doc! {"_id": n, "at": long_ago()});
            shop.collection(coll).insert_many(documents).await.unwrap();
            // The first is in the base.
            run(&record).expect_code(0);
        }
        for (coll, _) in EXPIRIES {
            let set = doc! {"$set": {"seen": true}};
            shop.collection::<Document>(coll).update_many(doc! {}, set).await.unwrap();
        }
        run(&record).expect_code(0);
        Self { _source: source, target, from, to, _directory: directory, tape }
    }

    /// Starts a replay, which is held at its first update, and waits for a pass meanwhile.
    async fn begin(&self, flags: &[&str]) -> Child {
        let replay = ["replay", text(&self.tape), &self.target.uri(), "--speed", "max", "--base"];
        let entered = self.refuse("update", 11_602).await + 1;
        let replay = start(&[&replay[..], flags].concat());
        let wait = doc! {
            "waitForFailPoint": "failCommand", "timesEntered": entered, "maxTimeMS": 60_000,
        };
        command(&self.to, "admin", wait).await;
        after_a_pass(&self.to).await;
        replay
    }

    /// Lets the target answer a command about the first collection with an error from now on.
    async fn refuse(&self, refused: &str, code: i32) -> i32 {
        let data = doc! {"failCommands": [refused], "errorCode": code, "namespace": "shop.carts"};
        let point = doc! {"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data};
        command(&self.to, "admin", point).await.get_i32("count").unwrap()
    }

    async fn take_all(&self) {
        let off = doc! {"configureFailPoint": "failCommand", "mode": "off"};
        command(&self.to, "admin", off).await;
    }

    /// What expiries the target has.
    async fn expiries(&self) -> Vec<(&'static str, Option<i32>)> {
        let mut expiries = Vec::new();
        for (coll, _) in EXPIRIES {
            let listed = command(&self.to, "shop", doc! {"listIndexes": coll}).await;
            let listed = listed.get_document("cursor").unwrap().get_array("firstBatch").unwrap();
            let ttl = listed.iter().filter_map(bson::Bson::as_document);
            let ttl = ttl.filter(|index| index.get_str("name").unwrap() == "ttl");
            let [ttl] = ttl.collect::<Vec<_>>()[..] else { panic!("{listed:?}") };
            expiries.push((coll, ttl.get_i32("expireAfterSeconds").ok()));
        }
        expiries
    }

    async fn assert_put_right(&self) {
        assert_eq!(self.expiries().await, EXPIRIES.map(|(coll, expiry)| (coll, Some(expiry))));
    }

    async fn assert_held(&self) {
        assert_eq!(self.expiries().await, EXPIRIES.map(|(coll, _)| (coll, None)));
        // Those of the other come with what is held up.
        for (coll, documents) in [("carts", DOCUMENTS as u64), ("sessions", 1)] {
            let coll = self.to.database("shop").collection::<Document>(coll);
            assert_eq!(coll.count_documents(doc! {}).await.unwrap(), documents);
        }
    }

    /// Fails the test unless the target is the source, and expires.
    async fn assert_same(&self) {
        let found = Dump::take(&self.to).await.unwrap().filtered(|ns| ns.db != "changetape");
        let differences = Dump::take(&self.from).await.unwrap().differences(&found);
        assert!(differences.is_empty(), "{differences}");
        set_monitor(&self.to, true).await;
        for coll in ["carts", "tokens", "sessions"] {
            until_empty(&self.to, "shop", coll).await;
        }
    }
}

fn end(replay: Child) -> Ran {
    ran(replay.wait_with_output().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_base_expires_before_the_end() {
    let taped = Taped::prepare().await;
    let replay = taped.begin(&[]).await;
    taped.assert_held().await;
    set_monitor(&taped.to, false).await;
    taped.take_all().await;
    let replay = end(replay).expect_code(0);
    let says = "kept 3 expiries (of TTL indexes or clustered collections) from firing, and put \
                them right at the end";
    assert!(replay.stdout.contains(says), "{}", replay.stdout);
    taped.assert_same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_replay_has_held_back_is_put_right_by_the_one_that_goes_on() {
    let taped = Taped::prepare().await;
    let flags = ["--resume", "--format", "json"];
    let mut replay = taped.begin(&flags).await;
    replay.kill().unwrap();
    replay.wait().unwrap();
    after_a_pass(&taped.to).await;
    taped.assert_held().await;

    let replay = taped.begin(&flags).await;
    signal(&replay, "-INT");
    let stopped = end(replay).expect_code(130).json();
    assert_eq!(stopped["expiries"], json!({"putRight": 0, "held": 3, "left": []}));
    after_a_pass(&taped.to).await;
    taped.assert_held().await;

    let replay = taped.begin(&flags).await;
    set_monitor(&taped.to, false).await;
    taped.take_all().await;
    let replay = end(replay).expect_code(0).json();
    assert_eq!(replay["expiries"], json!({"putRight": 3, "held": 0, "left": []}));
    assert_eq!((&replay["divergent"], &replay["adapted"]), (&json!(0), &json!(0)), "{replay}");
    taped.assert_same().await;
    // Nothing is left to be put right once more.
    let progress = taped.to.database("changetape").collection::<Document>("progress");
    let kept = progress.find_one(doc! {}).await.unwrap().unwrap();
    assert_eq!(kept.get_array("held").unwrap().len(), 0);
}

/// What is forgotten is told once: by the answer, which is lost, and asked for again.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_replay_has_held_back_is_put_right_by_one_that_forgets_it() {
    let taped = Taped::prepare().await;
    let mut replay = taped.begin(&["--resume"]).await;
    replay.kill().unwrap();
    replay.wait().unwrap();
    taped.assert_held().await;

    let error = doc! {"code": 91, "errmsg": "so the test has it"};
    let data = doc! {"failCommands": ["findAndModify"], "writeConcernError": error};
    let lose = doc! {"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data};
    command(&taped.to, "admin", lose).await;
    let nothing = ["--include", "nothing.there", "--speed", "max", "--format", "json"];
    let replay = ["replay", text(&taped.tape), &taped.target.uri()];
    let replay = run(&[&replay[..], &nothing].concat()).expect_code(0);
    assert!(replay.stderr.contains("so the test has it"), "nothing was lost: {}", replay.stderr);
    assert_eq!(replay.json()["expiries"], json!({"putRight": 3, "held": 0, "left": []}));
    taped.assert_put_right().await;
    let progress = taped.to.database("changetape").collection::<Document>("progress");
    assert_eq!(progress.find_one(doc! {}).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_stopped_or_fails_puts_right_what_it_held_back() {
    let taped = Taped::prepare().await;
    // One that is killed cannot.
    let mut replay = taped.begin(&[]).await;
    replay.kill().unwrap();
    replay.wait().unwrap();
    taped.assert_held().await;
    let against = ["verify", text(&taped.tape), "--against", &taped.target.uri()];
    let verified = run(&against).expect_code(3).stdout;
    let named = |line: &str| line.contains("carts") && line.contains("expireAfterSeconds");
    assert!(verified.lines().any(named), "{verified}");

    let replay = taped.begin(&["--drop", "--format", "json"]).await;
    signal(&replay, "-INT");
    let stopped = end(replay).expect_code(130).json();
    assert_eq!(stopped["expiries"], json!({"putRight": 3, "held": 0, "left": []}));
    taped.assert_put_right().await;

    let replay = taped.begin(&["--drop", "--max-outage", "2s"]).await;
    let failed = end(replay).expect_code(1);
    let says =
        "kept 3 expiries (of TTL indexes or clustered collections) from firing, and put them right";
    assert!(failed.stderr.contains(says), "{}", failed.stderr);
    taped.assert_put_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_put_right_is_named_with_its_remedy() {
    let taped = Taped::prepare().await;
    taped.refuse("collMod", 8_000).await;
    let uri = taped.target.uri();
    let replay = ["replay", text(&taped.tape), &uri, "--speed", "max", "--base"];
    let text = run(&replay).expect_code(3).stdout;
    let says = "kept 2 expiries (of TTL indexes or clustered collections) from firing, and put \
                them right at the end";
    assert!(text.contains(says), "{text}");
    let says = "the TTL index ttl of shop.carts does not fire yet: ";
    assert!(text.contains(says), "{text}");
    let remedy = "put it right with db.getSiblingDB(\"shop\").runCommand({ \"collMod\": \"carts\", \
                  \"index\": { \"name\": \"ttl\", \"expireAfterSeconds\": 100 } })";
    assert!(text.contains(remedy), "{text}");
    let expected = [("carts", None), ("tokens", Some(200))];
    assert_eq!(taped.expiries().await, expected);

    let json = run(&[&replay[..], &["--drop", "--format", "json"]].concat()).expect_code(3).json();
    let left = &json["expiries"]["left"];
    assert_eq!((&left[0]["namespace"], &left[0]["index"]), (&json!("shop.carts"), &json!("ttl")));
    assert_eq!(left[0]["expireAfterSeconds"], 100, "{json}");
    assert_eq!(json["expiries"]["putRight"], 2, "{json}");
}
