//! The aggregation that reads a deployment's changes.
//!
//! `$changeStream` over the whole cluster, then what narrows it, then, where the server has it,
//! what splits events that are too large to be sent. A resume token belongs to its pipeline, so
//! the same [`StreamOptions`] on the same tape always give the same stages, in the same order.

use bson::raw::RawDocumentBuf;
use bson::{Bson, Document, Timestamp, doc};
use changetape_core::{NamespaceFilter, NamespacePattern, OperationType, glob_to_regex};
use changetape_tape::{StreamOptions, UpdateForm};

use crate::Error;
use crate::resume::Start;

/// The stage that sends an event over 16 MB in fragments. It must be the last.
const SPLIT: &str = "$changeStreamSplitLargeEvent";

/// What becomes of an event that is larger than the 16 MB that a server can send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LargeEvents {
    /// It is sent in fragments.
    Split,
    /// It cannot be sent.
    Refused,
}

impl LargeEvents {
    /// What becomes of them on a tape whose recording began with a server of this version.
    ///
    /// The tape's version decides, not the present server's: the last token may be that of a
    /// fragment, which a server takes only together with the stage.
    pub(crate) fn of(stream: &StreamOptions, version_of_tape: &str) -> Self {
        if has_split(version_of_tape) || user_splits(stream) { Self::Split } else { Self::Refused }
    }
}

/// Whether a server of this version (`6.0.5`, `7.0.0-rc1`) has the stage.
/// Source: MongoDB's manual, "new in version 7.0 (also available in 6.0.9)".
fn has_split(version: &str) -> bool {
    let mut numbers = version.split(['.', '-']).map(|part| part.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten(), numbers.next().flatten()) {
        (Some(6), Some(0), Some(patch)) => patch >= 9,
        (Some(major), _, _) => major >= 7,
        (None, _, _) => false,
    }
}

/// Whether the user's own stages end with it, which makes a second one an error.
fn user_splits(stream: &StreamOptions) -> bool {
    let is_split = |stage: &RawDocumentBuf| matches!(stage.get(SPLIT), Ok(Some(_)));
    stream.pipeline.last().is_some_and(is_split)
}

/// The stages to run on `admin`.
pub(crate) fn stages(
    stream: &StreamOptions,
    large_events: LargeEvents,
    start: &Start,
) -> Result<Vec<Document>, Error> {
    let mut stages = vec![doc! {"$changeStream": change_stream(stream, start)?}];
    if !stream.filter.is_empty() {
        stages.push(doc! {"$match": namespaces(&stream.filter)});
    }
    if !stream.operations.is_empty() {
        let names: Vec<&str> = stream.operations.iter().map(OperationType::as_str).collect();
        stages.push(doc! {"$match": {"operationType": {"$in": names}}});
    }
    for stage in &stream.pipeline {
        stages.push(Document::try_from(stage.as_ref()).map_err(Error::bad_pipeline)?);
    }
    if large_events == LargeEvents::Split && !user_splits(stream) {
        stages.push(doc! {SPLIT: {}});
    }
    Ok(stages)
}

fn change_stream(stream: &StreamOptions, start: &Start) -> Result<Document, Error> {
    let mut options = doc! {"allChangesForCluster": true, "showExpandedEvents": true};
    if stream.updates == UpdateForm::Raw {
        options.insert("showRawUpdateDescription", true);
    }
    if let Some(value) = &stream.full_document {
        options.insert("fullDocument", value);
    }
    if let Some(value) = &stream.full_document_before_change {
        options.insert("fullDocumentBeforeChange", value);
    }
    match start {
        Start::Now => {}
        Start::At(time) => {
            options.insert("startAtOperationTime", Timestamp::from(*time));
        }
        Start::After(token) => {
            // Unlike resumeAfter, startAfter also accepts the token of an invalidate event.
            let token = token.to_raw().and_then(|raw| {
                Document::try_from(raw)
                    .map_err(|_| changetape_core::Error::MissingField { field: "_data" })
            });
            options.insert("startAfter", token?);
        }
    }
    Ok(options)
}

/// Events of what the filter covers, by their `ns`, or, for a rename into it, by their `to`.
fn namespaces(filter: &NamespaceFilter) -> Document {
    let covered = |field: &str| {
        let mut all = vec![doc! {format!("{field}.db"): {"$exists": true}}];
        if !filter.include.is_empty() {
            all.push(doc! {"$or": conditions(field, &filter.include)});
        }
        // One `$nor` each: of one with several the 6.0.5 server makes an empty one while it
        // optimizes the pipeline, and then refuses that.
        let excluded = conditions(field, &filter.exclude);
        all.extend(excluded.into_iter().map(|condition| doc! {"$nor": [condition]}));
        doc! {"$and": all}
    };
    doc! {"$or": [covered("ns"), covered("to")]}
}

fn conditions(field: &str, patterns: &[NamespacePattern]) -> Vec<Document> {
    let condition = |pattern: &NamespacePattern| {
        let mut condition = doc! {format!("{field}.db"): glob(pattern.db())};
        if let Some(coll) = pattern.coll() {
            condition.insert(format!("{field}.coll"), glob(coll));
        }
        condition
    };
    patterns.iter().map(condition).collect()
}

/// A plain name is compared, not matched: the server can then use it while reading the oplog.
fn glob(glob: &str) -> Bson {
    if glob.contains('*') {
        Bson::Document(doc! {"$regex": glob_to_regex(glob)})
    } else {
        Bson::String(glob.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use changetape_core::{ClusterTime, ResumeToken};

    use super::*;
    use crate::Request;

    #[test]
    fn by_default_everything_is_recorded_in_its_raw_form() {
        let stream = Request::default().stream(UpdateForm::Raw);
        assert_eq!(
            stages(&stream, LargeEvents::Refused, &Start::Now).unwrap(),
            [doc! {"$changeStream": {
                "allChangesForCluster": true,
                "showExpandedEvents": true,
                "showRawUpdateDescription": true,
            }}]
        );
    }

    #[test]
    fn what_narrows_the_stream_follows_it_in_a_fixed_order() {
        let request = Request {
            filter: NamespaceFilter {
                include: vec!["shop.orders".parse().unwrap()],
                exclude: vec!["*.tmp*".parse().unwrap()],
            },
            operations: vec![OperationType::Insert],
            pipeline: vec![bson::rawdoc! {"$project": {"fullDocument": 0}}],
            full_document: Some("updateLookup".into()),
            ..Request::default()
        };
        let start = Start::At(ClusterTime { seconds: 5, increment: 1 });
        let stream = request.stream(UpdateForm::Public);
        let stages = stages(&stream, LargeEvents::Split, &start).unwrap();
        let opened = stages[0].get_document("$changeStream").unwrap();
        assert_eq!(opened.get_str("fullDocument").unwrap(), "updateLookup");
        assert_eq!(
            opened.get_timestamp("startAtOperationTime").unwrap(),
            Timestamp { time: 5, increment: 1 }
        );
        assert!(!opened.contains_key("showRawUpdateDescription"));
        let one = |field: &str| {
            doc! {"$and": [
                {format!("{field}.db"): {"$exists": true}},
                {"$or": [{format!("{field}.db"): "shop", format!("{field}.coll"): "orders"}]},
                {"$nor": [{
                    format!("{field}.db"): {"$regex": r"(?s)\A.*\z"},
                    format!("{field}.coll"): {"$regex": r"(?s)\Atmp.*\z"},
                }]},
            ]}
        };
        assert_eq!(stages[1], doc! {"$match": {"$or": [one("ns"), one("to")]}});
        assert_eq!(stages[2], doc! {"$match": {"operationType": {"$in": ["insert"]}}});
        assert_eq!(stages[3], doc! {"$project": {"fullDocument": 0}});
        assert_eq!(stages[4], doc! {"$changeStreamSplitLargeEvent": {}});
        assert_eq!(stages.len(), 5);
    }

    #[test]
    fn large_events_are_split_where_the_server_of_the_tape_could() {
        let everything = Request::default().stream(UpdateForm::Raw);
        for (version, expected) in [
            ("6.0.5", LargeEvents::Refused),
            ("6.0.8", LargeEvents::Refused),
            ("6.0.9", LargeEvents::Split),
            ("6.0.12-11", LargeEvents::Split),
            // The manual does not promise it for the rapid releases between 6.0 and 7.0.
            ("6.3.2", LargeEvents::Refused),
            ("7.0.0-rc1", LargeEvents::Split),
            ("8.0", LargeEvents::Split),
            ("10.1.0", LargeEvents::Split),
            ("unknown", LargeEvents::Refused),
            ("", LargeEvents::Refused),
        ] {
            assert_eq!(LargeEvents::of(&everything, version), expected, "{version}");
        }
    }

    #[test]
    fn a_user_who_splits_is_left_to_it() {
        let split = bson::rawdoc! {"$changeStreamSplitLargeEvent": {}};
        let request = Request { pipeline: vec![split], ..Request::default() };
        let stream = request.stream(UpdateForm::Raw);
        assert_eq!(LargeEvents::of(&stream, "6.0.5"), LargeEvents::Split);
        let stages = stages(&stream, LargeEvents::Split, &Start::Now).unwrap();
        assert_eq!(stages[1..], [doc! {"$changeStreamSplitLargeEvent": {}}]);
    }

    #[test]
    fn a_token_is_handed_back_as_it_came() {
        let token = ResumeToken::from_data("826B02A9B5000000132B022C0100296F04").unwrap();
        let stream = Request::default().stream(UpdateForm::Raw);
        let stages = stages(&stream, LargeEvents::Refused, &Start::After(token)).unwrap();
        assert_eq!(
            stages[0].get_document("$changeStream").unwrap().get_document("startAfter").unwrap(),
            &doc! {"_data": "826B02A9B5000000132B022C0100296F04"}
        );
    }
}
