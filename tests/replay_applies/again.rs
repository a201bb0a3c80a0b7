//! Targets that are not as the tape expects: replayed into before, or holding something else.

use std::num::NonZeroUsize;

use bson::{Bson, doc};
use changetape_testkit::workload::OrderShop;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn applying_everything_twice_is_the_same_as_once() {
    let pair = Pair::start().await;
    let seed = changetape_testkit::seed();
    OrderShop::new(seed).steps(400).run(&pair.from).await.unwrap();
    assert_plain(&pair.apply_and_compare().await);
    let tally = pair.apply_and_compare().await;
    assert!(tally.adapted > 0, "{tally:?}");
    assert_eq!((tally.inexact, tally.skipped.len()), (0, 0), "{tally:?}");
    // The shop changes options in its course; a creation that finds the changed ones says so.
    assert_eq!(tally.divergent, tally.divergences.len() as u64, "{tally:?}");
    for divergence in &tally.divergences {
        assert_eq!(divergence.found, "a collection with other options", "{tally:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_that_are_there_already_are_left_alone() {
    let pair = Pair::start().await;
    let create = [
        doc! {"create": "a", "collation": {"locale": "fr"}},
        doc! {"create": "view", "viewOn": "a", "pipeline": [{"$match": {"x": 1}}]},
        doc! {"createIndexes": "a", "indexes": [{"key": {"x": 1}, "name": "x"}]},
        doc! {"create": "doomed"},
        doc! {"drop": "doomed"},
        doc! {"create": "old"},
        doc! {"createIndexes": "a", "indexes": [{"key": {"y": 1}, "name": "y"}]},
        doc! {"dropIndexes": "a", "index": "y"},
    ];
    for command in create {
        run(&pair.from, "shop", command).await;
    }
    run(&pair.from, "admin", doc! {"renameCollection": "shop.old", "to": "shop.new"}).await;
    assert_plain(&pair.apply_and_compare().await);

    // Only what a second run meets: the collection, the view, and what is gone or moved.
    let of_interest = |event: &RawDocumentBuf| {
        let operation = event.get_str("operationType").unwrap();
        let coll = event.get_document("ns").unwrap().get_str("coll").unwrap();
        matches!(
            (operation, coll),
            ("create", "a" | "view") | ("drop" | "rename" | "dropIndexes", _)
        )
    };
    let again: Vec<_> = pair.events().await.into_iter().filter(of_interest).collect();
    assert_eq!(again.len(), 5);
    let tally = apply(pair.sink().await, again, None).await.unwrap();
    assert_eq!((tally.adapted, tally.divergent), (5, 0), "{tally:?}");
    pair.compare().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_lacks_something_diverges_and_is_told_where() {
    let pair = Pair::start().await;
    let shop = pair.from.database("shop");
    let coll = shop.collection::<Document>("a");
    coll.insert_many((0..30).map(|n| doc! {"_id": n})).await.unwrap();
    coll.create_index(mongodb::IndexModel::builder().keys(doc! {"x": 1}).build()).await.unwrap();
    let begin = stream::present(&pair.from).await;
    for n in 0..30 {
        coll.update_one(doc! {"_id": n}, doc! {"$set": {"x": n}}).await.unwrap();
    }
    coll.replace_one(doc! {"_id": 3}, doc! {"replaced": true}).await.unwrap();
    coll.delete_one(doc! {"_id": 4}).await.unwrap();
    let hide = doc! {"collMod": "a", "index": {"name": "x_1", "hidden": true}};
    run(&pair.from, "shop", hide).await;
    run(&pair.from, "admin", doc! {"renameCollection": "shop.a", "to": "shop.b"}).await;
    let events = stream::read(&pair.from, stream::raw_and_expanded(), begin).await;
    let events: Vec<_> = events
        .into_iter()
        .filter(|event| {
            // The stream begins with what happened at that very time.
            !matches!(
                event.get_str("operationType").unwrap(),
                "insert" | "create" | "createIndexes"
            )
        })
        .collect();
    assert_eq!(events.len(), 34);

    // Documents 0 to 11 are there, the others are not; nor is the index.
    let there = pair.to.database("shop").collection::<Document>("a");
    there.insert_many((0..12).map(|n| doc! {"_id": n})).await.unwrap();
    let tally = apply(pair.sink().await, events, None).await.unwrap();
    assert_eq!(tally.divergent, 18 + 1, "{tally:?}");
    assert_eq!(tally.divergences.len(), 10, "only the first are listed");
    assert_eq!(tally.divergences[0].seq, Seq::new(12));
    assert_eq!(tally.divergences[0].namespace.to_string(), "shop.a");
    assert_eq!(raw(&pair.to, "b").count_documents(doc! {}).await.unwrap(), 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_the_event_and_what_is_applied() {
    let pair = Pair::start().await;
    let coll = pair.from.database("shop").collection::<Document>("a");
    coll.insert_many((0..10).map(|n| doc! {"_id": n, "x": n})).await.unwrap();
    let there = pair.to.database("shop").collection::<Document>("a");
    let unique = mongodb::options::IndexOptions::builder().unique(true).build();
    let index = mongodb::IndexModel::builder().keys(doc! {"x": 1}).options(unique).build();
    there.create_index(index).await.unwrap();
    there.insert_one(doc! {"_id": "other", "x": 7}).await.unwrap();
    let mut events = pair.events().await;
    events.retain(|event| event.get_str("operationType").unwrap() == "insert");
    let error = apply(pair.sink().await, events, None).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("refused the insert at #7 on shop.a"), "{text}");
    assert!(text.contains("E11000") && text.contains("everything before #7 is applied"), "{text}");
    assert_eq!(raw(&pair.to, "a").count_documents(doc! {}).await.unwrap(), 8);
}

/// In more than one of the transactions that share a window something is refused: the first such event
/// is named, what comes before it is there, and nothing of what follows.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_in_several_transactions_names_the_first_event() {
    let pair = Pair::start().await;
    let coll = pair.from.database("shop").collection::<Document>("a");
    // A place that is none, from the 15th on in every eighth.
    let place = |n| if n % 8 == 7 && n >= 15 { "nowhere".into() } else { Bson::Null };
    coll.insert_many((0..100).map(|n| doc! {"_id": n, "place": place(n)})).await.unwrap();
    let index = doc! {"key": {"place": "2dsphere"}, "name": "place"};
    run(&pair.to, "shop", doc! {"createIndexes": "a", "indexes": [index]}).await;
    let mut events = pair.events().await;
    events.retain(|event| event.get_str("operationType").unwrap() == "insert");
    let sink = pair.sink().await.with_workers(NonZeroUsize::new(8).unwrap());
    let error = apply(sink, events, None).await.unwrap_err().to_string();
    assert!(error.contains("refused the insert at #15 on shop.a"), "{error}");
    let (all, first) = (doc! {}, doc! {"_id": {"$lt": 15}});
    assert_eq!(raw(&pair.to, "a").count_documents(first).await.unwrap(), 15);
    assert_eq!(raw(&pair.to, "a").count_documents(all).await.unwrap(), 15);
}

/// What is there already is found to be so where a collation takes two `_id`s for one, too.
#[tokio::test(flavor = "multi_thread")]
async fn applying_twice_is_the_same_where_ids_are_taken_for_one() {
    let pair = Pair::start().await;
    let create = doc! {"create": "names", "collation": {"locale": "en", "strength": 2}};
    run(&pair.from, "shop", create).await;
    let names = pair.from.database("shop").collection("names");
    for (n, id) in (0..).zip(["anna", "ANNA", "Anna", "aNNa", "anna"]) {
        names.insert_one(doc! {"_id": id, "n": n}).await.unwrap();
        names.update_one(doc! {"_id": id}, doc! {"$set": {"v": n}}).await.unwrap();
        if n < 4 {
            names.delete_one(doc! {"_id": id}).await.unwrap();
        }
    }
    pair.apply_and_compare().await;
    pair.apply_and_compare().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_of_what_is_missing_is_put_in_its_place() {
    let pair = Pair::start().await;
    let coll = pair.from.database("shop").collection::<Document>("a");
    coll.insert_many((0..10).map(|n| doc! {"_id": n})).await.unwrap();
    for n in 0..10 {
        coll.replace_one(doc! {"_id": n}, doc! {"a.b": {"": n}, "replaced": true}).await.unwrap();
        coll.update_one(doc! {"_id": n}, doc! {"$set": {"n": n}}).await.unwrap();
    }
    let mut events = pair.events().await;
    events.retain(|event| matches!(event.get_str("operationType").unwrap(), "replace" | "update"));
    assert_eq!(events.len(), 20);
    let there = pair.to.database("shop").collection::<Document>("a");
    there.insert_many((0..3).map(|n| doc! {"_id": n, "other": n})).await.unwrap();
    let tally = apply(pair.sink().await, events, None).await.unwrap();
    assert_eq!(tally.adapted, 7, "{tally:?}");
    assert_plain(&Tally { adapted: 0, ..tally });
    pair.compare().await;
}
