//! Goal: the servers that tests start are what they say, and never outlive them.
//! Method: real ones are started, killed, stopped, restarted and abandoned.

use bson::{Document, doc};
use changetape_testkit::ReplicaSet;

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
