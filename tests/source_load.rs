//! Goal: a recorder asks its source as it is told to, and holds one cursor there.
//!
//! Method: the server is asked what it is doing for the recorder.

use std::collections::BTreeSet;

use bson::{Document, doc};
use changetape_testkit::ReplicaSet;
use futures_util::TryStreamExt as _;
use tempfile::tempdir;

use crate::watched::{Recorder, until};

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
    let flags = ["--batch-size", "7", "--max-await", "4s"];
    let _recorder = Recorder::start(&source.uri(), &tape, &flags);
    // The server mostly waits for changes, so it is found doing that.
    let (asked, cursors) = until("asked by a recorder", async || {
        let operations = operations(&client).await;
        let mut commands = operations.iter().filter_map(|found| found.get_document("command").ok());
        let Some(asked) = commands.find(|command| command.contains_key("getMore")) else {
            return Err(operations);
        };
        // One that has just been answered may be listed as idle, too.
        let cursors = operations.iter().filter_map(|found| found.get_document("cursor").ok());
        let ids: BTreeSet<_> = cursors.map(|cursor| cursor.get_i64("cursorId").unwrap()).collect();
        Ok((asked.clone(), ids.len()))
    })
    .await;
    assert_eq!(asked.get("batchSize").and_then(bson::Bson::as_i32), Some(7), "{asked}");
    let waits = asked.get("maxTimeMS").unwrap();
    assert!(matches!(waits, bson::Bson::Int32(4000) | bson::Bson::Int64(4000)), "{asked}");
    assert_eq!(cursors, 1);
}
