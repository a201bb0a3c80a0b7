//! Goal: `info` tells people and programs what is on a tape in forms that they can use.
//!
//! Method: a tape made by hand, with everything on it that is to be told.

use bson::rawdoc;
use changetape_core::{Arrival, Seq, WallTime};
use changetape_tape::{Batch, Edge, Gap, GapCause, TapeWriter};
use changetape_testkit::samples;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::program::{run, text};

#[test]
fn a_pipeline_is_shown_as_it_is_given_and_a_gap_with_when_it_was_noticed() {
    let directory = tempdir().unwrap();
    let tape = directory.path().join("narrow.tape");
    let mut metadata = samples::metadata();
    metadata.stream.pipeline = vec![
        rawdoc! {"$match": {"ns.db": "shop", "fullDocument.n": {"$gt": 7_i64}}},
        rawdoc! {"$unset": "fullDocument.text"},
    ];
    let mut writer = TapeWriter::create(&tape, metadata).unwrap();
    let gap = Gap {
        at: Seq::ZERO,
        places: 0,
        cause: GapCause::Reset,
        before: Edge::default(),
        after: Edge::default(),
        noticed: WallTime::from_millis(1_772_366_400_000),
    };
    let (event, token, arrival) = (samples::event(0, ""), samples::token(1), Arrival::default());
    let batch = Batch { events: &[event.as_ref()], token: &token, arrival };
    writer.append_behind(gap, &batch).unwrap();
    writer.close().unwrap();

    let shown = run(&["info", text(&tape)]).expect_code(0).stdout;
    let row = |name: &str| {
        let rest = shown.lines().find_map(|line| line.trim_start().strip_prefix(name));
        rest.unwrap_or_else(|| panic!("no {name} in {shown}")).trim_start().to_owned()
    };
    let pipeline = json!([
        {"$match": {"ns.db": "shop", "fullDocument.n": {"$gt": 7}}},
        {"$unset": "fullDocument.text"},
    ]);
    assert_eq!(row("pipeline"), pipeline.to_string());
    assert_eq!(
        row("gap"),
        "before #0: the recording was told to begin elsewhere, noticed 2026-03-01T12:00:00Z"
    );
    let told: Value = run(&["info", text(&tape), "--format", "json"]).expect_code(0).json();
    assert_eq!(told["stream"]["pipeline"], pipeline);
    assert_eq!(told["gaps"][0]["noticed"], "2026-03-01T12:00:00Z");
}
