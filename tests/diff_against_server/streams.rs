//! The same operations, read by the stream that tapes record, a plain and an expanded one.

use bson::raw::RawDocumentBuf;
use bson::{Document, doc};
use changetape_core::{ChangeEvent, OperationType, PublicOptions, public_event};
use mongodb::{Client, Cursor};

use super::readable;

/// What a stream watches.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scope {
    Deployment,
    Database(&'static str),
    Collection(&'static str, &'static str),
}

impl Scope {
    /// Operations that its recorded stream must have had after [`run_every_operation`].
    pub(super) fn operations(self) -> Vec<OperationType> {
        let names: &[&str] = match self {
            Self::Deployment => &[
                "insert",
                "update",
                "replace",
                "delete",
                "create",
                "createIndexes",
                "dropIndexes",
                "modify",
                "rename",
                "drop",
                "dropDatabase",
            ],
            Self::Database(_) => &["create", "rename", "drop", "dropDatabase", "invalidate"],
            Self::Collection(..) => &["create", "update", "replace", "rename", "invalidate"],
        };
        names.iter().map(|name| OperationType::from(*name)).collect()
    }
}

/// Three streams over the same.
pub(super) struct Streams {
    recorded: Cursor<RawDocumentBuf>,
    plain: Cursor<RawDocumentBuf>,
    expanded: Cursor<RawDocumentBuf>,
    server_version: String,
}

impl Streams {
    pub(super) async fn open(client: &Client, scope: &Scope, options: Document) -> Self {
        let info = client.database("admin").run_command(doc! {"buildInfo": 1}).await.unwrap();
        let open = |more: Document| {
            let mut options = options.clone();
            options.extend(more);
            open(client, scope, options)
        };
        Self {
            recorded: open(doc! {"showExpandedEvents": true, "showRawUpdateDescription": true})
                .await,
            plain: open(doc! {}).await,
            expanded: open(doc! {"showExpandedEvents": true}).await,
            server_version: info.get_str("version").unwrap().to_owned(),
        }
    }

    /// Reads up to the marker or the end, makes every event public, compares with the other
    /// streams; returns the recorded events.
    pub(super) async fn compare_until(&mut self, marker: i32) -> Vec<RawDocumentBuf> {
        let recorded = read(&mut self.recorded, marker).await;
        let plain = read(&mut self.plain, marker).await;
        let expanded = read(&mut self.expanded, marker).await;
        compare(&recorded, &plain, PublicOptions::plain());
        compare(&recorded, &expanded, PublicOptions::expanded(&self.server_version));
        // What is public already stays as it is.
        compare(&expanded, &expanded, PublicOptions::expanded(&self.server_version));
        compare(&expanded, &plain, PublicOptions::plain());
        recorded
    }

    /// The recorded and the plain events up to the marker.
    pub(super) async fn read_until(
        &mut self,
        marker: i32,
    ) -> (Vec<RawDocumentBuf>, Vec<RawDocumentBuf>) {
        (read(&mut self.recorded, marker).await, read(&mut self.plain, marker).await)
    }
}

async fn open(client: &Client, scope: &Scope, mut options: Document) -> Cursor<RawDocumentBuf> {
    let opened = match scope {
        Scope::Deployment => {
            options.insert("allChangesForCluster", true);
            let pipeline = [doc! {"$changeStream": options}];
            client.database("admin").aggregate(pipeline).with_type().await
        }
        Scope::Database(db) => {
            let pipeline = [doc! {"$changeStream": options}];
            client.database(db).aggregate(pipeline).with_type().await
        }
        Scope::Collection(db, coll) => {
            let pipeline = [doc! {"$changeStream": options}];
            let collection = client.database(db).collection::<Document>(coll);
            collection.aggregate(pipeline).with_type().await
        }
    };
    opened.unwrap()
}

async fn read(stream: &mut Cursor<RawDocumentBuf>, marker: i32) -> Vec<RawDocumentBuf> {
    let mut events = Vec::new();
    while stream.advance().await.unwrap() {
        let event = stream.current();
        events.push(event.to_owned());
        let document = ChangeEvent::from(event).full_document().unwrap().map(ToOwned::to_owned);
        if document
            .is_some_and(|document| document.get_i32("marker").is_ok_and(|found| found == marker))
        {
            break;
        }
    }
    events
}

#[track_caller]
fn compare(recorded: &[RawDocumentBuf], delivered: &[RawDocumentBuf], options: PublicOptions) {
    let mut delivered = delivered.iter();
    for event in recorded {
        let event = ChangeEvent::from(&**event);
        let Some(public) = public_event(&event, options).unwrap() else { continue };
        let Some(theirs) = delivered.next() else {
            panic!("{options:?}: never delivered: {}", readable(public.as_raw()));
        };
        assert!(
            public.as_bytes() == theirs.as_bytes(),
            "{options:?}\nrecorded {}\nours     {}\ntheirs   {}",
            readable(event.as_raw()),
            readable(public.as_raw()),
            readable(theirs)
        );
    }
    if let Some(more) = delivered.next() {
        panic!("{options:?}: delivered, but not by us: {}", readable(more));
    }
}

/// Every operation that a change stream of a replica set reports, then the marker 1.
pub(super) async fn run_every_operation(client: &Client) {
    let shop = client.database("shop");
    let commands = [
        doc! {"create": "orders", "changeStreamPreAndPostImages": {"enabled": true}},
        doc! {"create": "open", "viewOn": "orders", "pipeline": [{"$match": {"open": true}}]},
        doc! {"create": "weather", "timeseries": {"timeField": "at", "metaField": "where"}},
        doc! {"create": "log", "capped": true, "size": 4096},
        doc! {"insert": "orders", "documents": [
            {"_id": 1, "a": 1, "b": {"c": 1, "d": 2}, "list": [1, {"q": 1}, 3], "x".repeat(200): 1},
            {"_id": 2, "open": true},
        ]},
        doc! {"insert": "weather", "documents": [
            {"at": bson::DateTime::from_millis(0), "where": "here", "t": 5},
        ]},
        doc! {"update": "orders", "updates": [
            {"q": {"_id": 1}, "u": {"$set": {"a": 2, "b.c": 5, "new": 1, "list.5": 3}, "$unset": {"b.d": 1}}},
            {"q": {"_id": 1}, "u": [{"$set": {"b": {"$setField": {"field": "0", "input": "$b", "value": 8}}}}]},
            {"q": {"_id": 1}, "u": [{"$set": {"list": {"$slice": ["$list", 2]}}}]},
            {"q": {"_id": 1}, "u": [{"$set": {"list": {"$map": {
                "input": "$list", "in": {"$cond": [{"$isNumber": "$$this"}, "$$this", {"$literal": {"r.s": 1}}]},
            }}}}]},
            {"q": {"_id": 2}, "u": {"replaced": true, "open": true}},
        ]},
        doc! {"createIndexes": "orders", "indexes": [{"key": {"a": 1}, "name": "a"}]},
        doc! {"collMod": "orders", "index": {"name": "a", "hidden": true}},
        doc! {"collMod": "open", "viewOn": "orders", "pipeline": []},
        doc! {"dropIndexes": "orders", "index": "a"},
        doc! {"delete": "orders", "deletes": [{"q": {"_id": 2}, "limit": 1}]},
        doc! {"drop": "open"},
        doc! {"drop": "weather"},
        doc! {"convertToCapped": "log", "size": 8192},
    ];
    for command in commands {
        let reply = shop.run_command(command.clone()).await;
        let reply = reply.unwrap_or_else(|error| panic!("{command}: {error}"));
        assert_eq!(reply.get("writeErrors"), None, "{command}");
    }

    let orders = shop.collection::<Document>("orders");
    let mut session = client.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    orders.insert_one(doc! {"_id": 3}).session(&mut session).await.unwrap();
    let set = doc! {"$set": {"a": 1}};
    orders.update_one(doc! {"_id": 3}, set).session(&mut session).await.unwrap();
    let created = shop.collection::<Document>("created");
    created.insert_one(doc! {"_id": 1}).session(&mut session).await.unwrap();
    orders.delete_one(doc! {"_id": 3}).session(&mut session).await.unwrap();
    session.commit_transaction().await.unwrap();

    let admin = client.database("admin");
    let rename = |from: &str, to: &str| {
        admin.run_command(doc! {"renameCollection": from, "to": to, "dropTarget": true})
    };
    rename("shop.orders", "shop.log").await.unwrap();
    rename("shop.log", "archive.log").await.unwrap();
    shop.drop().await.unwrap();
    client.database("markers").collection("markers").insert_one(doc! {"marker": 1}).await.unwrap();
}
