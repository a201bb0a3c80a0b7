//! Goal: the servers that tests start are what they say, and never outlive them.
//! Method: real ones are started, killed, stopped, restarted and abandoned.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bson::{Document, doc};
use changetape_testkit::{ReplicaSet, Standalone};
use mongodb::Client;

#[tokio::test]
async fn a_single_node_survives_kill_stop_and_restart_with_its_data() {
    let mut set = ReplicaSet::single().start().await.unwrap();
    let client = set.client().unwrap();
    let coll = client.database("test").collection::<Document>("c");
    coll.insert_one(doc! {"_id": 1}).await.unwrap();
    set.kill(0);
    set.restart(0).await.unwrap();
    assert_eq!(set.primary().await.unwrap(), 0);
    coll.insert_one(doc! {"_id": 2}).await.unwrap();
    set.stop(0).await.unwrap();
    set.restart(0).await.unwrap();
    set.step_down().await.unwrap();
    assert_eq!(set.primary().await.unwrap(), 0);
    assert_eq!(coll.count_documents(doc! {}).await.unwrap(), 2);
}

#[tokio::test]
async fn a_set_of_three_asks_for_a_login_and_elects_another_primary() {
    let mut set = ReplicaSet::three_with_auth().start().await.unwrap();
    let client = set.client().unwrap();
    let reply = client.database("admin").run_command(doc! {"ping": 1}).await.unwrap();
    assert!(reply.contains_key("operationTime"), "{reply}");
    let coll = client.database("test").collection::<Document>("c");
    coll.insert_one(doc! {"_id": 1}).await.unwrap();
    let stranger = mongodb::Client::with_uri_str(set.uri_as("root", "wrong")).await.unwrap();
    stranger.database("test").collection::<Document>("c").find_one(doc! {}).await.unwrap_err();

    let first = set.primary().await.unwrap();
    set.kill(first);
    assert_ne!(set.primary().await.unwrap(), first);
    coll.insert_one(doc! {"_id": 2}).await.unwrap();
    set.restart(first).await.unwrap();
    set.wait_until_healthy().await.unwrap();
    let second = set.primary().await.unwrap();
    set.step_down().await.unwrap();
    assert_ne!(set.primary().await.unwrap(), second);
    assert_eq!(coll.count_documents(doc! {}).await.unwrap(), 2);
}

#[tokio::test]
async fn a_set_with_tls_answers_only_those_who_use_it_and_trust_its_certificate() {
    let set = ReplicaSet::three_with_auth().nodes(2).tls(true).start().await.unwrap();
    let client = set.client().unwrap();
    client.database("test").collection("c").insert_one(doc! {"_id": 1}).await.unwrap();
    let node = format!("mongodb://127.0.0.1:{}/?directConnection=true", set.port(0));
    let impatient = "&serverSelectionTimeoutMS=1000";
    for options in ["", "&tls=true"] {
        let client = Client::with_uri_str(format!("{node}{impatient}{options}")).await.unwrap();
        client.database("admin").run_command(doc! {"ping": 1}).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_standalone_has_no_change_streams() {
    let server = Standalone::start().await.unwrap();
    let client = server.client().await.unwrap();
    let error = client.watch().await.unwrap_err().to_string();
    assert!(error.contains("only supported on replica sets"), "{error}");
}

#[tokio::test]
async fn a_small_oplog_rolls_over() {
    let set = ReplicaSet::single().oplog_mib(1).start().await.unwrap();
    let client = set.client().unwrap();
    let oplog = client.database("local").collection::<Document>("oplog.rs");
    let oldest = async || oplog.find_one(doc! {}).await.unwrap().unwrap();
    let first = oldest().await;
    let coll = client.database("test").collection::<Document>("c");
    let deadline = Instant::now() + Duration::from_secs(50);
    while oldest().await == first {
        assert!(Instant::now() < deadline, "the oplog still begins with {first}");
        coll.insert_one(doc! {"x": "x".repeat(100_000)}).await.unwrap();
    }
}

#[test]
fn servers_end_when_a_test_panics() {
    let uri = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&uri);
    let test = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let set = ReplicaSet::single().start().await.unwrap();
            *seen.lock().unwrap() = format!("127.0.0.1:{}", set.port(0));
            panic!("as a test does");
        });
    });
    test.join().unwrap_err();
    let address = uri.lock().unwrap().clone();
    assert!(!address.is_empty() && TcpStream::connect(&address).is_err(), "{address} is served");
}

#[test]
fn servers_end_when_their_owner_is_killed() {
    let mut owner = Command::new(env!("CARGO_BIN_EXE_replica-set"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut uri = String::new();
    BufReader::new(owner.stdout.take().unwrap()).read_line(&mut uri).unwrap();
    let address = uri.trim_start_matches("mongodb://").split('/').next().unwrap();
    assert!(TcpStream::connect(address).is_ok(), "{address} is not served");
    owner.kill().unwrap();
    owner.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "{address} is still served");
    }
}
