//! Diffs that no update makes, and some that break the format: the server is asked for its
//! opinion on each.

use bson::raw::RawDocumentBuf;
use bson::{Document, doc};
use changetape_core::UpdateDiff;
use changetape_testkit::ReplicaSet;

use super::readable;

/// Documents and diffs. Left out are a few that a server fails on by accident, for want of
/// memory, or that make it abort: an index beyond the new length.
fn hand_made_diffs() -> Vec<(Document, Document)> {
    let document = || doc! {"x": {"y": {"z": 1}}, "y": 1};
    let array = || doc! {"x": [0, [1, {"q": 1}], 2], "y": 1};
    let of_document = |diff: Document| (document(), diff);
    let of_array = |changes: Document| {
        let mut diff = doc! {"a": true};
        diff.extend(changes);
        (array(), doc! {"sx": diff})
    };
    let mut cases: Vec<_> = [
        doc! {},
        doc! {"u": {}},
        doc! {"u": {"q": 2, "y": 2}, "i": {"x": 3, "z": 3}},
        doc! {"d": {"x": {"y": 1}, "q": 1}},
        doc! {"d": {"x": false}, "i": {"x": 3}},
        doc! {"u": {"x": 2}, "sx": {"u": {"q": 1}}},
        doc! {"i": {}, "u": {}},
        doc! {"u": {}, "d": {}},
        doc! {"sx": {"u": {"q": 1}}, "i": {}},
        doc! {"sx": {"u": {"q": 1}}, "zz": {}},
        doc! {"zz": {"x": 1}},
        doc! {"": {"x": 1}},
        doc! {"a": true, "u1": 7},
        doc! {"u": 1},
        doc! {"sx": 1},
        doc! {"sx": {}},
        doc! {"sx": {"sy": {"sz": []}}},
        doc! {"sx": {"sy": {"sz": {"u": {"q": 1}}}}},
        doc! {"sx": {"sy": {"u": {"q": 1}, "sz": {"a": true, "u0": 1}}}},
        doc! {"sx": {"a": true, "u0": 7}},
        doc! {"sq": {"u": {"q": 2}}},
        doc! {"sq": {"a": true, "u0": 7}},
        doc! {"sx": {"a": false, "u1": 7}},
        doc! {"sx": {"a": 1, "u1": 7}},
    ]
    .into_iter()
    .map(of_document)
    .collect();
    cases.extend(
        [
            doc! {},
            doc! {"l": 0},
            doc! {"l": 1},
            doc! {"l": 5},
            doc! {"l": 5, "u3": 3},
            doc! {"l": 1_i64},
            doc! {"u5": 5},
            doc! {"u01": 7},
            doc! {"u": 1},
            doc! {"u1a": 1},
            doc! {"x1": 1},
            doc! {"": 1},
            doc! {"s1": 1},
            doc! {"u1": 1, "l": 1},
            doc! {"s1": {"u": {"q": 1}}},
            doc! {"s1": {"a": true, "l": 3, "s1": {"i": {"q": 2}}}},
            doc! {"s0": {"a": true, "u2": {"i": {"q": 2}}}},
            doc! {"s4": {"u": {"q": 1}}},
        ]
        .map(of_array),
    );
    cases
}

#[tokio::test]
async fn hand_made_diffs_are_taken_or_refused_as_by_the_server() {
    let set = ReplicaSet::single().start().await.unwrap();
    let test = set.client().unwrap().database("test");
    let (mut taken, mut refused) = (0, 0);
    for (id, (mut pre, diff)) in (0..).zip(hand_made_diffs()) {
        pre.insert("_id", id);
        test.collection::<Document>("documents").insert_one(&pre).await.unwrap();
        let documents = test.collection::<RawDocumentBuf>("documents");
        let pre = documents.find_one(doc! {"_id": id}).await.unwrap().unwrap();
        let update = doc! {"$v": 2, "diff": diff.clone()};
        let stage = doc! {"$_internalApplyOplogUpdate": {"oplogUpdate": &update}};
        let theirs = documents.update_one(doc! {"_id": id}, vec![stage]).await;
        let update = RawDocumentBuf::try_from(&update).unwrap();
        let ours = UpdateDiff::from_raw(&update).unwrap().apply(&pre);
        match (ours, theirs) {
            (Ok(ours), Ok(_)) => {
                let theirs = documents.find_one(doc! {"_id": id}).await.unwrap().unwrap();
                assert!(
                    ours == theirs,
                    "{diff}\nours   {}\ntheirs {}",
                    readable(&ours),
                    readable(&theirs)
                );
                taken += 1;
            }
            (Err(_), Err(_)) => refused += 1,
            (ours, theirs) => panic!("{diff}: ours {ours:?}, theirs {theirs:?}"),
        }
    }
    assert!(taken >= 15 && refused >= 15, "{taken} taken, {refused} refused");
}
