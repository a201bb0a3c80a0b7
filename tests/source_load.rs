//! Goal: a recorder asks its source as it is told to, and holds one cursor there.
//!
//! Method: the server is asked what it is doing for the recorder.

use std::time::{Duration, Instant};

use bson::{Document, doc};
use changetape_testkit::ReplicaSet;
use futures_util::TryStreamExt as _;
use tempfile::tempdir;

use crate::program::{start, text};

/// What the server does for recorders now, their idle cursors included.
pub(crate) async fn operations(client: &mongodb::Client) -> Vec<Document> {
    let stages = [
        doc! {"$currentOp": {"idleCursors": true}},
        doc! {"$match": {"$or": [{"appName": "changetape"}, {"type": "idleCursor"}]}},
    ];
    let operations = client.database("admin").aggregate(stages).await.unwrap();
    operations.try_collect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_holds_one_cursor_and_asks_as_it_is_told() {
    let source = ReplicaSet::single().start().await.unwrap();
    let client = source.client().unwrap();
    let directory = tempdir().unwrap();
    let tape = directory.path().join("asked.tape");
    let uri = source.uri();
    let mut args = vec!["record", &uri, text(&tape)];
    args.extend(["--batch-size", "7", "--max-await", "4s", "--metrics", "0"]);
    let mut recorder = start(&args);
    let deadline = Instant::now() + Duration::from_secs(60);
    // The server mostly waits for changes, so it is found doing that.
    let (asked, cursors) = loop {
        let operations = operations(&client).await;
        let asked = operations.iter().find(|operation| {
            operation.get_document("command").is_ok_and(|command| command.contains_key("getMore"))
        });
        if let Some(asked) = asked {
            let cursors = operations.iter().filter(|operation| operation.contains_key("cursor"));
            break (asked.get_document("command").unwrap().clone(), cursors.count());
        }
        assert!(Instant::now() < deadline, "no recorder asks: {operations:?}");
    };
    recorder.kill().unwrap();
    recorder.wait().unwrap();
    assert_eq!(asked.get("batchSize").and_then(bson::Bson::as_i32), Some(7), "{asked}");
    let waits = asked.get("maxTimeMS").unwrap();
    assert!(matches!(waits, bson::Bson::Int32(4000) | bson::Bson::Int64(4000)), "{asked}");
    assert_eq!(cursors, 1);
}
