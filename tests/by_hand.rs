//! Tapes by hand: events as a server sends them.

use std::path::PathBuf;

use bson::raw::RawDocumentBuf;
use bson::{Bson, DateTime, Document, Timestamp, doc};
use changetape_core::Arrival;
use changetape_tape::{Batch, TapeWriter};
use changetape_testkit::samples;
use tempfile::{TempDir, tempdir};

use crate::program::{Ran, run, text};

/// A tape, and where it is kept.
pub(crate) struct Taped {
    _directory: TempDir,
    pub(crate) tape: PathBuf,
}

impl Taped {
    pub(crate) fn of(events: &[RawDocumentBuf]) -> Self {
        let directory = tempdir().unwrap();
        let tape = directory.path().join("by_hand.tape");
        let mut writer = TapeWriter::create(&tape, samples::metadata()).unwrap();
        let events: Vec<_> = events.iter().map(AsRef::as_ref).collect();
        let token = samples::token(events.len() as u64);
        writer
            .append(&Batch { events: &events, token: &token, arrival: Arrival::default() })
            .unwrap();
        writer.close().unwrap();
        Self { _directory: directory, tape }
    }

    /// The arguments of a replay that does not wait.
    pub(crate) fn replay<'a>(&'a self, target: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        [&["replay", text(&self.tape), target, "--speed", "max"], more].concat()
    }

    /// Replays it, and wants the summary as JSON.
    pub(crate) fn run(&self, target: &str, more: &[&str]) -> Ran {
        run(&[&self.replay(target, more)[..], &["--format", "json"]].concat())
    }
}

/// An event; what is given replaces what it has otherwise.
pub(crate) fn event(operation: &str, coll: &str, more: Document) -> RawDocumentBuf {
    let mut event = doc! {
        "operationType": operation,
        "clusterTime": Timestamp { time: 1_772_366_400, increment: 1 },
        "wallTime": DateTime::from_millis(1_772_366_400_000),
        "ns": {"db": "shop", "coll": coll},
    };
    event.extend(more);
    RawDocumentBuf::try_from(&event).unwrap()
}

pub(crate) fn insert(coll: &str, document: Document) -> RawDocumentBuf {
    let key = doc! {"_id": document.get("_id").unwrap().clone()};
    event("insert", coll, doc! {"documentKey": key, "fullDocument": document})
}

pub(crate) fn update(coll: &str, id: impl Into<Bson>, fields: Document) -> RawDocumentBuf {
    let update = doc! {"$v": 2, "diff": {"u": fields}};
    let key = doc! {"_id": id.into()};
    event("update", coll, doc! {"documentKey": key, "rawUpdateDescription": update})
}

pub(crate) fn delete(coll: &str, id: impl Into<Bson>) -> RawDocumentBuf {
    event("delete", coll, doc! {"documentKey": {"_id": id.into()}})
}

pub(crate) fn define(operation: &str, coll: &str, description: Document) -> RawDocumentBuf {
    event(operation, coll, doc! {"operationDescription": description})
}

/// The same in another database.
pub(crate) fn elsewhere(db: &str, event: &RawDocumentBuf) -> RawDocumentBuf {
    let mut event = Document::try_from(event.as_ref()).unwrap();
    event.get_document_mut("ns").unwrap().insert("db", db);
    RawDocumentBuf::try_from(&event).unwrap()
}
