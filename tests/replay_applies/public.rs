//! Tapes that hold updates in their public form only.

use bson::doc;

use super::*;

/// Updates of every kind that the public form can tell.
async fn update_everything(client: &Client) {
    let coll = client.database("shop").collection::<Document>("a");
    coll.insert_many((0..4).map(|n| {
        doc! {"_id": n, "a": {"b": {"c": 1}, "x": 1}, "list": [1, 2, {"y": 1}, 4, 5], "z": 1}
    }))
    .await
    .unwrap();
    for (id, change) in [
        (0, doc! {"$set": {"a.b.c": 2, "new": {"deep": [1]}}, "$unset": {"z": ""}}),
        (0, doc! {"$push": {"list": {"$each": [6, 7]}}}),
        (1, doc! {"$push": {"list": {"$each": [], "$slice": 2}}}),
        (1, doc! {"$set": {"list.0": "first"}}),
        (2, doc! {"$set": {"list.2.y": 2}, "$inc": {"z": 5}}),
        (3, doc! {"$rename": {"a.x": "moved"}}),
    ] {
        coll.update_one(doc! {"_id": id}, change).await.unwrap();
    }
    // An array cut and changed in one update.
    let cut = doc! {"$set": {"list": {"$concatArrays": [["new"], {"$slice": ["$list", 1, 2]}]}}};
    coll.update_one(doc! {"_id": 3}, vec![cut]).await.unwrap();
}

fn public_and_expanded() -> Document {
    let mut options = stream::raw_and_expanded();
    options.remove("showRawUpdateDescription");
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_do_what_the_description_says_and_are_counted_as_inexact() {
    let pair = Pair::start().await;
    update_everything(&pair.from).await;
    let events = stream::read(&pair.from, public_and_expanded(), pair.begin).await;
    let tally = apply(pair.sink().await, events, None).await.unwrap();
    assert_eq!((tally.inexact, tally.divergent), (7, 0), "{tally:?}");
    // Create, insert the four, then the updates.
    let listed: Vec<_> = tally.inexact_events.iter().map(|event| event.seq.get()).collect();
    assert_eq!((listed.len(), listed[0]), (7, 5), "{listed:?}");
    // Field order cannot be known; everything else here can.
    let find = async |client: &Client| {
        let coll = client.database("shop").collection::<Document>("a");
        futures_util::TryStreamExt::try_collect::<Vec<_>>(
            coll.find(doc! {}).sort(doc! {"_id": 1}).await.unwrap(),
        )
        .await
        .unwrap()
    };
    assert_eq!(find(&pair.to).await, find(&pair.from).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn post_images_are_exact() {
    let pair = Pair::start().await;
    let images = doc! {"create": "a", "changeStreamPreAndPostImages": {"enabled": true}};
    run(&pair.from, "shop", images).await;
    update_everything(&pair.from).await;
    let mut options = public_and_expanded();
    options.insert("fullDocument", "required");
    let events = stream::read(&pair.from, options, pair.begin).await;
    let tally = apply(pair.sink().await, events, Some("required")).await.unwrap();
    assert_plain(&tally);
    pair.compare().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_document_diverges_once_however_many_statements_its_update_takes() {
    let pair = Pair::start().await;
    let update = |id: i32| {
        doc! {
            "operationType": "update", "ns": {"db": "shop", "coll": "a"}, "documentKey": {"_id": id},
            "updateDescription": {
                "updatedFields": {"list.0": 1}, "removedFields": [],
                "truncatedArrays": [{"field": "list", "newSize": 1}],
            },
        }
    };
    let there = pair.to.database("shop").collection::<Document>("a");
    there.insert_one(doc! {"_id": 1, "list": [0, 0]}).await.unwrap();
    let events = [update(0), update(1), update(2)];
    let events = events.iter().map(|event| RawDocumentBuf::try_from(event).unwrap()).collect();
    let tally = apply(pair.sink().await, events, None).await.unwrap();
    assert_eq!((tally.divergent, tally.inexact), (2, 3), "{tally:?}");
    let seqs: Vec<_> = tally.divergences.iter().map(|divergence| divergence.seq.get()).collect();
    assert_eq!(seqs, [0, 2]);
}

/// What MongoDB 6.1 and newer tell about paths that could be read in more than one way.
#[tokio::test(flavor = "multi_thread")]
async fn paths_that_are_told_apart_are_kept_apart() {
    let pair = Pair::start().await;
    let before = doc! {
        "_id": 1, "a": {"b.c": 1, "b": {"c": 1}}, "$d": {"e": 1}, "list": [{"x.y": 1}, {"x.y": [1, 2]}],
    };
    let there = pair.to.database("shop").collection::<Document>("a");
    let insert = doc! {"insert": "a", "documents": [before]};
    run(&pair.to, "shop", insert).await;
    let event = doc! {
        "operationType": "update", "ns": {"db": "shop", "coll": "a"}, "documentKey": {"_id": 1},
        "updateDescription": {
            "updatedFields": {"a.b.c": 2, "list.0.x.y": "new", "plain": true},
            "removedFields": ["$d.e"],
            "truncatedArrays": [{"field": "list.1.x.y", "newSize": 1}],
            "disambiguatedPaths": {
                "a.b.c": ["a", "b.c"], "list.0.x.y": ["list", 0, "x.y"], "list.1.x.y": ["list", 1, "x.y"],
                "$d.e": ["$d", "e"],
            },
        },
    };
    let events = vec![RawDocumentBuf::try_from(&event).unwrap()];
    let tally = apply(pair.sink().await, events, None).await.unwrap();
    assert_eq!((tally.divergent, tally.inexact), (0, 1), "{tally:?}");
    let expected = doc! {
        "_id": 1, "a": {"b.c": 2, "b": {"c": 1}}, "$d": {}, "list": [{"x.y": "new"}, {"x.y": [1]}],
        "plain": true,
    };
    assert_eq!(there.find_one(doc! {}).await.unwrap().unwrap(), expected);
}
