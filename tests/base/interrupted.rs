//! Bases that are killed, stopped or overtaken by changes: they are taken again, or nothing is left.

use super::*;

/// The least number of recorders that are killed while they take a base.
const KILLS: u32 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_killed_over_its_base_begins_it_again() {
    const DOCUMENTS: u32 = 60_000;
    let seed = changetape_testkit::seed();
    let mut rng = fastrand::Rng::with_seed(seed);
    let source = ReplicaSet::single().start().await.unwrap();
    let client = source.client().unwrap();
    fill(&client, DOCUMENTS).await;
    let changing = tokio::spawn(keep_changing(client.clone(), seed, DOCUMENTS));

    let directory = tempdir().unwrap();
    let uri = source.uri();
    let (mut killed, mut finished, mut longest) = (0, 0, 100);
    let mut number = 0;
    let tape = loop {
        let tape = directory.path().join(format!("{number}.tape"));
        let args = ["record", &uri, text(&tape), "--snapshot", "--quiet"];
        let recorder = start(&args);
        wait_for_base(&tape, &recorder);
        tokio::time::sleep(Duration::from_millis(rng.u64(0..longest))).await;
        kill(recorder);
        if changetape_tape::tape_exists(&tape) {
            // Too late for its base: this one is to be killed over its events, the next earlier.
            let base = TapeReader::open(&tape).unwrap().base().unwrap().unwrap();
            assert!(base.collections().all(|c| base.blocks(&c.unwrap()).all(|b| b.is_ok())));
            finished += 1;
            longest = (longest * 3 / 4).max(2);
            number += 1;
        } else {
            assert!(unfinished(&tape).exists());
            killed += 1;
            longest += longest / 8 + 1;
        }
        if killed >= KILLS {
            break tape;
        }
    };
    println!("{killed} killed over their base, {finished} after it");

    let last = ["record", &uri, text(&tape), "--snapshot"];
    let whole = run_beside(&[&last[..], &["--duration", "1s"]].concat()).await.expect_code(0);
    assert!(whole.stdout.contains("took a base of"), "{}", whole.stdout);
    assert!(!unfinished(&tape).exists());
    // Killed and continued once more, behind the base now.
    let recorder = start(&last);
    tokio::time::sleep(Duration::from_millis(700)).await;
    kill(recorder);
    changing.abort();
    assert!(changing.await.unwrap_err().is_cancelled());
    run_beside(&[&last[..], &["--stop-when-idle", "2s"]].concat()).await.expect_code(0);
    prove(&client, &tape, |_| true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_is_stopped_leaves_nothing() {
    let (source, client) = hold::source().await;
    let directory = tempdir().unwrap();
    let tape = directory.path().join("stopped.tape");
    let hold = hold::reading(&client).await;
    let recorder = start(&["record", &source.uri(), text(&tape), "--snapshot"]);
    hold.reached().await;
    assert!(unfinished(&tape).join("base.new").exists());
    signal(&recorder, "-INT");
    let ran = ran(recorder.wait_with_output().unwrap()).expect_code(130);
    assert!(ran.sentence().contains("before the base was whole"), "{}", ran.stderr);
    assert!(!tape.exists() && !unfinished(&tape).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_changes_meanwhile_is_read_again() {
    let (source, client) = hold::source().await;
    let shop = client.database("shop");
    shop.collection("orders").insert_one(doc! {"_id": 1, "a": 1}).await.unwrap();
    shop.collection("old").insert_one(doc! {"_id": 1}).await.unwrap();
    let index = doc! {"createIndexes": "orders", "indexes": [{"key": {"a": 1}, "name": "a"}]};
    let rename = doc! {"renameCollection": "shop.orders", "to": "shop.old", "dropTarget": true};
    let mut changing = tokio::spawn(keep_changing(client.clone(), 7, hold::DOCUMENTS));

    let directory = tempdir().unwrap();
    let uri = source.uri();
    let changes = [
        // What is read is as it was; only the listing tells.
        ("shop", index, "shop.orders was made, changed or dropped meanwhile"),
        // What is to be read is not there any more, or not as it was at that time.
        ("admin", rename, "shop."),
        ("bulk", doc! {"drop": "documents"}, "bulk.documents"),
    ];
    for (number, (database, change, says)) in changes.into_iter().enumerate() {
        let tape = directory.path().join(format!("{number}.tape"));
        let hold = hold::reading(&client).await;
        let args = ["record", &uri, text(&tape), "--snapshot", "--duration", "1s"];
        let recorder = start(&args);
        hold.reached().await;
        client.database(database).run_command(change).await.unwrap();
        hold.end().await;
        let ran = ran(recorder.wait_with_output().unwrap()).expect_code(0);
        assert!(ran.stderr.contains("the base is taken again"), "{}", ran.stderr);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
        if number == 1 {
            changing.abort();
            assert!((&mut changing).await.unwrap_err().is_cancelled());
        }
        let rest = ["record", &uri, text(&tape), "--snapshot", "--stop-when-idle", "2s"];
        if number >= 1 {
            run_beside(&rest).await.expect_code(0);
            prove(&client, &tape, |_| true).await;
        }
    }
}

/// With many collections counting takes a while: the server's time to keep what was there does not
/// run meanwhile, and what changes meanwhile is no reason to begin again.
#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_base_is_chosen_when_its_documents_are_counted() {
    let (source, client) = hold::source().await;
    let directory = tempdir().unwrap();
    let tape = directory.path().join("counted.tape");
    let hold = hold::counting(&client).await;
    let uri = source.uri();
    let recorder = start(&["record", &uri, text(&tape), "--snapshot", "--stop-when-idle", "2s"]);
    hold.reached().await;
    client.database("shop").collection("late").insert_one(doc! {"_id": 1}).await.unwrap();
    let changed = stream::present(&client).await;
    hold.end().await;
    let ran = ran(recorder.wait_with_output().unwrap()).expect_code(0);
    assert!(!ran.stderr.contains("the base is taken again"), "{}", ran.stderr);
    let base = prove(&client, &tape, |_| true).await;
    assert!(base.time >= changed.into(), "{base:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_comes_from_any_node_and_outlives_one() {
    let set = crate::hold::can_hold(ReplicaSet::three_with_auth());
    let mut source = set.start().await.unwrap();
    let client = source.client().unwrap();
    fill(&client, hold::DOCUMENTS).await;
    let changing = tokio::spawn(keep_changing(client.clone(), 7, hold::DOCUMENTS));
    let directory = tempdir().unwrap();

    let secondary = directory.path().join("secondary.tape");
    let uri = format!("{}&readPreference=secondary", source.uri());
    let record = ["record", &uri, text(&secondary), "--snapshot"];
    run_beside(&[&record[..], &["--duration", "1s"]].concat()).await.expect_code(0);
    changing.abort();
    assert!(changing.await.unwrap_err().is_cancelled());
    run_beside(&[&record[..], &["--stop-when-idle", "2s"]].concat()).await.expect_code(0);
    prove(&client, &secondary, |_| true).await;

    let tape = directory.path().join("primary.tape");
    let uri = source.uri();
    let record = ["record", &uri, text(&tape), "--snapshot", "--stop-when-idle", "2s"];
    let primary = source.primary().await.unwrap();
    // It goes with the node.
    let hold = hold::reading(&client).await;
    let recorder = start(&record);
    hold.reached().await;
    source.kill(primary);
    let ran = ran(recorder.wait_with_output().unwrap()).expect_code(0);
    assert!(ran.stderr.contains("the base is taken again"), "{}", ran.stderr);
    prove(&client, &tape, |_| true).await;
}
