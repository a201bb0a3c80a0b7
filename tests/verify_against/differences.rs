//! One thing of each kind is changed, and exactly that is found.

use bson::{Bson, doc};
use changetape_testkit::workload::{OrderShop, RandomDocuments};

use super::*;

/// A collection, beside whatever else is on the tape.
async fn made(client: &Client) {
    let shop = client.database("shop");
    command(client, "shop", doc! {"create": "made", "validator": {"n": {"$gte": 0}}}).await;
    let index = doc! {"key": {"n": 1}, "name": "by_n", "expireAfterSeconds": 1_000_000};
    let other = doc! {"key": {"t": 1}, "name": "by_t"};
    command(client, "shop", doc! {"createIndexes": "made", "indexes": [index, other]}).await;
    let document = |n: i32| doc! {"_id": n, "n": n, "in": {"a": [1, {"b": "x"}], "c": 2}, "t": "y"};
    shop.collection("made").insert_many((0..400).map(document)).await.unwrap();
    shop.collection::<Document>("made")
        .update_many(doc! {}, doc! {"$inc": {"n": 1}, "$set": {"in.c": 3}})
        .await
        .unwrap();
}

/// Changes one thing of each kind; what has to be found, in order.
pub(super) async fn change_one_of_each(client: &Client) -> Vec<&'static str> {
    let shop = client.database("shop");
    let made = shop.collection::<Document>("made");
    let replace = async |id: i32, document: Document| {
        assert_eq!(made.replace_one(doc! {"_id": id}, document).await.unwrap().matched_count, 1);
    };
    let nested = || doc! {"a": [1, {"b": "x"}], "c": 3};
    // A value, a type of equal value, an order; a field more, one less.
    replace(1, doc! {"_id": 1, "n": 2, "in": {"a": [1, {"b": "z"}], "c": 3}, "t": "y"}).await;
    replace(2, doc! {"_id": 2, "n": 3_i64, "in": nested(), "t": "y"}).await;
    replace(3, doc! {"_id": 3, "n": 4, "in": {"c": 3, "a": [1, {"b": "x"}]}, "t": "y"}).await;
    replace(4, doc! {"_id": 4, "n": 5, "in": nested(), "t": "y", "more": Bson::Null}).await;
    replace(5, doc! {"_id": 5, "n": 6, "in": nested()}).await;
    made.delete_one(doc! {"_id": 6}).await.unwrap();
    made.insert_one(doc! {"_id": "added", "n": 1}).await.unwrap();
    command(client, "shop", doc! {"dropIndexes": "made", "index": "by_t"}).await;
    command(
        client,
        "shop",
        doc! {"createIndexes": "made", "indexes": [
            {"key": {"u": 1}, "name": "by_u"},
        ]},
    )
    .await;
    command(
        client,
        "shop",
        doc! {"collMod": "made", "index": {
            "name": "by_n", "expireAfterSeconds": 2_000_000,
        }},
    )
    .await;
    command(client, "shop", doc! {"collMod": "made", "validator": {"n": {"$gte": -1}}}).await;
    let mut expected = vec![
        "shop.made document 1 different in.a.1.b value",
        "shop.made document 2 different n type",
        "shop.made document 3 different in.a order",
        "shop.made document 4 different more extra",
        "shop.made document 5 different t missing",
        "shop.made document 6 missing",
        "shop.made document \"added\" extra",
        "shop.made index by_n different expireAfterSeconds value",
        "shop.made index by_t missing",
        "shop.made index by_u extra",
        "shop.made options different validator.n.$gte value",
    ];
    expected.sort_unstable();
    expected
}

/// The workloads, and a collection to change.
pub(super) async fn replayed() -> Replayed {
    let seed = changetape_testkit::seed();
    let replayed = Replayed::start(
        async |_| {},
        async |client| {
            OrderShop::new(seed).database("store").steps(100).run(client).await.unwrap();
            RandomDocuments::new(seed).operations(300).run(client).await.unwrap();
            made(client).await;
            let gone = client.database("shop").collection::<Document>("gone");
            gone.insert_one(doc! {"_id": 1}).await.unwrap();
            gone.drop().await.unwrap();
        },
    )
    .await;
    replayed.replay(0, &[]);
    replayed
}

#[tokio::test(flavor = "multi_thread")]
async fn one_change_of_each_kind_is_found_and_nothing_else() {
    let replayed = replayed().await;
    let same = replayed.verify(0, &[]);
    let expected = change_one_of_each(&replayed.client()).await;
    let found = replayed.verify(3, &[]);
    assert_eq!(lines(&found), expected, "{found}");
    let counted = ["missing", "extra", "different"].map(|kind| found[kind].as_u64().unwrap());
    assert_eq!(counted, [2, 2, 7], "{found}");
    assert_eq!(found["documents"], same["documents"], "{found}");

    // Few are listed, all are counted; people are told the same.
    let few = replayed.verify(3, &["--limit", "3"]);
    assert_eq!(few["differences"].as_array().unwrap().len(), 3, "{few}");
    assert_eq!(few["different"], found["different"], "{few}");
    let (tape, uri) = (replayed.tape(), replayed.target.uri());
    let file = replayed.directory.path().join("uri");
    std::fs::write(&file, &uri).unwrap();
    let told = ["verify", text(&tape), "--uri-file", text(&file), "--limit", "8"];
    let told = run(&told).expect_code(3).stdout;
    assert!(told.contains("2 missing, 2 extra, 7 different"), "{told}");
    assert!(told.contains("and 3 more (--limit)"), "{told}");

    // Whole collections: one that is gone, one that should be, another kind of thing.
    let client = replayed.client();
    client.database("shop").collection::<Document>("made").drop().await.unwrap();
    command(&client, "shop", doc! {"create": "gone"}).await;
    let found = replayed.verify(3, &["--include", "shop"]);
    let whole: Vec<_> = lines(&found).into_iter().filter(|it| it.contains("collection")).collect();
    assert_eq!(whole, ["shop.gone collection extra", "shop.made collection missing"], "{found}");
    command(&client, "shop", doc! {"create": "made", "viewOn": "gone"}).await;
    let found = replayed.verify(3, &["--include", "shop.made"]);
    assert!(lines(&found).contains(&"shop.made collection otherKind".to_owned()), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_dropped_holds_only_what_came_after() {
    let replayed = Replayed::start(
        async |_| {},
        async |client| {
            let documents = client.database("shop").collection::<Document>("old");
            documents.insert_one(doc! {"_id": 1}).await.unwrap();
            command(client, "shop", doc! {"dropDatabase": 1}).await;
            let documents = client.database("shop").collection::<Document>("new");
            documents.insert_one(doc! {"_id": 1}).await.unwrap();
        },
    )
    .await;
    replayed.replay(0, &[]);
    replayed.verify(0, &[]);
    let client = replayed.client();
    command(&client, "shop", doc! {"create": "never"}).await;
    // Of what the tape never speaks, it says nothing.
    command(&client, "other", doc! {"create": "unheard"}).await;
    let found = replayed.verify(3, &[]);
    assert_eq!(lines(&found), ["shop.never collection extra"], "{found}");
}
