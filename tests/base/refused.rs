//! What cannot be: said in a sentence, with nothing left on disk.

use bson::Timestamp;
use changetape_deployment::error_code;

use super::*;

/// The server's codes, as in its `error_codes.yml`.
const SNAPSHOT_TOO_OLD: i32 = 239;
const SNAPSHOT_UNAVAILABLE: i32 = 246;

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_in_a_base_is_said_before_it_begins() {
    let source = ReplicaSet::single().start().await.unwrap();
    let database = source.client().unwrap().database("shop");
    let creations = [
        doc! {"create": "visits", "capped": true, "size": 4096},
        doc! {"create": "weather", "timeseries": {"timeField": "at"}},
        doc! {"create": "orders"},
    ];
    for command in creations {
        database.run_command(command).await.unwrap();
    }
    let directory = tempdir().unwrap();
    let tape = directory.path().join("shop.tape");
    let uri = source.uri();
    let record = ["record", &uri, text(&tape), "--stop-when-idle", "1s", "--snapshot"];
    let refused = run(&record).expect_code(1);
    let sentence = refused.sentence();
    assert!(sentence.contains("shop.visits (capped"), "{sentence}");
    assert!(sentence.contains("--exclude shop.visits,shop.weather"), "{sentence}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "something was written");
    // What it says to do helps.
    let excluded = [&record[..], &["--exclude", "shop.visits,shop.weather"]].concat();
    run(&excluded).expect_code(0);

    let events_only = directory.path().join("events.tape");
    let mut args = record;
    args[2] = text(&events_only);
    run(&args[..5]).expect_code(0);
    let late = run(&args).expect_code(2);
    assert!(late.sentence().contains("was begun without a base"), "{}", late.stderr);
    let both = run(&[&record[..], &["--since", "1:1"]].concat()).expect_code(2);
    assert!(both.stderr.contains("--since"), "{}", both.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_watch_but_not_list_learns_what_is_missing() {
    let source = ReplicaSet::single().auth(true).start().await.unwrap();
    let client = source.client().unwrap();
    client.database("shop").collection("orders").insert_one(doc! {"_id": 1}).await.unwrap();
    let everywhere = doc! {"db": "", "collection": ""};
    let privilege = doc! {"resource": everywhere, "actions": ["find", "changeStream"]};
    let admin = client.database("admin");
    let role = doc! {"createRole": "watcher", "privileges": [privilege], "roles": []};
    admin.run_command(role).await.unwrap();
    for (user, role) in [("watcher", "watcher"), ("reader", "readAnyDatabase")] {
        let roles = [doc! {"role": role, "db": "admin"}].to_vec();
        let create = doc! {"createUser": user, "pwd": "secret", "roles": roles};
        admin.run_command(create).await.unwrap();
    }
    let directory = tempdir().unwrap();
    let tape = directory.path().join("shop.tape");
    let record = |user| {
        let uri = source.uri_as(user, "secret");
        run(&["record", &uri, text(&tape), "--snapshot", "--stop-when-idle", "1s"])
    };
    let refused = record("watcher").expect_code(1);
    let sentence = refused.sentence();
    assert!(sentence.contains("watcher may not list the collections of"), "{sentence}");
    assert!(sentence.contains("readAnyDatabase"), "{sentence}");
    assert!(!tape.exists() && !unfinished(&tape).exists());
    record("reader").expect_code(0);
    assert_eq!(TapeReader::open(&tape).unwrap().base().unwrap().unwrap().summary().documents, 1);
}

/// For how long a server keeps what was there.
fn window(seconds: i32) -> Document {
    doc! {"setParameter": 1, "minSnapshotHistoryWindowInSeconds": seconds}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_keeps_no_history_is_told_what_to_do_before_it_begins() {
    let source = ReplicaSet::single().auth(true).start().await.unwrap();
    let client = source.client().unwrap();
    client.database("shop").collection("orders").insert_one(doc! {"_id": 1}).await.unwrap();
    let admin = client.database("admin");
    let create = doc! {"createUser": "reader", "pwd": "secret", "roles": ["readAnyDatabase"]};
    admin.run_command(create).await.unwrap();
    let directory = tempdir().unwrap();
    let record = |uri: &str, name: &str| {
        let tape = directory.path().join(name);
        run(&["record", uri, text(&tape), "--snapshot", "--stop-when-idle", "1s"])
    };
    admin.run_command(window(0)).await.unwrap();
    let refused = record(&source.uri(), "none.tape").expect_code(1);
    let sentence = refused.sentence();
    assert!(sentence.contains("its minSnapshotHistoryWindowInSeconds is 0"), "{sentence}");
    assert!(sentence.contains("db.adminCommand({setParameter: 1, "), "{sentence}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "something was written");

    admin.run_command(window(200)).await.unwrap();
    // Who may not ask is not kept from trying.
    let reader = source.uri_as("reader", "secret");
    for (uri, name, says) in [
        (source.uri(), "root.tape", "documents about 1; the server keeps what was there for 200 s"),
        (reader, "reader.tape", "for as long as its minSnapshotHistoryWindowInSeconds says"),
    ] {
        let ran = record(&uri, name).expect_code(0);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_cannot_be_read_at_is_met_before_the_base_begins() {
    let (source, client) = hold::source().await;
    let refuse_once = |code: i32| {
        let data =
            doc! {"failCommands": ["find"], "errorCode": code, "namespace": "bulk.documents"};
        doc! {"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data}
    };
    let admin = client.database("admin");
    let directory = tempdir().unwrap();
    let tape = directory.path().join("shop.tape");
    let uri = source.uri();
    let record = ["record", &uri, text(&tape), "--snapshot", "--stop-when-idle", "1s"];
    let begun = |ran: &Ran| ran.stderr.matches("taking a base at").count();

    admin.run_command(refuse_once(SNAPSHOT_TOO_OLD)).await.unwrap();
    let refused = run(&record).expect_code(1);
    let sentence = refused.sentence();
    assert!(sentence.contains("no longer knows what bulk.documents held"), "{sentence}");
    assert_eq!(begun(&refused), 0, "{}", refused.stderr);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "something was written");

    // What may be over the next time is tried again.
    admin.run_command(refuse_once(SNAPSHOT_UNAVAILABLE)).await.unwrap();
    let taken = run(&record).expect_code(0);
    assert!(taken.stderr.contains("refused to read bulk.documents"), "{}", taken.stderr);
    assert_eq!(begun(&taken), 1, "{}", taken.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgets_the_time_is_told_what_to_do() {
    let (source, client) = hold::source().await;
    client.database("admin").run_command(window(1)).await.unwrap();
    let directory = tempdir().unwrap();
    let tape = directory.path().join("slow.tape");
    let hold = hold::reading(&client).await;
    let recorder = start(&["record", &source.uri(), text(&tape), "--snapshot"]);
    hold.reached().await;
    // Later than the time that the base is read at: when this is forgotten, that is too.
    forget(&client, stream::present(&client).await).await;
    hold.end().await;
    let ran = ran(recorder.wait_with_output().unwrap()).expect_code(1);
    let sentence = ran.sentence();
    assert!(sentence.contains("minSnapshotHistoryWindowInSeconds"), "{sentence}");
    assert!(sentence.contains("bulk.documents"), "{sentence}");
    assert!(!tape.exists() && !unfinished(&tape).exists());
}

/// Waits until the server no longer knows what was there at a time. It moves on as it writes.
async fn forget(client: &Client, time: Timestamp) {
    let bulk = client.database("bulk");
    let concern = doc! {"level": "snapshot", "atClusterTime": time};
    let find = doc! {"find": "documents", "limit": 1, "readConcern": concern};
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < deadline, "{time} is not forgotten");
        match bulk.run_command(find.clone()).await {
            Ok(_) => drop(bulk.collection("writes").insert_one(doc! {}).await.unwrap()),
            Err(error) => return assert_eq!(error_code(&error), Some(SNAPSHOT_TOO_OLD)),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
