//! What is merged holds what its parts held, kinds beyond the list included.

use bson::rawdoc;

use crate::segment::MAX_KINDS;
use crate::{Batch, TapeOptions, TapeReader, samples, verify};

#[test]
fn blocks_with_kinds_beyond_the_list_are_counted_anew_when_they_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let options = TapeOptions::default();
    options.create(&path, samples::metadata()).unwrap().close().unwrap();
    let kinds = MAX_KINDS as u64 + 2;
    let mut next = 0;
    for session in 0..10 {
        let mut writer = options.open(&path).unwrap();
        // Each session lists other kinds than the one before, and each block is a full one.
        for n in 0..kinds {
            let coll = format!("c{}", (n + session * 5) % kinds);
            let event = rawdoc! {
                "_id": {}, "operationType": "insert", "ns": {"db": "shop", "coll": coll},
                "pad": "x".repeat(200_000),
            };
            let (token, arrival) = (samples::token(next + 1), samples::arrival(next));
            let batch = Batch { events: &[&event], token: &token, arrival };
            writer.append(&batch).unwrap();
            next += 1;
        }
        writer.close().unwrap();
    }
    let summary = TapeReader::open(&path).unwrap().summary().unwrap();
    assert!(summary.segments < 10, "{} segments: some are merged", summary.segments);
    assert_eq!((summary.events, summary.blocks), (next, next));
    assert_eq!(verify(&path, &mut |_, _| ()).unwrap().damages, []);
}
