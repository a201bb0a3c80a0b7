//! Restorations that end in the middle: they say what the target holds, and begin again.

use std::process::Child;

use super::*;

/// How many commands of documents the target takes; there would be twice as many, of a thousand
/// each.
const TAKEN: i32 = 3;
const DOCUMENTS: i32 = 6_000;

const POINT: &str = "failCommand";

/// A base, and a target that takes no more than the first commands of it.
struct Stuck {
    taped: Taped,
    source: ReplicaSet,
    target: ReplicaSet,
    entered: i32,
}

impl Stuck {
    async fn prepare() -> Self {
        let testable = ReplicaSet::single().set_parameter("enableTestCommands", "1");
        let (source, target) = tokio::join!(ReplicaSet::single().start(), testable.start());
        let (source, target) = (source.unwrap(), target.unwrap());
        let shop = source.client().unwrap().database("shop");
        let orders = (0..DOCUMENTS).map(|n| doc! {"_id": n});
        shop.collection("orders").insert_many(orders).await.unwrap();
        shop.collection("stock").insert_one(doc! {"_id": 1}).await.unwrap();
        let taped = Taped::of(&source, &[]);
        // It says from then on that it is no primary any more, as often as it is asked.
        let data = doc! {"failCommands": ["insert"], "errorCode": 11602};
        let point = doc! {"configureFailPoint": POINT, "mode": {"skip": TAKEN}, "data": data};
        let point = command(&target.client().unwrap(), "admin", point).await;
        let entered = point.get_i32("count").unwrap();
        Self { taped, source, target, entered }
    }

    /// Begins to restore, and waits until the target takes no more.
    async fn begin(&self) -> Child {
        let uri = self.target.uri();
        let replay = start(&self.taped.replay(&uri, &["--max-outage", "10m"]));
        let entered = self.entered + 1;
        let wait = doc! {"waitForFailPoint": POINT, "timesEntered": entered, "maxTimeMS": 60_000};
        command(&self.target.client().unwrap(), "admin", wait).await;
        replay
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restoration_that_is_killed_is_not_mistaken_for_a_whole_one() {
    let stuck = Stuck::prepare().await;
    let mut replay = stuck.begin().await;
    replay.kill().unwrap();
    replay.wait().unwrap();

    let Stuck { taped, source, target, .. } = stuck;
    let uri = target.uri();
    let off = doc! {"configureFailPoint": POINT, "mode": "off"};
    command(&target.client().unwrap(), "admin", off).await;
    let refused = taped.restore(&uri, &[]).expect_code(2);
    assert!(refused.sentence().contains("has shop.orders already"), "{}", refused.stderr);
    taped.restore(&uri, &["--drop"]).expect_code(0);
    let (source, target) = (source.client().unwrap(), target.client().unwrap());
    assert_same(&dump(&source).await, &dump(&target).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_stopped_says_that_a_part_is_there() {
    let stuck = Stuck::prepare().await;
    let replay = stuck.begin().await;
    signal(&replay, "-INT");
    let stopped = ran(replay.wait_with_output().unwrap()).expect_code(130);
    let says = "the target holds only a part of it (";
    assert!(stopped.stdout.contains(says), "{}", stopped.stdout);
    assert!(stopped.stdout.contains("--base --drop begins again"), "{}", stopped.stdout);
    assert!(!stopped.stdout.contains("replayed"), "{}", stopped.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_target_stays_away_says_that_a_part_is_there() {
    // Longer than a command takes that is answered, also on a busy machine.
    const OUTAGE: [&str; 2] = ["--max-outage", "10s"];
    let Stuck { taped, source: _source, target, .. } = Stuck::prepare().await;
    let away = taped.restore(&target.uri(), &OUTAGE).expect_code(1);
    let sentence = away.sentence();
    let says = "the target holds only a part of the base (";
    assert!(sentence.starts_with(says) && sentence.contains(" of 6001 documents)"), "{sentence}");
    assert!(sentence.contains("--base --drop begins again"), "{sentence}");
    assert!(sentence.contains("too long to go on waiting"), "{sentence}");
}
