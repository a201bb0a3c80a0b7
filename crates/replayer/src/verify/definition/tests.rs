//! Goal: what events say of a definition is expected, and what they do not say is not judged.
//!
//! Method: definitions as `create` and `createIndexes` describe them, changed by `collMod`s; then
//! compared with what a server might list.

use bson::{RawDocumentBuf, rawdoc};

use super::*;

fn fields(document: &RawDocumentBuf) -> Fields {
    Fields::read(document.as_bytes()).unwrap()
}

fn created(description: &RawDocumentBuf) -> Definition {
    Definition::created(description).unwrap()
}

/// The first option that differs.
fn option(definition: &Definition, found: &RawDocumentBuf) -> Option<(String, How)> {
    let options = definition.options.as_ref().unwrap();
    options.difference(&fields(found)).unwrap().map(|it| (it.path, it.how))
}

#[test]
fn options_are_compared_by_name_and_numbers_by_value() {
    let id = rawdoc! {"v": 2, "key": {"_id": 1}, "name": "_id_"};
    let capped = rawdoc! {"capped": true, "size": 4096, "temp": true, "idIndex": id};
    let capped = created(&capped);
    assert_eq!(capped.indexes.keys().collect::<Vec<_>>(), ["_id_"]);
    assert_eq!(option(&capped, &rawdoc! {"size": 4096_i64, "capped": true}), None);
    let differing = |found| option(&capped, &found);
    let size = || "size".to_owned();
    assert_eq!(differing(rawdoc! {"capped": true, "size": 4097}), Some((size(), How::Value)));
    assert_eq!(differing(rawdoc! {"capped": true}), Some((size(), How::Missing)));
    let max = Some(("max".to_owned(), How::Extra));
    assert_eq!(differing(rawdoc! {"capped": true, "size": 4096.0, "max": 5}), max);
    let text = rawdoc! {"capped": true, "size": "4096"};
    assert!(matches!(differing(text), Some((_, How::Type { expected: "int", found: "string" }))));
}

#[test]
fn a_changed_validator_is_compared_and_what_may_come_with_it_is_not() {
    let mut definition = created(&rawdoc! {"expireAfterSeconds": 60});
    definition.modify(&rawdoc! {"validator": {"a": 1}, "expireAfterSeconds": "off"}).unwrap();
    assert_eq!(option(&definition, &rawdoc! {"validator": {"a": 1}}), None);
    let more = rawdoc! {"validator": {"a": 1}, "validationLevel": "strict"};
    assert_eq!(option(&definition, &more), None);
    let other = option(&definition, &rawdoc! {"validator": {"a": 2}});
    assert_eq!(other, Some(("validator.a".to_owned(), How::Value)));
    let expires = rawdoc! {"validator": {"a": 1}, "expireAfterSeconds": 60};
    assert_eq!(option(&definition, &expires), Some(("expireAfterSeconds".into(), How::Extra)));
    // What this version does not know is not judged.
    definition.modify(&rawdoc! {"somethingNew": 5}).unwrap();
    assert_eq!(option(&definition, &more), None);
}

#[test]
fn images_that_are_off_are_the_same_as_none() {
    let images = |on: bool| rawdoc! {"changeStreamPreAndPostImages": {"enabled": on}};
    let mut definition = created(&images(true));
    assert!(option(&definition, &rawdoc! {}).is_some());
    definition.modify(&images(false)).unwrap();
    assert_eq!(option(&definition, &rawdoc! {}), None);
    assert_eq!(option(&definition, &images(false)), None);
    assert!(option(&definition, &images(true)).is_some());
    assert!(option(&created(&rawdoc! {}), &images(true)).is_some());
}

#[test]
fn indexes_are_made_changed_and_dropped() {
    let a = || rawdoc! {"v": 2, "key": {"a": 1}, "name": "a", "ns": "shop.a"};
    let b = || rawdoc! {"v": 2, "key": {"b": 1}, "name": "b", "ns": "shop.a"};
    let mut definition = created(&rawdoc! {});
    definition.create_indexes(&rawdoc! {"indexes": [a(), b()]}).unwrap();
    definition.drop_indexes(&rawdoc! {"indexes": [b()]}).unwrap();
    assert_eq!(definition.indexes.keys().collect::<Vec<_>>(), ["a"]);
    let change = rawdoc! {"index": {"name": "a", "hidden": true, "expireAfterSeconds": 5_i64}};
    definition.modify(&change).unwrap();
    let known = |definition: &Definition| definition.indexes["a"].clone().unwrap();
    let listed = rawdoc! {
        "v": 2, "key": {"a": 1}, "name": "a", "expireAfterSeconds": 5, "hidden": true,
    };
    assert_eq!(known(&definition).difference(&fields(&listed)).unwrap(), None);
    let shown = rawdoc! {"index": {"keyPattern": {"a": 1}, "hidden": false}};
    definition.modify(&shown).unwrap();
    let extra = known(&definition).difference(&fields(&listed)).unwrap().unwrap();
    assert_eq!((extra.path.as_str(), extra.how), ("hidden", How::Extra));
    // An index whose fields are in another order is another one.
    let other = rawdoc! {"v": 2, "key": {"b": 1, "a": 1}, "name": "a", "expireAfterSeconds": 5};
    let key = known(&definition).difference(&fields(&other)).unwrap().unwrap();
    assert_eq!((key.path.as_str(), key.how), ("key.b", How::Extra));
}

#[test]
fn of_what_was_there_before_only_what_is_said_is_expected() {
    let mut definition = Definition::default();
    definition.modify(&rawdoc! {"validator": {"a": 1}, "index": {"name": "x"}}).unwrap();
    definition.drop_indexes(&rawdoc! {"indexes": [{"name": "gone"}]}).unwrap();
    assert_eq!((&definition.options, definition.all_indexes), (&None, false));
    assert_eq!(definition.indexes["gone"], None);
}

#[test]
fn views_and_time_series_are_told_from_collections() {
    let kind = |description| created(&description).kind;
    assert_eq!(kind(rawdoc! {"capped": true}), Some(Kind::Collection));
    assert_eq!(kind(rawdoc! {"viewOn": "a", "pipeline": []}), Some(Kind::View));
    let bucket = rawdoc! {"viewOn": "system.buckets.a", "pipeline": []};
    assert_eq!(kind(bucket), Some(Kind::TimeSeries));
    assert_eq!(kind(rawdoc! {"timeseries": {"timeField": "t"}}), Some(Kind::TimeSeries));
}
