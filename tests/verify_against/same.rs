//! What was replayed is found the same.

use bson::doc;
use changetape_tape::TapeWriter;
use changetape_testkit::compare::Dump;
use changetape_testkit::samples;
use changetape_testkit::workload::{OrderShop, RandomDocuments};

use super::*;
use crate::program::{ran, signal, start};
use crate::replay_applies::definitions::define_everything;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_replayed_is_the_same() {
    let seed = changetape_testkit::seed();
    let replayed = Replayed::start(
        async |_| {},
        async |client| {
            OrderShop::new(seed).database("store").run(client).await.unwrap();
            RandomDocuments::new(seed).operations(600).run(client).await.unwrap();
            define_everything(client).await;
            move_around(client).await;
        },
    )
    .await;
    replayed.replay(0, &[]);
    let found = replayed.verify(0, &[]);
    assert_eq!((&found["same"], &found["unknown"]), (&true.into(), &0.into()), "{found}");
    assert_eq!(found["passes"], 1, "{found}");
    let dump = Dump::take(&replayed.client()).await.unwrap();
    assert_eq!(found["collections"], dump.collections().count(), "{found}");
    // Also those of which the tape knows that they are gone would be compared, were any known so.
    assert_eq!(found["documents"], dump.documents(), "{found}");
}

/// Collections that get other names, and databases that go.
async fn move_around(client: &Client) {
    for (name, documents) in [("a", 5), ("b", 3), ("c", 4), ("d", 7)] {
        let coll = client.database("moved").collection(name);
        coll.insert_many((0..documents).map(|n| doc! {"_id": n, "in": name})).await.unwrap();
    }
    let rename =
        |from: &str, to: &str| doc! {"renameCollection": from, "to": to, "dropTarget": true};
    command(client, "admin", rename("moved.a", "moved.b")).await;
    command(client, "admin", rename("moved.c", "elsewhere.c")).await;
    let a = client.database("moved").collection::<Document>("a");
    a.insert_one(doc! {"_id": 9, "in": "another"}).await.unwrap();
    let b = client.database("moved").collection::<Document>("b");
    b.update_one(doc! {"_id": 4}, doc! {"$set": {"n.x": 1}}).await.unwrap();
    b.delete_one(doc! {"_id": 2}).await.unwrap();
    command(client, "moved", doc! {"convertToCapped": "d", "size": 8192}).await;
    let gone = client.database("gone").collection::<Document>("x");
    gone.insert_one(doc! {"_id": 1}).await.unwrap();
    command(client, "gone", doc! {"dropDatabase": 1}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_name_and_a_part_are_the_same() {
    let seed = changetape_testkit::seed();
    let replayed = Replayed::start(
        async |_| {},
        async |client| {
            OrderShop::new(seed).run(client).await.unwrap();
            let view = doc! {"create": "view", "viewOn": "orders", "pipeline": []};
            command(client, "shop", view).await;
        },
    )
    .await;
    let map = ["--map-ns", "shop=copy"];
    replayed.replay(0, &map);
    let found = replayed.verify(0, &map);
    assert!(found["documents"].as_u64().unwrap() > 100, "{found}");
    // Under its own name there is nothing.
    let missing = replayed.verify(3, &[]);
    assert_eq!(missing["missing"].as_u64(), sum(&found), "{missing}");
    // A view follows what it is on.
    let more = ["--map-ns", "shop.orders=moved.o,shop=moved"];
    replayed.replay(0, &more);
    assert_eq!(replayed.verify(0, &more)["documents"], found["documents"]);
    let one = replayed.verify(0, &[&map[..], &["--include", "shop.view"]].concat());
    assert_eq!((&one["collections"], &one["documents"]), (&1.into(), &0.into()), "{one}");
    let rest = replayed.verify(0, &[&map[..], &["--exclude", "shop.view"]].concat());
    assert_eq!(rest["documents"], found["documents"], "{rest}");
}

/// What would be missing if nothing were there.
fn sum(found: &Value) -> Option<u64> {
    Some(found["collections"].as_u64()? + found["documents"].as_u64()?)
}

#[test]
fn an_interrupted_comparison_proves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let tape = directory.path().join("any.tape");
    drop(TapeWriter::create(&tape, samples::metadata()).unwrap());
    // Takes connections and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("mongodb://{}/", silent.local_addr().unwrap());
    let verifying = start(&["verify", text(&tape), "--against", &uri]);
    let _connection = silent.accept().unwrap();
    signal(&verifying, "-INT");
    let ended = ran(verifying.wait_with_output().unwrap()).expect_code(130);
    assert!(ended.stderr.contains("nothing is proven"), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
}
