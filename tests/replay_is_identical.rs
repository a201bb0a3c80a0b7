//! Goal: what is recorded from one deployment and replayed into an empty one is the same there,
//! byte for byte: documents, collections, options, indexes, views.
//!
//! Method: seeded workloads on a real server, recorded and replayed by the program as a user
//! runs it, cut into pieces, since where one stops the next must go on; then everything in both
//! deployments is compared. Once more under another name; and once into a target in another
//! state, which must not pass for a success.

use bson::{Document, doc};
use changetape_core::{Namespace, OperationType};
use changetape_testkit::ReplicaSet;
use changetape_testkit::compare::Dump;
use changetape_testkit::workload::{Bursts, OrderShop, RandomDocuments};
use futures_util::TryStreamExt as _;
use mongodb::Client;
use tempfile::tempdir;

use crate::program::{run, text};

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_change_arrives_byte_for_byte() {
    let seed = changetape_testkit::seed();
    let source = ReplicaSet::single().start().await.unwrap();
    let target = ReplicaSet::single().start().await.unwrap();
    let directory = tempdir().unwrap();
    let tape = directory.path().join("whole.tape");

    // An empty first session fixes where the recording begins; the second continues it.
    let record =
        ["record", &source.uri(), text(&tape), "--stop-when-idle", "1s", "--format", "json"];
    run(&record).expect_code(0);
    let client = source.client().unwrap();
    let mut expected = OrderShop::new(seed).run(&client).await.unwrap().total();
    expected += RandomDocuments::new(seed).operations(500).run(&client).await.unwrap().total();
    expected += Bursts::new(seed).bursts(2).run(&client).await.unwrap().1.total();
    let recorded = run(&record).expect_code(0).json();
    assert_eq!(recorded["events"], expected, "events recorded, of those the workloads caused");
    assert_eq!(recorded["updates"], "raw");

    // In three pieces: the tape's order is all that connects them.
    let (first, second) = (format!("#{}", expected / 3), format!("#{}", expected / 2));
    let mut delivered = 0;
    for piece in
        [vec!["--end", &first], vec!["--start", &first, "--end", &second], vec!["--start", &second]]
    {
        let mut args = vec!["replay", text(&tape), "", "--speed", "max", "--format", "json"];
        let target = target.uri();
        args[2] = &target;
        args.extend(piece);
        let replayed = run(&args).expect_code(0).json();
        assert_eq!(replayed["adapted"], 0, "{replayed}");
        delivered += replayed["delivered"].as_u64().unwrap();
    }
    assert_eq!(delivered, expected);

    let source = Dump::take(&client).await.unwrap();
    assert!(source.documents() > 500, "the workloads left {} documents", source.documents());
    let target = Dump::take(&target.client().unwrap()).await.unwrap();
    let differences = source.differences(&target);
    assert!(differences.is_empty(), "{differences}");
}

/// A conversion copies documents in the order in which they were written, which shows from then on, and
/// a window would write them in another.
#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_becomes_capped_has_its_documents_in_their_order() {
    let source = ReplicaSet::single().start().await.unwrap();
    let target = ReplicaSet::single().start().await.unwrap();
    let directory = tempdir().unwrap();
    let tape = directory.path().join("converted.tape");
    let uri = source.uri();
    let record = ["record", &uri, text(&tape), "--stop-when-idle", "1s"];
    run(&record).expect_code(0);
    let client = source.client().unwrap();
    let log = client.database("shop").collection::<Document>("log");
    for n in 0..20 {
        log.insert_one(doc! {"_id": n}).await.unwrap();
        log.delete_one(doc! {"_id": n}).await.unwrap();
        log.insert_one(doc! {"_id": n}).await.unwrap();
    }
    let convert = doc! {"convertToCapped": "log", "size": 8192};
    client.database("shop").run_command(convert).await.unwrap();
    run(&record).expect_code(0);
    // In parts too, of which the first knows nothing of it.
    let target_uri = target.uri();
    let replay = ["replay", text(&tape), &target_uri, "--speed", "max"];
    for part in [["--end", "#40"], ["--start", "#40"]] {
        run(&[&replay[..], &part].concat()).expect_code(0);
    }
    let documents = async |client: &Client| {
        let log = client.database("shop").collection::<Document>("log");
        log.find(doc! {}).await.unwrap().try_collect::<Vec<_>>().await.unwrap()
    };
    assert_eq!(documents(&target.client().unwrap()).await, documents(&client).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_replayed_under_another_name_is_the_same_there() {
    let seed = changetape_testkit::seed();
    let source = ReplicaSet::single().start().await.unwrap();
    let directory = tempdir().unwrap();
    let tape = directory.path().join("renamed.tape");
    let uri = source.uri();
    let record = ["record", &uri, text(&tape), "--stop-when-idle", "1s", "--include", "shop"];
    run(&record).expect_code(0);
    let client = source.client().unwrap();
    OrderShop::new(seed).run(&client).await.unwrap();
    run(&record).expect_code(0);

    // Into the source itself, beside the original.
    let replay = ["replay", text(&tape), &uri, "--speed", "max", "--map-ns", "shop=copy"];
    run(&replay).expect_code(0);
    let dump = Dump::take(&client).await.unwrap();
    let (shop, copy) = (dump.clone().filtered(|ns| ns.db == "shop"), dump);
    let copy = copy
        .filtered(|ns| ns.db == "copy")
        .renamed(|ns| Namespace { db: "shop".to_owned(), coll: ns.coll });
    assert!(shop.documents() > 100);
    let differences = shop.differences(&copy);
    assert!(differences.is_empty(), "{differences}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_in_another_state_is_no_success() {
    let source = ReplicaSet::single().start().await.unwrap();
    let target = ReplicaSet::single().start().await.unwrap();
    let directory = tempdir().unwrap();
    let tape = directory.path().join("updates.tape");
    let uri = source.uri();
    let record = ["record", &uri, text(&tape), "--stop-when-idle", "1s"];
    run(&record).expect_code(0);
    let shop = OrderShop::new(changetape_testkit::seed()).steps(100);
    let updates = shop.run(&source.client().unwrap()).await.unwrap().of(&OperationType::Update);
    run(&record).expect_code(0);

    // Updates alone: what they change was never inserted there.
    let target_uri = target.uri();
    let replay = ["replay", text(&tape), &target_uri, "--speed", "max", "--op", "update"];
    let replayed = run(&[&replay[..], &["--format", "json"]].concat()).expect_code(3).json();
    assert_eq!(
        (&replayed["divergent"], &replayed["delivered"]),
        (&updates.into(), &updates.into())
    );
    assert!(!replayed["divergences"].as_array().unwrap().is_empty());
    assert_eq!(Dump::take(&target.client().unwrap()).await.unwrap().documents(), 0);
}
