//! Goal: applying a recorded stream to an empty deployment leaves it as the source is: every
//! document byte for byte, collections, options and indexes too, whatever was recorded.
//!
//! Method: something happens on a source; its stream, read without interruption, is handed to
//! the MongoDB sink as a replay would; then both deployments are dumped and compared. What the
//! sink tallies is checked too: nothing may be passed off as exact that is not.

mod again;
pub(crate) mod definitions;
mod documents;
mod expiry;
mod orders;
mod outage;
mod public;

use bson::raw::RawDocumentBuf;
use bson::{Document, Timestamp};
use changetape_core::{ChangeEvent, Seq};
use changetape_replayer::clock::Instant;
use changetape_replayer::sink::Taken;
use changetape_replayer::sink::mongod::MongodSink;
use changetape_replayer::{Completion, Error, Outgoing, Sink, Stop, Tally, Transaction};
use changetape_tape::{Metadata, StreamOptions};
use changetape_testkit::compare::Dump;
use changetape_testkit::{ReplicaSet, samples};
use mongodb::Client;

use crate::stream;

/// A source and an empty target.
struct Pair {
    _source: ReplicaSet,
    target: ReplicaSet,
    from: Client,
    to: Client,
    begin: Timestamp,
}

impl Pair {
    async fn start() -> Self {
        // Sets of one's own: what is there already would be compared too.
        let set = || ReplicaSet::single().start();
        let (source, target) = tokio::join!(set(), set());
        let (source, target) = (source.unwrap(), target.unwrap());
        let (from, to) = (source.client().unwrap(), target.client().unwrap());
        let begin = stream::present(&from).await;
        Self { _source: source, target, from, to, begin }
    }

    /// Everything that happened on the source.
    async fn events(&self) -> Vec<RawDocumentBuf> {
        stream::read(&self.from, stream::raw_and_expanded(), self.begin).await
    }

    async fn sink(&self) -> MongodSink {
        sink(&self.target.uri()).await
    }

    /// Applies everything that happened and fails the test unless both are the same.
    async fn apply_and_compare(&self) -> Tally {
        let events = self.events().await;
        let tally = apply(self.sink().await, events, None).await.unwrap();
        self.compare().await;
        tally
    }

    async fn compare(&self) {
        let source = Dump::take(&self.from).await.unwrap();
        let target = Dump::take(&self.to).await.unwrap();
        let differences = source.differences(&target);
        assert!(differences.is_empty(), "{differences}");
    }
}

async fn sink(uri: &str) -> MongodSink {
    let deployment = changetape_deployment::Deployment::connect(uri).await.unwrap();
    MongodSink::new(deployment).await.unwrap()
}

/// Hands events to a sink as a replay at full speed does.
async fn apply(
    sink: MongodSink,
    events: Vec<RawDocumentBuf>,
    full_document: Option<&'static str>,
) -> Result<Tally, Error> {
    apply_parts(sink, [events], full_document).await
}

/// The same by a replay that has to wait now and then for the next part.
async fn apply_parts(
    mut sink: MongodSink,
    parts: impl IntoIterator<Item = Vec<RawDocumentBuf>> + Send + 'static,
    full_document: Option<&'static str>,
) -> Result<Tally, Error> {
    let apply = move || {
        let mut tally = Tally::default();
        let mut seqs = (0..).map(Seq::new);
        sink.begin(&metadata(full_document))?;
        for events in parts {
            let outgoing: Vec<_> = (seqs.by_ref().zip(events))
                .map(|(seq, event)| {
                    let (event, transaction) = (ChangeEvent::from(event), Transaction::None);
                    Outgoing { seq, event, transaction, due: Instant::default() }
                })
                .collect();
            let mut due = outgoing.as_slice();
            while !due.is_empty() {
                match sink.deliver(due, &mut tally, &Stop::default())? {
                    Taken::Events(taken) => due = &due[taken..],
                    other => panic!("{other:?}"),
                }
            }
        }
        sink.finish()?;
        let expiries = sink.release(Completion::Whole, &Stop::default());
        assert!(expiries.left.is_empty(), "{expiries:?}");
        Ok(tally)
    };
    tokio::task::spawn_blocking(apply).await.unwrap()
}

fn metadata(full_document: Option<&str>) -> Metadata {
    let metadata = samples::metadata();
    let full_document = full_document.map(str::to_owned);
    Metadata { stream: StreamOptions { full_document, ..metadata.stream }, ..metadata }
}

/// Fails unless every event had its recorded effect on a target that was as recorded.
#[track_caller]
fn assert_plain(tally: &Tally) {
    let plain = tally.skipped.is_empty()
        && tally.hidden == 0
        && tally.adapted == 0
        && tally.inexact == 0
        && tally.divergent == 0;
    assert!(plain, "{tally:?}");
}

/// A collection of raw documents.
fn raw(client: &Client, coll: &str) -> mongodb::Collection<RawDocumentBuf> {
    client.database("shop").collection(coll)
}

async fn run(client: &Client, db: &str, command: Document) {
    let shown = command.to_string();
    if let Err(error) = client.database(db).run_command(command).await {
        panic!("{shown}: {error}");
    }
}
