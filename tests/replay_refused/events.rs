//! Events by hand, as a server sends them.

use bson::raw::RawDocumentBuf;
use bson::{Bson, DateTime, Document, Timestamp, doc};

fn event(operation: &str, coll: &str, more: Document) -> RawDocumentBuf {
    let mut event = doc! {
        "operationType": operation,
        "clusterTime": Timestamp { time: 1_772_366_400, increment: 1 },
        "wallTime": DateTime::from_millis(1_772_366_400_000),
        "ns": {"db": "shop", "coll": coll},
    };
    event.extend(more);
    RawDocumentBuf::try_from(&event).unwrap()
}

pub(super) fn insert(coll: &str, document: Document) -> RawDocumentBuf {
    let key = doc! {"_id": document.get("_id").unwrap().clone()};
    event("insert", coll, doc! {"documentKey": key, "fullDocument": document})
}

pub(super) fn update(coll: &str, id: impl Into<Bson>, fields: Document) -> RawDocumentBuf {
    let update = doc! {"$v": 2, "diff": {"u": fields}};
    let key = doc! {"_id": id.into()};
    event("update", coll, doc! {"documentKey": key, "rawUpdateDescription": update})
}

pub(super) fn delete(coll: &str, id: impl Into<Bson>) -> RawDocumentBuf {
    event("delete", coll, doc! {"documentKey": {"_id": id.into()}})
}

pub(super) fn define(operation: &str, coll: &str, description: Document) -> RawDocumentBuf {
    event(operation, coll, doc! {"operationDescription": description})
}

/// The same in another database.
pub(super) fn elsewhere(db: &str, event: &RawDocumentBuf) -> RawDocumentBuf {
    let mut event = Document::try_from(event.as_ref()).unwrap();
    event.get_document_mut("ns").unwrap().insert("db", db);
    RawDocumentBuf::try_from(&event).unwrap()
}
