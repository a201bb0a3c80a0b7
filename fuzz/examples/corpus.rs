//! Makes the inputs that fuzzing begins with, by what writes tapes: `fuzz/corpus/`.
//!
//! ```sh
//! cargo run --manifest-path fuzz/Cargo.toml --example corpus
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use bson::oid::ObjectId;
use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{DateTime, Timestamp, rawdoc};
use changetape_core::{Arrival, ClusterTime, ResumeToken, Seq, WallTime};
use changetape_tape::{
    Batch, Codec, Definition, Edge, Gap, GapCause, Metadata, SourceIdentity, StreamOptions,
    TapeDraft, TapeOptions, UpdateForm,
};

type Failure = Box<dyn std::error::Error>;

/// How long a block's header is without arrival runs and token.
const BLOCK_HEADER_LEN: usize = 92;

fn main() -> Result<(), Failure> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let put = |target: &str, name: &str, bytes: &[u8]| {
        fs::create_dir_all(corpus.join(target))?;
        fs::write(corpus.join(target).join(name), bytes)
    };
    let events = events();
    for (name, event) in &events {
        put("event", name, event.as_bytes())?;
    }
    for (name, diff, document) in diffs() {
        put("diff", name, &[diff.as_bytes(), document.as_bytes()].concat())?;
    }
    put("token", "bytes", token()?.as_bytes())?;
    put("token", "text", token()?.data().unwrap_or_default().as_bytes())?;
    put("token", "strange", rawdoc! {"_data": 1, "more": {"a": []}}.as_bytes())?;
    put("token", "time", b"2026-03-01T12:00:00Z")?;
    put("token", "cluster-time", b"1772366400:1")?;

    let documents: Vec<&RawDocument> = events.iter().map(|(_, event)| event.as_ref()).collect();
    for count in [1, documents.len()] {
        let token = token()?;
        let events = documents.get(..count).unwrap_or_default();
        let batch = Batch { events, token: &token, arrival: arrival() };
        let block = Codec::new()?.encode(Seq::new(40), &batch)?;
        put("block", &format!("whole-{count}"), &[&[0], &block[..]].concat())?;
        // The same with its events uncompressed: see `fuzzing::block`.
        let len = BLOCK_HEADER_LEN + 20 + token.as_bytes().len() + 4;
        let header = block.get(..len).ok_or("a block without a header")?;
        let raw: Vec<u8> = events.iter().flat_map(|event| event.as_bytes()).copied().collect();
        put("block", &format!("events-{count}"), &[&[1], header, &raw].concat())?;
    }

    let directory = std::env::temp_dir().join(format!("changetape-corpus-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let tape = directory.join("a.tape");
    let mut writer =
        TapeOptions { segment_size: 1, ..TapeOptions::default() }.create(&tape, metadata())?;
    let append = Batch { events: &documents, token: &token()?, arrival: arrival() };
    writer.append(&append)?;
    writer.append_behind(gap()?, &Batch { events: &[], ..append })?;
    writer.append(&append)?;
    let log = fs::read(tape.join("log/00000001/db"))?;
    // As long as they say: see `docs/tape-format.md`.
    for (name, magic, around) in [("checkpoint", b"CTCP", 32), ("gap", b"CTGP", 12)] {
        let at = log.windows(4).rposition(|window| window == magic).ok_or("not in the log")?;
        let len = log.get(at + 4..at + 8).ok_or("cut off")?.try_into()?;
        let len = usize::try_from(u32::from_le_bytes(len))?;
        put("frame", name, log.get(at..at + len + around).ok_or("cut off")?)?;
    }
    writer.close()?;
    for (number, segment) in files(&tape.join("segments"))?.iter().enumerate() {
        put("segment", &format!("whole-{number}"), &fs::read(segment)?)?;
    }
    for (name, documents) in [("empty", &[][..]), ("whole", &documents)] {
        let tape = directory.join(name);
        write_base(&tape, documents)?;
        put("base", name, &fs::read(tape.join("base"))?)?;
    }
    for name in ["catalog", "metadata", "FORMAT"] {
        put("frame", name, &fs::read(tape.join(name))?)?;
    }
    Ok(fs::remove_dir_all(directory)?)
}

/// Makes a tape whose base is of a collection and a view.
fn write_base(tape: &Path, documents: &[&RawDocument]) -> Result<(), Failure> {
    let draft = TapeDraft::begin(tape)?;
    let time = ClusterTime { seconds: 1_772_366_400, increment: 1 };
    let mut base = draft.begin_base(time, WallTime::from_millis(1_772_366_400_000))?;
    let orders = Definition {
        db: "shop".into(),
        coll: "orders".into(),
        kind: "collection".into(),
        options: rawdoc! {"validationLevel": "strict"},
        indexes: vec![rawdoc! {"v": 2, "key": {"_id": 1}, "name": "_id_"}],
    };
    base.collection(&orders)?;
    documents.iter().try_for_each(|document| base.document(document))?;
    base.collection(&Definition {
        coll: "open_orders".into(),
        kind: "view".into(),
        options: rawdoc! {"viewOn": "orders", "pipeline": []},
        indexes: Vec::new(),
        ..orders
    })?;
    base.finish()?;
    draft.finish(metadata(), TapeOptions::default())?.close()?;
    Ok(())
}

fn files(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}

/// Events shaped like a server's.
fn events() -> Vec<(&'static str, RawDocumentBuf)> {
    let event = |operation: &str, more: RawDocumentBuf| {
        let mut event = rawdoc! {
            "_id": {"_data": "826B02A9B5000000132B022C0100296E5A1004"},
            "operationType": operation,
            "clusterTime": Timestamp { time: 1_772_366_400, increment: 1 },
            "wallTime": DateTime::from_millis(1_772_366_400_000),
            "ns": {"db": "shop", "coll": "orders"},
        };
        for element in &more {
            let (name, value) = element.expect("our own document");
            event.append(name, value);
        }
        event
    };
    vec![
        (
            "insert",
            event(
                "insert",
                rawdoc! {
                    "documentKey": {"_id": 1},
                    "fullDocument": {"_id": 1, "a": [1, {"b": "text"}], "id": ObjectId::from_bytes([7; 12])},
                },
            ),
        ),
        (
            "update",
            event(
                "update",
                rawdoc! {
                    "lsid": {"id": 1}, "txnNumber": 5_i64,
                    "documentKey": {"_id": 1},
                    "rawUpdateDescription": {"$v": 2, "diff": {"d": {"b": false}, "sa": {"a": true, "l": 1, "u0": 5}}},
                },
            ),
        ),
        (
            "update-public",
            event(
                "update",
                rawdoc! {
                    "documentKey": {"_id": 1},
                    "updateDescription": {"updatedFields": {"a.b": 1}, "removedFields": ["c"], "truncatedArrays": [], "disambiguatedPaths": {}},
                },
            ),
        ),
        (
            "rename",
            event(
                "rename",
                rawdoc! {
                    "to": {"db": "shop", "coll": "archive"},
                    "operationDescription": {"to": {"db": "shop", "coll": "archive"}},
                },
            ),
        ),
        ("drop", event("drop", rawdoc! {"collectionUUID": 1})),
        ("create", event("create", rawdoc! {"operationDescription": {"idIndex": {"v": 2}}})),
        ("fragment", event("update", rawdoc! {"splitEvent": {"fragment": 1, "of": 2}})),
    ]
}

/// Diffs with every part, and what they can be applied to.
fn diffs() -> Vec<(&'static str, RawDocumentBuf, RawDocumentBuf)> {
    let update = |diff: RawDocumentBuf| rawdoc! {"$v": 2, "diff": diff};
    let document = rawdoc! {"_id": 1, "a": 1, "b": {"c": [1, 2, {"d": 3}]}, "e": "x"};
    vec![
        (
            "fields",
            update(rawdoc! {"d": {"e": false}, "u": {"a": 2}, "i": {"f": {"g": 1}}}),
            document.clone(),
        ),
        (
            "array",
            update(rawdoc! {"sb": {"sc": {"a": true, "l": 3, "u1": 7, "s2": {"u": {"d": 4}}}}}),
            document.clone(),
        ),
        ("padded", update(rawdoc! {"sb": {"sc": {"a": true, "u9": "x"}}}), document.clone()),
        ("nested", update(rawdoc! {"sb": {"d": {"c": false}, "i": {"c.d": 1}}}), document.clone()),
        ("missing", update(rawdoc! {"sz": {"u": {"a": 1}}, "sa": {"i": {"b": 1}}}), document),
    ]
}

fn token() -> Result<ResumeToken, Failure> {
    Ok(ResumeToken::from_data("826B02A9B5000000132B022C0100296F04")?)
}

fn arrival() -> Arrival {
    Arrival { wall_nanos: 1_772_366_400_000_000_000, monotonic_nanos: 5_000 }
}

fn gap() -> Result<Gap, Failure> {
    Ok(Gap {
        at: Seq::ZERO,
        places: 0,
        cause: GapCause::HistoryLost,
        before: Edge::at(token()?),
        after: Edge::at(token()?),
        noticed: WallTime::from_millis(1_772_366_400_000),
    })
}

fn metadata() -> Metadata {
    Metadata {
        source: SourceIdentity {
            replica_set: "rs0".into(),
            replica_set_id: Some(ObjectId::from_bytes([7; 12])),
            server_version: "6.0.5".into(),
        },
        stream: StreamOptions::everything(UpdateForm::Raw),
        created_by: "changetape".into(),
        created_at: WallTime::from_millis(1_772_366_400_000),
    }
}
