//! Memory for a part of the documents only gives the same result in more passes.

use bson::doc;
use changetape_deployment::Deployment;
use changetape_replayer::verify::{Comparison, Verification, VerifyOptions, VerifyProgress};
use changetape_replayer::{Missing, NamespaceMap, Stop};
use changetape_tape::TapeReader;

use super::*;

/// Compares with room for so many bytes of documents.
async fn compared(replayed: &Replayed, memory: usize) -> Comparison {
    let options = VerifyOptions {
        start: None,
        end: None,
        namespaces: changetape_core::NamespaceFilter::default(),
        map: NamespaceMap::default(),
        missing: Missing::default(),
        limit: 100,
        memory,
    };
    let tape = TapeReader::open(&replayed.tape()).unwrap();
    let deployment = Deployment::connect(&replayed.target.uri()).await.unwrap();
    let verification = Verification::new(tape, deployment, options);
    let compared = move || verification.run(&VerifyProgress::default(), &Stop::default());
    tokio::task::spawn_blocking(compared).await.unwrap().unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn little_memory_gives_the_same_in_more_passes() {
    let replayed = differences::replayed().await;
    let at_once = compared(&replayed, 1 << 30).await;
    assert!(at_once.is_same() && at_once.passes == 1, "{at_once:?}");
    let in_parts = compared(&replayed, 10_000).await;
    assert!(in_parts.is_same() && in_parts.passes > 5, "{in_parts:?}");
    assert_eq!(in_parts.documents, at_once.documents);

    differences::change_one_of_each(&replayed.client()).await;
    let at_once = compared(&replayed, 1 << 30).await;
    // Once more, to tell which is the extra one.
    assert_eq!(at_once.passes, 2);
    let in_parts = compared(&replayed, 10_000).await;
    assert_eq!(in_parts.listed, at_once.listed);
    assert_eq!(
        (in_parts.differences, in_parts.documents, in_parts.collections),
        (at_once.differences, at_once.documents, at_once.collections)
    );
    assert!(in_parts.passes > 10, "{}", in_parts.passes);
}

#[tokio::test(flavor = "multi_thread")]
async fn renames_and_drops_are_the_same_in_parts() {
    let replayed = Replayed::start(
        async |_| {},
        async |client| {
            let filled = async |name: &str| {
                let documents =
                    (0..200).map(|n| doc! {"_id": n, "in": name, "text": "some".repeat(20)});
                client.database("shop").collection(name).insert_many(documents).await.unwrap();
            };
            let rename = |from: &str, to: &str| {
                doc! {"renameCollection": from, "to": to, "dropTarget": true}
            };
            for name in ["a", "b", "c"] {
                filled(name).await;
            }
            command(client, "admin", rename("shop.a", "shop.b")).await;
            command(client, "admin", rename("shop.b", "shop.d")).await;
            filled("a").await;
            command(client, "shop", doc! {"drop": "c"}).await;
            let moved = client.database("shop").collection::<Document>("d");
            moved.update_many(doc! {}, doc! {"$set": {"last": true}}).await.unwrap();
            moved.delete_one(doc! {"_id": 7}).await.unwrap();
        },
    )
    .await;
    replayed.replay(0, &[]);
    let found = compared(&replayed, 5_000).await;
    assert!(found.is_same() && found.passes > 5, "{found:?}");
    assert_eq!((found.documents, found.collections), (399, 2), "{found:?}");
}
