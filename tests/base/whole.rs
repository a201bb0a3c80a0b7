//! Bases that come to be: they and what follows are the source.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_base_and_what_follows_are_the_source() {
    let seed = changetape_testkit::seed();
    let source = ReplicaSet::single().start().await.unwrap();
    let client = source.client().unwrap();
    OrderShop::new(seed).steps(100).database("before").run(&client).await.unwrap();
    fill(&client, 20_000).await;

    // Trade with its administration, which makes collections and indexes: a base that meets
    // that begins again.
    let over = Pace::Over(Duration::from_secs(8));
    let shop = OrderShop::new(seed).steps(300).pace(over);
    let random = RandomDocuments::new(seed).operations(800).pace(over);
    let writing = tokio::spawn({
        let client = client.clone();
        async move { tokio::try_join!(shop.run(&client), random.run(&client)) }
    });
    let changing = tokio::spawn(keep_changing(client.clone(), seed, 20_000));
    tokio::time::sleep(Duration::from_millis(1500)).await;

    let directory = tempdir().unwrap();
    let tape = directory.path().join("shop.tape");
    let uri = source.uri();
    let record = ["record", &uri, text(&tape), "--snapshot", "--exclude", "*.visits"];
    let timed = [&record[..], &["--duration", "3s", "--format", "json"]].concat();
    let recorded = run_beside(&timed).await.expect_code(0);
    let base = &recorded.json()["base"];
    assert!(base["documents"].as_u64().unwrap() > 19_000, "{base}");
    writing.await.unwrap().unwrap();
    changing.abort();
    assert!(changing.await.unwrap_err().is_cancelled());
    // The second session goes on behind the first, and knows that the base is there.
    let rest = [&record[..], &["--stop-when-idle", "2s", "--format", "json"]].concat();
    let rest = run_beside(&rest).await.expect_code(0);
    assert!(rest.stderr.contains("the tape has its base"), "{}", rest.stderr);
    assert!(rest.json()["base"].is_null());

    let whole = prove(&client, &tape, |ns| !ns.ends_with(".visits")).await;
    assert_eq!(base["clusterTime"], whole.time.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_holds_what_is_asked_for_and_is_shown() {
    let source = ReplicaSet::single().start().await.unwrap();
    let client = source.client().unwrap();
    for (database, documents) in [("shop", 3), ("audit", 5)] {
        let documents = (0..documents).map(|n: i32| doc! {"_id": n, "text": "some"});
        client.database(database).collection("entries").insert_many(documents).await.unwrap();
    }
    let view = doc! {"create": "view", "viewOn": "entries", "pipeline": []};
    client.database("shop").run_command(view).await.unwrap();
    let index = doc! {"createIndexes": "entries", "indexes": [{"key": {"text": 1}, "name": "t"}]};
    client.database("shop").run_command(index).await.unwrap();
    let before = stream::present(&client).await;

    let directory = tempdir().unwrap();
    let tape = directory.path().join("shop.tape");
    let uri = source.uri();
    let record = ["record", &uri, text(&tape), "--snapshot", "--include", "shop"];
    run(&[&record[..], &["--stop-when-idle", "1s"]].concat()).expect_code(0);
    let info = run(&["info", text(&tape), "--format", "json"]).expect_code(0).json();
    let base = &info["base"];
    assert_eq!((&base["collections"], &base["documents"]), (&2.into(), &3.into()), "{base}");
    let reader = TapeReader::open(&tape).unwrap();
    let read = reader.base().unwrap().unwrap();
    assert!(read.summary().time >= before.into());
    let all: Vec<_> = read.collections().map(Result::unwrap).collect();
    let names: Vec<String> = all.iter().map(|c| c.definition.namespace().to_string()).collect();
    assert_eq!(names, ["shop.entries", "shop.view"]);
    assert_eq!((all[0].definition.indexes.len(), all[1].definition.indexes.len()), (2, 0));
    let shown = run(&["info", text(&tape)]).expect_code(0).stdout;
    assert!(shown.contains("base          3 documents"), "{shown}");
    let verified = run(&["verify", text(&tape), "--format", "json"]).expect_code(0).json();
    assert_eq!(verified["base"], info["base"]);

    let file = tape.join("base");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let damaged = run(&["verify", text(&tape)]).expect_code(3).stdout;
    assert!(damaged.contains("base: "), "{damaged}");
    let repaired = run(&["verify", "--repair", text(&tape)]).expect_code(3).stdout;
    assert!(repaired.contains("its base is lost"), "{repaired}");
    run(&["verify", text(&tape)]).expect_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_being_built_comes_with_its_event() {
    let mut source = ReplicaSet::three_with_auth().start().await.unwrap();
    let client = source.client().unwrap();
    let shop = client.database("shop");
    shop.collection("orders").insert_one(doc! {"_id": 1, "a": 1}).await.unwrap();
    // A build that waits for all nodes does not end while one is down.
    let secondary = (source.primary().await.unwrap() + 1) % source.nodes();
    source.kill(secondary);
    let build = doc! {"createIndexes": "orders", "indexes": [{"key": {"a": 1}, "name": "a"}],
    "commitQuorum": "votingMembers"};
    let building = tokio::spawn({
        let shop = shop.clone();
        async move { shop.run_command(build).await }
    });
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        assert!(Instant::now() < deadline, "no build began");
        let list = doc! {"listIndexes": "orders", "includeBuildUUIDs": true};
        let indexes = shop.run_cursor_command(list).await.unwrap();
        let indexes: Vec<Document> = indexes.try_collect().await.unwrap();
        if indexes.iter().any(|index| index.contains_key("buildUUID")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let directory = tempdir().unwrap();
    let tape = directory.path().join("shop.tape");
    let uri = source.uri();
    let record = ["record", &uri, text(&tape), "--snapshot"];
    run_beside(&[&record[..], &["--duration", "1s"]].concat()).await.expect_code(0);
    let base = TapeReader::open(&tape).unwrap().base().unwrap().unwrap();
    let orders = base.collections().next().unwrap().unwrap();
    assert_eq!(orders.definition.indexes.len(), 1, "{:?}", orders.definition);

    source.restart(secondary).await.unwrap();
    building.await.unwrap().unwrap();
    run_beside(&[&record[..], &["--stop-when-idle", "2s"]].concat()).await.expect_code(0);
    prove(&client, &tape, |_| true).await;
}
