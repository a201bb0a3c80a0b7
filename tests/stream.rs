//! The reference: a change stream read without interruption, straight from the server.

use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{Document, Timestamp, doc};
use changetape_core::{ClusterTime, ResumeToken};
use futures_util::StreamExt as _;
use mongodb::Client;

/// The server's present cluster time: everything that happens from now on comes after it.
pub(crate) async fn present(client: &Client) -> Timestamp {
    changetape_testkit::present(client).await.unwrap().into()
}

/// A cluster time as `--since` takes it.
pub(crate) fn since(begin: Timestamp) -> String {
    ClusterTime::from(begin).to_string()
}

/// The options of the stream that `changetape record` opens by default.
pub(crate) fn raw_and_expanded() -> Document {
    doc! {
        "allChangesForCluster": true,
        "showExpandedEvents": true,
        "showRawUpdateDescription": true,
    }
}

/// Whether a deployment can send events over 16 MB in fragments: from 6.0.9 and 7.0 on.
pub(crate) async fn splits(client: &Client) -> bool {
    let build = client.database("admin").run_command(doc! {"buildInfo": 1}).await.unwrap();
    let version = build.get_array("versionArray").unwrap();
    let version: Vec<i32> = version.iter().filter_map(bson::Bson::as_i32).collect();
    version[..3] >= [7, 0, 0][..] || version[..2] == [6, 0] && version[2] >= 9
}

/// Every event from `start` (inclusive) to the present, as the server sends it to a recorder.
pub(crate) async fn read(
    client: &Client,
    mut options: Document,
    start: Timestamp,
) -> Vec<RawDocumentBuf> {
    let end: ClusterTime = present(client).await.into();
    options.insert("startAtOperationTime", start);
    let mut stages = vec![doc! {"$changeStream": options}];
    if splits(client).await {
        // With this stage the tokens of all events have another form.
        stages.push(doc! {"$changeStreamSplitLargeEvent": {}});
    }
    let mut cursor = client.database("admin").aggregate(stages).batch().await.unwrap();
    let mut events = Vec::new();
    loop {
        let batch = cursor.next().await.unwrap().unwrap();
        for event in batch.doc_slices().unwrap() {
            events.push(event.unwrap().as_document().unwrap().to_owned());
        }
        let reply = batch.as_raw_document().get_document("cursor").unwrap();
        let token = reply.get_document("postBatchResumeToken").unwrap();
        let reached = ResumeToken::from_raw(token).cluster_time().unwrap();
        if reached >= end {
            return events;
        }
    }
}

/// Fails at the first event in which two recordings of one stream differ.
pub(crate) fn assert_same(recorded: &[RawDocumentBuf], expected: &[RawDocumentBuf]) {
    let show = |event: Option<&RawDocumentBuf>| {
        event
            .map(|raw: &RawDocumentBuf| -> &RawDocument { raw.as_ref() })
            .map(|raw| format!("{raw:?}"))
    };
    for i in 0..recorded.len().max(expected.len()) {
        let (recorded, expected) = (recorded.get(i), expected.get(i));
        assert!(
            recorded.map(|raw| raw.as_bytes()) == expected.map(|raw| raw.as_bytes()),
            "event {i} differs\nrecorded: {:?}\nexpected: {:?}",
            show(recorded),
            show(expected)
        );
    }
}
