//! What cannot be restored: said in a sentence, before a target is looked for.

use changetape_core::{Arrival, ClusterTime, WallTime};
use changetape_tape::{Batch, Retain, TapeDraft, TapeOptions, TapeWriter};
use changetape_testkit::samples;

use super::*;
use crate::replay_applies::definitions::define_everything;

/// Nobody answers there.
const NOWHERE: &str = "mongodb://127.0.0.1:1";

/// An empty base, by hand.
fn begin(tape: &Path, options: TapeOptions) -> TapeWriter {
    let draft = TapeDraft::begin(tape).unwrap();
    let time = ClusterTime { seconds: 1, increment: 1 };
    draft.begin_base(time, WallTime::from_millis(0)).unwrap().finish().unwrap();
    draft.finish(samples::metadata(), options).unwrap()
}

/// One event, in a segment of its own.
fn append(mut writer: TapeWriter, n: u64) {
    let (event, token) = (samples::event(n, ""), samples::token(n + 1));
    let batch = Batch { events: &[&event], token: &token, arrival: Arrival::default() };
    writer.append(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn a_tape_without_a_base_or_its_first_events_is_refused() {
    let directory = tempdir().unwrap();
    let events = directory.path().join("events.tape");
    append(TapeWriter::create(&events, samples::metadata()).unwrap(), 0);
    let refused = run(&["replay", text(&events), NOWHERE, "--base"]).expect_code(2);
    assert!(refused.sentence().contains("record --snapshot"), "{}", refused.stderr);

    let short = directory.path().join("short.tape");
    let retain = Retain { age: None, bytes: Some(0) };
    let options = TapeOptions { segment_size: 1, retain, ..TapeOptions::default() };
    append(begin(&short, options), 0);
    append(options.open(&short).unwrap(), 1);
    let refused = run(&["replay", text(&short), NOWHERE, "--base"]).expect_code(1);
    assert!(refused.sentence().contains("dropped from the tape before #1"), "{}", refused.stderr);
}

#[test]
fn what_makes_no_sense_with_a_base_is_refused() {
    let directory = tempdir().unwrap();
    let (tape, file) = (directory.path().join("a.tape"), directory.path().join("out.ndjson"));
    begin(&tape, TapeOptions::default()).close().unwrap();
    let tape = text(&tape);
    let file_sink = format!("file:{}", text(&file));
    for (sink, flags, says) in [
        ("-", &["--base"][..], "into a database only"),
        ("null:", &["--base"], "into a database only"),
        (&file_sink, &["--base"], "into a database only"),
        (NOWHERE, &["--base", "--start", "#0"], "before the tape's first event"),
        (NOWHERE, &["--drop"], "--base"),
    ] {
        let ran = run(&[&["replay", tape, sink], flags].concat()).expect_code(2);
        assert!(ran.sentence().contains(says), "{sink} {flags:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "");
    }
    assert!(!exists(&file), "a file was made for nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_needs_the_documented_roles_and_hears_what_is_there() {
    let (source, target) =
        tokio::join!(ReplicaSet::single().start(), ReplicaSet::single().auth(true).start());
    let (source, target) = (source.unwrap(), target.unwrap());
    let (from, to) = (source.client().unwrap(), target.client().unwrap());
    define_everything(&from).await;
    let taped = Taped::of(&source, &["--exclude", "shop.log"]);
    let both = ["readWriteAnyDatabase", "dbAdminAnyDatabase"];
    for (name, roles) in
        [("reader", &["readAnyDatabase"][..]), ("few", &both[..1]), ("enough", &both)]
    {
        let user = doc! {"createUser": name, "pwd": "p", "roles": roles};
        command(&to, "admin", user).await;
    }
    let restore = |user, more: &[&str]| taped.restore(&target.uri_as(user, "p"), more);
    let reader = restore("reader", &[]).expect_code(1);
    let sentence = reader.sentence();
    assert!(sentence.contains("refused to create shop.clustered: not authorized"), "{sentence}");
    assert!(!sentence.contains("part of the base"), "nothing is there: {sentence}");
    let few = restore("few", &[]).expect_code(1);
    let sentence = few.sentence();
    let part = "the target holds only a part of the base (0 of ";
    assert!(sentence.starts_with(part) && sentence.contains("not authorized"), "{sentence}");
    restore("enough", &["--drop"]).expect_code(0);
    assert_same(&dump(&from).await.filtered(|ns| ns.to_string() != "shop.log"), &dump(&to).await);
}
