//! What is refused, by which name, and that nothing panics.

use bson::{Bson, Document, doc};

use super::*;

#[test]
fn what_breaks_the_format_is_named_in_both() {
    let cases = [
        (doc! {}, "", "empty"),
        (doc! {"sx": {}}, "sx", "empty"),
        (doc! {"zz": {"x": 1}}, "zz", "a section this version does not know"),
        (doc! {"uu": {"x": 1}}, "uu", "a section this version does not know"),
        (doc! {"": {"x": 1}}, "", "a section this version does not know"),
        (doc! {"a": true, "u1": 7}, "a", "a section this version does not know"),
        (doc! {"i": {}, "u": {}}, "u", "a section out of order"),
        (doc! {"u": {}, "d": {}}, "d", "a section out of order"),
        (doc! {"sx": {"u": {}}, "i": {}}, "i", "a section out of order"),
        (doc! {"sx": {"u": {}}, "zz": {}}, "zz", "a section this version does not know"),
        (doc! {"u": 1}, "u", "expected a document"),
        (doc! {"sx": 1}, "sx", "expected a document"),
        (doc! {"sx": {"sy": {"sz": []}}}, "sx.sy.sz", "expected a document"),
        (doc! {"sx": {"a": false}}, "sx.a", "expected true"),
        (doc! {"sx": {"a": 1}}, "sx.a", "expected true"),
        (doc! {"sx": {"a": true, "l": -1}}, "sx.l", "expected a length"),
        (doc! {"sx": {"a": true, "l": 1_i64}}, "sx.l", "expected a length"),
        (doc! {"sx": {"a": true, "u": 1}}, "sx.u", "expected an index"),
        (doc! {"sx": {"a": true, "u1a": 1}}, "sx.u1a", "expected an index"),
        (doc! {"sx": {"a": true, "s1": 1}}, "sx.s1", "expected a document"),
        (doc! {"sx": {"a": true, "x1": 1}}, "sx.x1", "a change this version does not know"),
        (doc! {"sx": {"a": true, "": 1}}, "sx", "a change this version does not know"),
        (doc! {"sx": {"a": true, "u1": 1, "l": 1}}, "sx.l", "a change this version does not know"),
        (doc! {"sx": {"a": true, "u1": 1, "u0": 1}}, "sx.u0", "an index out of order"),
        (doc! {"sx": {"a": true, "u1": 1, "u01": 1}}, "sx.u01", "an index out of order"),
        (
            doc! {"sx": {"a": true, "l": 1, "u1": 1}},
            "sx.u1",
            "an index beyond the array's new length",
        ),
        (
            doc! {"sx": {"a": true, "s0": {"a": true, "s2": {"q": {}}}}},
            "sx.s0.s2.q",
            "a section this version does not know",
        ),
    ];
    for (diff, path, reason) in cases {
        let of_array = diff.to_string().contains("\"a\"");
        let pre = if of_array {
            doc! {"x": [[0, 1, {}]]}
        } else {
            doc! {"x": {"y": {"z": 1}}}
        };
        let expected = (path.to_owned(), reason);
        assert_eq!(refused(apply(&pre, &diff)), expected, "applying {diff}");
        assert_eq!(
            refused(describe(&diff, DisambiguatedPaths::Omit)),
            expected,
            "describing {diff}"
        );
    }
    let mut twice = DocumentWriter::new();
    twice.int32(b"$v", 2);
    twice.open(raw::kind::DOCUMENT, b"diff");
    for _ in 0..2 {
        twice.open(raw::kind::DOCUMENT, b"u");
        twice.close();
    }
    let twice = twice.finish().unwrap();
    let twice = UpdateDiff::from_raw(&twice).unwrap().describe(DisambiguatedPaths::Omit);
    assert!(matches!(twice, Err(Error::BadDiff { path, .. }) if path == "u"));
    for (diff, field) in [
        (doc! {"d": {"x": false}, "i": {"x": 3}}, "x"),
        (doc! {"u": {"x": 2}, "sx": {"u": {"q": 1}}}, "x"),
    ] {
        let expected = (field.to_owned(), "a field named twice");
        assert_eq!(refused(apply(&doc! {}, &diff)), expected);
    }
}

#[test]
fn another_version_is_refused() {
    let open = |update: Document| match UpdateDiff::from_raw(&raw(&update)).unwrap_err() {
        Error::BadDiff { path, .. } => path,
        other => panic!("{other}"),
    };
    assert_eq!(open(doc! {}), "$v");
    assert_eq!(open(doc! {"$v": 1, "$set": {"a": 1}}), "$set");
    assert_eq!(open(doc! {"$v": 1, "diff": {"u": {}}}), "$v");
    assert_eq!(open(doc! {"$v": 2}), "diff");
    assert_eq!(open(doc! {"$v": 2, "diff": 1}), "diff");
    assert_eq!(open(doc! {"$v": 2, "diff": {}, "more": 1}), "more");
}

#[test]
fn nesting_and_growth_are_bounded() {
    let nested =
        |levels: usize| (0..levels).fold(doc! {"u": {"x": 1}}, |diff, _| doc! {"sx": diff});
    let pre = |levels: usize| (0..levels).fold(doc! {"x": 0}, |document, _| doc! {"x": document});
    applies(&pre(150), &nested(150), &(0..150).fold(doc! {"x": 1}, |inner, _| doc! {"x": inner}));
    let too_deep = nested(MAX_NESTING + 1);
    let deeper = "nested deeper than a server allows";
    assert_eq!(refused(apply(&pre(MAX_NESTING + 1), &too_deep)).1, deeper);
    assert_eq!(refused(describe(&too_deep, DisambiguatedPaths::Omit)).1, deeper);

    for diff in [doc! {"a": true, "l": i32::MAX}, doc! {"a": true, "u4000000000": 1}] {
        let (path, reason) = refused(apply(&doc! {"x": []}, &doc! {"sx": diff}));
        assert_eq!((&*path, reason), ("sx", "an array longer than a document can hold"));
    }
    let long = "n".repeat(1 << 18);
    let many: Document = (0..10).map(|at| (at.to_string(), Bson::Int32(at))).collect();
    let wide = doc! {format!("s{long}"): {"u": many}};
    let (_, reason) = refused(describe(&wide, DisambiguatedPaths::Omit));
    assert_eq!(reason, "a description larger than a server can build");
}

#[test]
fn a_diff_cut_or_flipped_anywhere_never_panics() {
    let pre = raw(&doc! {
        "_id": 1, "moved": 1, "kept": 1, "gone": 1,
        "inner": {"deep": {"z": 0}, "x": 0}, "list": [0, 1, {"q": 1}, 3, 4, 5],
    });
    let both = |update: &[u8], pre: &[u8]| {
        let Ok(update) = RawDocument::from_bytes(update) else { return };
        let Ok(pre) = RawDocument::from_bytes(pre) else { return };
        if let Ok(update) = UpdateDiff::from_raw(update) {
            // Whether damage is noticed depends on what it hits; surviving it does not.
            let _ = update.apply(pre);
            let _ = update.describe(DisambiguatedPaths::Show);
        }
    };
    let update = raw_update(&rules()).into_bytes();
    let pre = pre.into_bytes();
    for len in 5..update.len() {
        let mut cut = update[..len].to_vec();
        cut[..4].copy_from_slice(&i32::try_from(len).unwrap().to_le_bytes());
        cut[len - 1] = 0;
        both(&cut, &pre);
    }
    for at in 0..update.len() {
        for mask in [0x01, 0x80, 0xFF] {
            let mut flipped = update.clone();
            flipped[at] ^= mask;
            both(&flipped, &pre);
        }
    }
    for at in 0..pre.len() {
        let mut flipped = pre.clone();
        flipped[at] ^= 0xFF;
        both(&update, &flipped);
    }
}
