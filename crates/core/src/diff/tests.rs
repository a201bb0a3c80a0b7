//! Each rule of the format with values. The expected documents and descriptions are what
//! MongoDB 6.0.5 answered to the same diffs, given to it by `applyOps`.

mod refusals;

use bson::{Bson, Document, doc};

use super::*;

fn raw_update(diff: &Document) -> RawDocumentBuf {
    RawDocumentBuf::try_from(&doc! {"$v": 2, "diff": diff.clone()}).unwrap()
}

fn raw(document: &Document) -> RawDocumentBuf {
    RawDocumentBuf::try_from(document).unwrap()
}

fn apply(pre: &Document, diff: &Document) -> Result<Document, Error> {
    let update = raw_update(diff);
    let post = UpdateDiff::from_raw(&update)?.apply(&raw(pre))?;
    Ok(Document::try_from(&*post).unwrap())
}

fn describe(diff: &Document, paths: DisambiguatedPaths) -> Result<Document, Error> {
    let update = raw_update(diff);
    let description = UpdateDiff::from_raw(&update)?.describe(paths)?;
    Ok(Document::try_from(&*description).unwrap())
}

/// Bytes, for order and types count.
#[track_caller]
fn same(found: &Document, expected: &Document) {
    assert_eq!(raw(found), raw(expected), "{found} instead of {expected}");
}

#[track_caller]
fn applies(pre: &Document, diff: &Document, post: &Document) {
    same(&apply(pre, diff).unwrap(), post);
}

#[track_caller]
fn describes(diff: &Document, updated: &Document, removed: &[&str], truncated: &[(&str, i32)]) {
    let truncated: Vec<_> =
        truncated.iter().map(|(field, size)| doc! {"field": *field, "newSize": *size}).collect();
    let expected = doc! {
        "updatedFields": updated.clone(), "removedFields": removed, "truncatedArrays": truncated,
    };
    same(&describe(diff, DisambiguatedPaths::Omit).unwrap(), &expected);
}

/// The path and the reason of a refusal.
#[track_caller]
fn refused(result: Result<Document, Error>) -> (String, &'static str) {
    match result.unwrap_err() {
        Error::BadDiff { path, reason } | Error::DiffMismatch { path, reason } => (path, reason),
        other => panic!("{other}"),
    }
}

fn rules() -> Document {
    doc! {
        "d": {"gone": false, "never": false},
        "u": {"kept": 2, "new": 3},
        "i": {"last": 4, "moved": 5},
        "sinner": {"u": {"x": "y"}, "sdeep": {"i": {"": 1}}},
        "slist": {"a": true, "l": 4, "u1": "one", "s2": {"d": {"q": false}}},
    }
}

#[test]
fn every_section_has_its_place() {
    applies(
        &doc! {
            "_id": 1, "moved": 1, "kept": 1, "gone": 1,
            "inner": {"deep": {"z": 0}, "x": 0}, "list": [0, 1, {"q": 1, "r": 2}, 3, 4, 5],
        },
        &rules(),
        &doc! {
            "_id": 1, "kept": 2, "inner": {"deep": {"z": 0, "": 1}, "x": "y"},
            "list": [0, "one", {"r": 2}, 3], "new": 3, "last": 4, "moved": 5,
        },
    );
    describes(
        &rules(),
        &doc! {
            "kept": 2, "new": 3, "last": 4, "moved": 5, "inner.x": "y", "inner.deep.": 1,
            "list.1": "one",
        },
        &["gone", "never", "list.2.q"],
        &[("list", 4)],
    );
}

#[test]
fn applying_again_changes_nothing_more() {
    let pre = doc! {"kept": 1, "moved": 1, "list": [], "inner": {}};
    let once = apply(&pre, &rules()).unwrap();
    applies(&once, &rules(), &once);
}

#[test]
fn a_long_diff_is_found_by_field_as_a_short_one_is() {
    let fields = || (0..500).map(|at| format!("f{}", at * 7919 % 500));
    let pre: Document = fields().map(|field| (field, Bson::Int32(0))).collect();
    let odd: Document = fields().step_by(2).map(|field| (field, Bson::Int32(1))).collect();
    let mut diff = doc! {"u": odd.clone()};
    let mut expected = pre.clone();
    expected.extend(odd);
    applies(&pre, &diff, &expected);

    diff.insert("i", doc! {"f0": 2});
    assert_eq!(refused(apply(&pre, &diff)), ("f0".into(), "a field named twice"));
}

#[test]
fn arrays_are_cut_padded_and_rewritten() {
    let pre = || doc! {"x": [0, 1, 2]};
    let array = |changes: Document| {
        let mut diff = doc! {"a": true};
        diff.extend(changes);
        doc! {"sx": diff}
    };
    let becomes =
        |changes: Document, post: Bson| applies(&pre(), &array(changes), &doc! {"x": post});
    becomes(doc! {}, bson::bson!([0, 1, 2]));
    becomes(doc! {"l": 1}, bson::bson!([0]));
    becomes(doc! {"l": 0}, bson::bson!([]));
    becomes(doc! {"l": 5}, bson::bson!([0, 1, 2, null, null]));
    becomes(doc! {"l": 5, "u3": 3}, bson::bson!([0, 1, 2, 3, null]));
    becomes(doc! {"u5": 5}, bson::bson!([0, 1, 2, null, null, 5]));
    becomes(doc! {"u01": 7}, bson::bson!([0, 7, 2]));
    becomes(doc! {"s1": {"u": {"q": 1}}}, bson::bson!([0, null, 2]));
    becomes(doc! {"s4": {"u": {"q": 1}}}, bson::bson!([0, 1, 2, null, null]));

    describes(&array(doc! {"l": 5, "u3": [1]}), &doc! {"x.3": [1]}, &[], &[("x", 5)]);
    describes(&array(doc! {"s4": {"u": {"q": 1}}}), &doc! {"x.4.q": 1}, &[], &[]);
    describes(&array(doc! {"u01": 7}), &doc! {"x.1": 7}, &[], &[]);
}

#[test]
fn a_document_the_diff_was_not_made_from_is_tolerated_as_by_the_server() {
    let of_document = || doc! {"sx": {"u": {"q": 2}}};
    let of_array = || doc! {"sx": {"a": true, "u0": 7}};
    applies(&doc! {"y": 1}, &of_document(), &doc! {"y": 1});
    applies(&doc! {"y": 1}, &of_array(), &doc! {"y": 1});
    applies(&doc! {"x": 1, "y": 1}, &of_document(), &doc! {"x": null, "y": 1});
    applies(&doc! {"x": [1]}, &of_document(), &doc! {"x": null});
    applies(&doc! {"x": {"0": 1}}, &of_array(), &doc! {"x": null});
    applies(&doc! {}, &doc! {"d": {"x": false}}, &doc! {});
    applies(&doc! {"x": 1}, &doc! {"u": {}}, &doc! {"x": 1});
}

#[test]
fn binary_data_is_replaced_from_an_offset_on() {
    let data = |subtype: u8, bytes: &[u8]| {
        Bson::Binary(bson::Binary { subtype: subtype.into(), bytes: bytes.to_vec() })
    };
    let diff = |offset: i32, bytes: &[u8]| doc! {"b": {"x": {"o": offset, "d": data(0, bytes)}}};
    let pre = || doc! {"x": data(7, b"abc"), "y": 1};
    applies(&pre(), &diff(3, b"def"), &doc! {"x": data(7, b"abcdef"), "y": 1});
    applies(&pre(), &diff(2, b"def"), &doc! {"x": data(7, b"abdef"), "y": 1});
    applies(&pre(), &diff(0, b""), &doc! {"x": data(7, b""), "y": 1});
    // Shortened since by an event still to come.
    applies(&pre(), &diff(4, b"def"), &pre());
    applies(&doc! {"y": 1}, &diff(3, b"def"), &doc! {"y": 1});
    describes(&diff(3, b"def"), &doc! {"x": {"o": 3, "d": data(0, b"def")}}, &[], &[]);

    assert_eq!(refused(apply(&doc! {"x": 1}, &diff(3, b"def"))), ("x".into(), "not binary data"));
    for bad in [doc! {"o": -1, "d": data(0, b"")}, doc! {"o": 1, "d": "x"}, doc! {"d": 1}] {
        let (path, _) = refused(apply(&pre(), &doc! {"b": {"x": bad}}));
        assert_eq!(path, "b.x");
    }
}

#[test]
fn paths_are_joined_and_nothing_is_merged() {
    let diff = doc! {
        "u": {"": 1, "a.b": 7}, "s": {"u": {"": 2}, "s": {"i": {"q": 3}}}, "sa": {"u": {"b": 8}},
    };
    let update = raw_update(&diff);
    let described =
        UpdateDiff::from_raw(&update).unwrap().describe(DisambiguatedPaths::Omit).unwrap();
    let fields: Vec<_> = described
        .get_document("updatedFields")
        .unwrap()
        .iter()
        .map(|field| field.unwrap())
        .map(|(path, value)| (path.as_str(), value.as_i32().unwrap()))
        .collect();
    assert_eq!(fields, [("", 1), ("a.b", 7), (".", 2), ("..q", 3), ("a.b", 8)]);
}

#[test]
fn paths_that_could_be_read_in_two_ways_are_listed() {
    let diff = doc! {
        "d": {"0": false, "g.h": false},
        "u": {"a": 1, "1": 2},
        "i": {"x.y": 3},
        "sb": {"u": {"0": 4, "00": 5, "c": 6}, "s1": {"i": {"d": 7}}},
        "se": {"a": true, "l": 3, "u0": 8, "s1": {"u": {"2": 9, "f": 10}}},
        "sg.h": {"a": true, "l": 1, "u0": 11},
    };
    let description = describe(&diff, DisambiguatedPaths::Show).unwrap();
    let expected = doc! {
        "x.y": ["x.y"], "g.h": ["g.h"], "b.0": ["b", "0"], "b.1.d": ["b", "1", "d"],
        "e.1.2": ["e", 1, "2"], "g.h.0": ["g.h", 0],
    };
    let found = description.get_document("disambiguatedPaths").unwrap();
    let mut found_and_sorted: Vec<_> = found.iter().map(|(k, v)| format!("{k} {v}")).collect();
    let mut sorted: Vec<_> = expected.iter().map(|(k, v)| format!("{k} {v}")).collect();
    found_and_sorted.sort();
    sorted.sort();
    assert_eq!(found_and_sorted, sorted);

    let none = describe(&doc! {"u": {"a": 1}}, DisambiguatedPaths::Show).unwrap();
    assert_eq!(none.get_document("disambiguatedPaths").unwrap(), &doc! {});
}

#[test]
fn arrays_with_other_names_are_numbered_and_documents_are_not() {
    let mut value = DocumentWriter::new();
    value.open(raw::kind::DOCUMENT, b"u");
    value.open(raw::kind::ARRAY, b"x");
    value.int32(b"5", 2);
    value.open(raw::kind::ARRAY, b"5");
    value.int32(b"q", 1);
    value.close();
    value.open(raw::kind::DOCUMENT, b"z");
    value.open(raw::kind::ARRAY, b"d");
    value.int32(b"7", 7);
    let diff = value.into_bytes();
    let mut update = DocumentWriter::new();
    update.int32(b"$v", 2);
    update.value(raw::kind::DOCUMENT, b"diff", &diff);
    let update = update.finish().unwrap();
    let update = UpdateDiff::from_raw(&update).unwrap();

    let described = update.describe(DisambiguatedPaths::Omit).unwrap();
    let fields = described.get_document("updatedFields").unwrap();
    let array = fields.get_array("x").unwrap().as_bytes();
    let names: Vec<_> = raw::elements("", array).unwrap().map(|e| e.unwrap()).collect();
    assert_eq!(names.iter().map(|e| e.name).collect::<Vec<_>>(), [b"0", b"1", b"2"]);
    assert_eq!(raw::find("", names[1].value, "0").unwrap().unwrap().as_i64(), Some(1));
    let inner = raw::find("", names[2].value, "d").unwrap().unwrap();
    assert_eq!(raw::find("", inner.value, "7").unwrap().unwrap().as_i64(), Some(7));

    // Applied, the value stays what it is.
    let applied = update.apply(&raw(&doc! {"x": 1})).unwrap();
    assert_eq!(applied.get_array("x").unwrap().as_bytes().len(), array.len());
    assert_ne!(applied.get_array("x").unwrap().as_bytes(), array);

    // An array that changes inside is numbered whole.
    let mut pre = DocumentWriter::new();
    pre.open(raw::kind::ARRAY, b"x");
    pre.int32(b"5", 1);
    pre.int32(b"q", 2);
    let update = raw_update(&doc! {"sx": {"a": true, "u0": 7}});
    let post = UpdateDiff::from_raw(&update).unwrap().apply(&pre.finish().unwrap()).unwrap();
    assert_eq!(post, raw(&doc! {"x": [7, 2]}));
}
