//! Documents: random ones, a shop's, and the awkward ones by name.

use bson::raw::RawDocumentBuf;
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Decimal128, Document, Timestamp, doc};
use changetape_testkit::workload::random_updates::RandomUpdates;
use changetape_testkit::workload::{OrderShop, RandomDocuments};
use futures_util::TryStreamExt as _;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn random_documents_come_out_byte_for_byte() {
    let pair = Pair::start().await;
    let seed = changetape_testkit::seed();
    let tally = RandomDocuments::new(seed).operations(3_000).run(&pair.from).await.unwrap();
    assert_eq!(pair.events().await.len() as u64, tally.total());
    assert_plain(&pair.apply_and_compare().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_comes_out_byte_for_byte() {
    let pair = Pair::start().await;
    let seed = changetape_testkit::seed();
    OrderShop::new(seed).steps(600).run(&pair.from).await.unwrap();
    assert_plain(&pair.apply_and_compare().await);
}

/// Every type that the server takes for an `_id`.
fn ids() -> Vec<Bson> {
    vec![
        1.into(),
        2_i64.into(),
        3.5.into(),
        f64::NAN.into(),
        (-0.0).into(),
        "text".into(),
        "".into(),
        true.into(),
        Bson::Null,
        Bson::MinKey,
        Bson::MaxKey,
        Bson::Symbol("symbol".into()),
        Bson::JavaScriptCode("f()".into()),
        bson::JavaScriptCodeWithScope { code: "f()".into(), scope: doc! {"x": 1} }.into(),
        bson::oid::ObjectId::from_bytes([7; 12]).into(),
        DateTime::from_millis(-1).into(),
        Timestamp { time: 0, increment: 0 }.into(),
        Timestamp { time: 1, increment: 2 }.into(),
        "1.50".parse::<Decimal128>().unwrap().into(),
        Binary { subtype: BinarySubtype::Uuid, bytes: vec![1; 16] }.into(),
        Binary { subtype: BinarySubtype::BinaryOld, bytes: vec![1, 2] }.into(),
        doc! {}.into(),
        doc! {"b": 1, "a": 2}.into(),
        doc! {"a": 2, "b": 1}.into(),
        doc! {"a.b": {"": 1}}.into(),
        doc! {"$ref": "shop", "$id": 4}.into(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_any_type_finds_its_document() {
    let pair = Pair::start().await;
    let ids = ids();
    let documents = ids.iter().map(|id| doc! {"_id": id.clone(), "n": 0});
    let coll = pair.from.database("shop").collection::<Document>("ids");
    coll.insert_many(documents).await.unwrap();
    for (n, id) in ids.iter().enumerate() {
        let by_id = doc! {"_id": {"$eq": id.clone()}};
        let result = match n % 4 {
            0 => coll.delete_one(by_id).await.unwrap().deleted_count,
            1 => coll.replace_one(by_id, doc! {"replaced": 1}).await.unwrap().modified_count,
            _ => {
                let change = doc! {"$set": {"n": 1}, "$currentDate": {"at": true}};
                coll.update_one(by_id, change).await.unwrap().modified_count
            }
        };
        assert_eq!(result, 1, "{id}");
    }
    assert_plain(&pair.apply_and_compare().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_look_like_operators_are_data() {
    let pair = Pair::start().await;
    let odd = doc! {"$set": 1, "a.b": 2, "": 3, "$a": {"$b.c": [{"$d": 4}]}, "0": 5};
    let mut first = doc! {"_id": 1};
    first.extend(odd.clone());
    let coll = pair.from.database("shop").collection::<Document>("odd");
    coll.insert_one(first).await.unwrap();
    coll.insert_one(doc! {"_id": 2}).await.unwrap();
    // A replacement with such names, as only a pipeline can make one.
    let mut second = doc! {"_id": 2};
    second.extend(odd);
    let literally = vec![doc! {"$replaceWith": {"$literal": second}}];
    coll.update_one(doc! {"_id": 2}, literally).await.unwrap();
    let dotted = doc! {"$replaceWith": {"$setField": {
        "field": {"$literal": "a.b"}, "input": "$$ROOT", "value": "changed",
    }}};
    coll.update_one(doc! {"_id": 2}, vec![dotted]).await.unwrap();
    assert_plain(&pair.apply_and_compare().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_timestamp_stays_empty() {
    let pair = Pair::start().await;
    let zero = Timestamp { time: 0, increment: 0 };
    let put = |id: i32, document: Document| {
        let literally = doc! {"$replaceWith": {"$literal": document}};
        doc! {"q": {"_id": id}, "u": [literally], "upsert": true}
    };
    let updates = vec![
        put(1, doc! {"_id": 1, "a": zero}),
        put(2, doc! {"_id": 2, "a": 1}),
        put(2, doc! {"_id": 2, "b": zero, "c": {"d": zero}}),
    ];
    run(&pair.from, "shop", doc! {"update": "times", "updates": updates}).await;
    let stored = raw(&pair.from, "times").find_one(doc! {"_id": 1}).await.unwrap().unwrap();
    assert_eq!(stored.get_timestamp("a").unwrap(), zero, "the server keeps it on this way");
    assert_plain(&pair.apply_and_compare().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_documents_fit() {
    // One update of such a document takes several times its size of the server's cache.
    let pair = Pair::start().await;
    for client in [&pair.from, &pair.to] {
        let roomy = doc! {"setParameter": 1, "wiredTigerEngineRuntimeConfig": "cache_size=1GB"};
        run(client, "admin", roomy).await;
    }
    let coll = pair.from.database("shop").collection::<Document>("large");
    let largest = |id: i32, fill: &str| {
        let frame = doc! {"_id": id, "s": ""}.to_vec().unwrap().len();
        doc! {"_id": id, "s": fill.repeat(16 * 1024 * 1024 - frame)}
    };
    // An event has more to it than its document, and must fit in as many bytes.
    let nearly = |id: i32| doc! {"_id": id, "s": "x".repeat(16 * 1024 * 1024 - 4096)};
    coll.insert_one(nearly(1)).await.unwrap();
    coll.insert_one(nearly(2)).await.unwrap();
    coll.replace_one(doc! {"_id": 1}, doc! {"s": "y".repeat(16 * 1024 * 1024 - 4096)})
        .await
        .unwrap();
    coll.update_one(doc! {"_id": 2}, doc! {"$set": {"t": 1}}).await.unwrap();
    let mut events = pair.events().await;

    // No server that does not split events can deliver this one, but a tape may hold it.
    let mut event = RawDocumentBuf::try_from(
        &doc! {"operationType": "insert", "ns": {"db": "shop", "coll": "large"}, "documentKey": {"_id": 3}},
    )
    .unwrap();
    event.append(bson::cstr!("fullDocument"), RawDocumentBuf::try_from(&largest(3, "z")).unwrap());
    events.push(event);
    coll.insert_one(largest(3, "z")).await.unwrap();
    assert_plain(&apply(pair.sink().await, events, None).await.unwrap());
    pair.compare().await;
}

/// Moved fields, arrays cut and grown, odd names, every type: as many shapes as there are.
#[tokio::test(flavor = "multi_thread")]
async fn updates_of_every_shape_come_out_byte_for_byte() {
    const DOCUMENTS: i32 = 100;
    const ROUNDS: usize = 20;
    let pair = Pair::start().await;
    let mut random = RandomUpdates::with_seed(changetape_testkit::seed());
    let coll = pair.from.database("shop").collection::<Document>("a");
    coll.insert_many((0..DOCUMENTS).map(|id| random.document(id))).await.unwrap();
    for _ in 0..ROUNDS {
        let found = coll.find(doc! {}).await.unwrap();
        let found: Vec<_> = found.try_collect().await.unwrap();
        let update = |document: &Document| {
            let id = document.get_i32("_id").unwrap();
            doc! {"q": {"_id": id}, "u": Bson::from(random.update(document))}
        };
        let updates: Vec<_> = found.iter().map(update).collect();
        // Some are refused, and change nothing.
        run(&pair.from, "shop", doc! {"update": "a", "updates": updates, "ordered": false}).await;
    }
    let mut diffs = pair.events().await;
    diffs.retain(|event| event.get_str("operationType").unwrap() == "update");
    assert!(diffs.len() > ROUNDS * DOCUMENTS as usize / 4);
    assert_plain(&pair.apply_and_compare().await);
}

/// A document that takes the place of another has nothing of it, and its own type of `_id`.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_and_inserted_again_is_the_new_one() {
    let pair = Pair::start().await;
    let coll = pair.from.database("shop").collection::<Document>("a");
    let ids: [Bson; 4] =
        [1.into(), 1.0.into(), 1_i64.into(), "1".parse::<Decimal128>().unwrap().into()];
    for (n, id) in (0..).zip(ids.iter().cycle().take(50)) {
        coll.delete_one(doc! {"_id": 1}).await.unwrap();
        coll.insert_one(doc! {"_id": id, format!("f{n}"): n, "n": n}).await.unwrap();
        coll.update_one(doc! {"_id": 1}, doc! {"$set": {"seen": n}}).await.unwrap();
    }
    assert_plain(&pair.apply_and_compare().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_validator_refuses_is_applied_as_it_was_let_pass() {
    let pair = Pair::start().await;
    let create = doc! {"create": "a", "validator": {"n": {"$gt": 0}}};
    run(&pair.from, "shop", create).await;
    let let_pass = |mut command: Document| {
        command.insert("bypassDocumentValidation", true);
        command
    };
    let insert: Vec<_> =
        (0..4).map(|id| doc! {"_id": id, "n": -1, "text": "x".repeat(100)}).collect();
    run(&pair.from, "shop", let_pass(doc! {"insert": "a", "documents": insert})).await;
    let updates = vec![
        doc! {"q": {"_id": 0}, "u": {"$set": {"n": -2}}},
        doc! {"q": {"_id": 1}, "u": {"n": -3}},
        doc! {"q": {"_id": 2}, "u": [{"$replaceWith": {"$literal": {"_id": 2, "$n": 1}}}]},
    ];
    run(&pair.from, "shop", let_pass(doc! {"update": "a", "updates": updates})).await;
    // One that nothing passes any more.
    run(&pair.from, "shop", doc! {"collMod": "a", "validator": {"n": "no"}}).await;
    let update = vec![doc! {"q": {"_id": 3}, "u": {"$set": {"n": 5}}}];
    run(&pair.from, "shop", let_pass(doc! {"update": "a", "updates": update})).await;
    assert_plain(&pair.apply_and_compare().await);
}
