//! What is hidden and what is derived, with values; `tests/diff_against_server.rs` compares
//! the same with what a server delivers.

use bson::{Document, doc};

use super::*;

fn update() -> Document {
    doc! {
        "txnNumber": 4_i64, "lsid": {"id": 1}, "_id": {"_data": "82"}, "operationType": "update",
        "clusterTime": bson::Timestamp { time: 7, increment: 2 }, "collectionUUID": 5,
        "wallTime": bson::DateTime::from_millis(7), "ns": {"db": "a", "coll": "b"},
        "documentKey": {"_id": 1},
        "rawUpdateDescription": {"$v": 2, "diff": {"u": {"x": 1}, "sy": {"u": {"0": 2}}}},
        "addedLater": 1, "fullDocument": null,
    }
}

fn public(event: &Document, options: PublicOptions) -> Option<Document> {
    let raw = RawDocumentBuf::try_from(event).unwrap();
    let event = ChangeEvent::from(&*raw);
    let public = public_event(&event, options).unwrap();
    public.map(|public| Document::try_from(public.as_raw()).unwrap())
}

fn names(event: &Document) -> Vec<&str> {
    event.keys().map(String::as_str).collect()
}

#[test]
fn an_update_is_described_in_place_and_expanded_fields_go() {
    let plain = public(&update(), PublicOptions::plain()).unwrap();
    assert_eq!(
        names(&plain),
        [
            "txnNumber",
            "lsid",
            "_id",
            "operationType",
            "clusterTime",
            "wallTime",
            "ns",
            "documentKey",
            "updateDescription",
            "addedLater",
            "fullDocument",
        ]
    );
    let description =
        doc! {"updatedFields": {"x": 1, "y.0": 2}, "removedFields": [], "truncatedArrays": []};
    assert_eq!(plain.get_document("updateDescription").unwrap(), &description);

    let expanded = public(&update(), PublicOptions::expanded("6.0.5")).unwrap();
    assert_eq!(names(&expanded)[5], "collectionUUID");
    assert_eq!(expanded.get_document("updateDescription").unwrap(), &description);

    let newer = public(&update(), PublicOptions::expanded("6.1.0")).unwrap();
    let newer = newer.get_document("updateDescription").unwrap();
    assert_eq!(newer.get_document("disambiguatedPaths").unwrap(), &doc! {"y.0": ["y", "0"]});
}

#[test]
fn versions_decide_about_disambiguated_paths() {
    for (version, paths) in [
        ("6.0.5", DisambiguatedPaths::Omit),
        ("6.0.17-14", DisambiguatedPaths::Omit),
        ("5.0", DisambiguatedPaths::Omit),
        ("", DisambiguatedPaths::Omit),
        ("6.1.0", DisambiguatedPaths::Show),
        ("7.0.2", DisambiguatedPaths::Show),
        ("8.0.0-rc1", DisambiguatedPaths::Show),
    ] {
        assert_eq!(PublicOptions::expanded(version).disambiguated_paths, paths, "{version}");
    }
}

#[test]
fn expanded_operations_are_no_events_of_a_plain_stream() {
    let expanded = PublicOptions::expanded("6.0.5");
    for operation in OperationType::KNOWN {
        let event = doc! {"operationType": operation.as_str(), "collectionUUID": 5};
        let plain = public(&event, PublicOptions::plain());
        assert_eq!(plain.is_none(), operation.is_expanded(), "{operation}");
        assert_eq!(public(&event, expanded), Some(event));
    }
    let unknown = doc! {"operationType": "ofTomorrow"};
    assert_eq!(public(&unknown, PublicOptions::plain()), None);
    assert_eq!(public(&unknown, expanded), Some(unknown));
}

#[test]
fn what_only_expanded_events_have_is_left_out_and_the_rest_stays() {
    let rename = doc! {
        "to": {"db": "a", "coll": "c"}, "_id": {"_data": "82"}, "operationType": "rename",
        "collectionUUID": 5, "ns": {"db": "a", "coll": "b"},
        "operationDescription": {"to": {"db": "a", "coll": "c"}}, "stateBeforeChange": {},
    };
    let plain = public(&rename, PublicOptions::plain()).unwrap();
    assert_eq!(names(&plain), ["to", "_id", "operationType", "ns"]);
    assert_eq!(public(&rename, PublicOptions::expanded("6.0.5")), Some(rename));
}

#[test]
fn the_drop_of_a_view_is_known_by_what_it_lacks() {
    let view = doc! {"operationType": "drop", "ns": {"db": "a", "coll": "v"}};
    assert_eq!(public(&view, PublicOptions::plain()), None);
    assert_eq!(public(&view, PublicOptions::expanded("6.0.5")), Some(view.clone()));
    let recorded_plainly = PublicOptions { recorded: Recorded::Plain, ..PublicOptions::default() };
    assert_eq!(public(&view, recorded_plainly), Some(view));
}

#[test]
fn an_event_that_is_public_already_is_borrowed() {
    let mut event = update();
    event.remove("rawUpdateDescription");
    event.remove("collectionUUID");
    event.insert("updateDescription", doc! {"updatedFields": {}, "removedFields": []});
    let raw = RawDocumentBuf::try_from(&event).unwrap();
    let recorded = ChangeEvent::from(&*raw);
    let public = public_event(&recorded, PublicOptions::plain()).unwrap().unwrap();
    assert!(std::ptr::eq(public.as_bytes(), recorded.as_bytes()));
}

#[test]
fn disambiguated_paths_that_were_recorded_stay_where_they_are_asked_for() {
    let event = doc! {
        "operationType": "update",
        "updateDescription": {"updatedFields": {"a.0": 1}, "disambiguatedPaths": {"a.0": ["a", "0"]}},
    };
    assert_eq!(public(&event, PublicOptions::expanded("6.1.0")), Some(event.clone()));
    let plain = public(&event, PublicOptions::plain()).unwrap();
    assert_eq!(
        plain.get_document("updateDescription").unwrap(),
        &doc! {"updatedFields": {"a.0": 1}}
    );
}

#[test]
fn a_fragment_without_an_operation_is_changed_field_by_field() {
    let mut fragment = update();
    fragment.remove("operationType");
    fragment.insert("splitEvent", doc! {"fragment": 2, "of": 2});
    let plain = public(&fragment, PublicOptions::plain()).unwrap();
    assert!(plain.contains_key("updateDescription") && !plain.contains_key("collectionUUID"));
}

#[test]
fn what_cannot_be_read_is_an_error() {
    for bad in [
        doc! {"operationType": 5},
        doc! {"operationType": "update", "rawUpdateDescription": 5},
        doc! {"operationType": "update", "rawUpdateDescription": {"$v": 1}},
    ] {
        let raw = RawDocumentBuf::try_from(&bad).unwrap();
        assert!(public_event(&ChangeEvent::from(&*raw), PublicOptions::plain()).is_err(), "{bad}");
    }
}
