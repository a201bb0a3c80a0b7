//! What cannot be: said in a sentence, with nothing left on disk.

use super::*;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgets_the_time_is_told_what_to_do() {
    let source = ReplicaSet::single().start().await.unwrap();
    let client = source.client().unwrap();
    fill(&client, 60_000).await;
    let window =
        |seconds: i32| doc! {"setParameter": 1, "minSnapshotHistoryWindowInSeconds": seconds};
    client.database("admin").run_command(window(1)).await.unwrap();
    let directory = tempdir().unwrap();
    let tape = directory.path().join("slow.tape");
    let uri = source.uri();
    let recorder = start(&["record", &uri, text(&tape), "--snapshot"]);
    wait_for_base(&tape, &recorder);
    // Slower than the window: the server moves it on as it writes.
    signal(&recorder, "-STOP");
    let writes = client.database("bulk").collection::<Document>("writes");
    for n in 0..12 {
        writes.insert_one(doc! {"_id": n}).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    signal(&recorder, "-CONT");
    let ran = ran(recorder.wait_with_output().unwrap()).expect_code(1);
    let sentence = ran.sentence();
    assert!(sentence.contains("minSnapshotHistoryWindowInSeconds"), "{sentence}");
    assert!(sentence.contains("bulk.documents"), "{sentence}");
    assert!(!tape.exists() && !unfinished(&tape).exists());
}
