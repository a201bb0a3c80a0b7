//! Tapes that cannot be continued or read: which, why, and nothing changed on disk; and tapes
//! that merely hold nothing, which is no failure.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bson::doc;
use changetape_testkit::ReplicaSet;
use tempfile::tempdir;

use crate::incompressible::insert;
use crate::program::{run, start, text};

/// Records what is written to `shop.orders` meanwhile: `documents` inserts.
async fn record(source: &ReplicaSet, tape: &Path, documents: i32) {
    let uri = source.uri();
    let args = ["record", &uri, text(tape), "--stop-when-idle", "1s"];
    run(&args).expect_code(0);
    if documents > 0 {
        let orders = source.client().unwrap().database("shop").collection("orders");
        orders.insert_many((0..documents).map(|n| doc! {"n": n})).await.unwrap();
        run(&args).expect_code(0);
    }
}

/// Every file of a tape with its content and when it was written, were it the same again; but
/// for the note of who has it open.
fn files(directory: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if path.file_name() != Some("lock".as_ref()) {
            let written = fs::metadata(&path).unwrap().modified().unwrap();
            files.insert(path.clone(), (fs::read(&path).unwrap(), written));
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tape_of_another_recording_is_not_continued() {
    // As most sets are called: only their ids tell them apart.
    let source = ReplicaSet::single().name("rs0").start().await.unwrap();
    let other = ReplicaSet::single().name("rs0").start().await.unwrap();
    let directory = tempdir().unwrap();
    let tape = directory.path().join("first.tape");
    record(&source, &tape, 1).await;
    let before = files(&tape);

    let (source, other) = (source.uri(), other.uri());
    for (uri, flags, differs) in [
        (&other, vec![], "deployment"),
        (&source, vec!["--include", "shop"], "filter"),
        (&source, vec!["--exclude", "shop"], "filter"),
        (&source, vec!["--op", "insert"], "operation"),
        (&source, vec!["--pipeline", r#"{"$match": {"ns.db": "shop"}}"#], "pipeline"),
        (&source, vec!["--updates", "public"], "update form"),
        (&source, vec!["--full-document", "updateLookup"], "fullDocument"),
        (&source, vec!["--full-document-before-change", "required"], "fullDocumentBeforeChange"),
    ] {
        let mut args = vec!["record", uri, text(&tape), "--stop-when-idle", "1s"];
        args.extend(&flags);
        let ran = run(&args).expect_code(1);
        assert!(ran.sentence().contains(differs), "{flags:?}: {}", ran.stderr);
        assert!(files(&tape) == before, "{flags:?} changed the tape");
    }
    let kept = run(&["cat", text(&tape), "--show-expanded-events"]).expect_code(0);
    assert_eq!(kept.stdout.lines().count(), 2, "create and insert: {}", kept.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tape_that_is_open_elsewhere_names_its_holder() {
    let source = ReplicaSet::single().start().await.unwrap();
    let directory = tempdir().unwrap();
    let tape = directory.path().join("held.tape");
    record(&source, &tape, 1).await;
    let uri = source.uri();
    let mut holder = start(&["record", &uri, text(&tape)]);
    let pid = holder.id().to_string();
    // Asking the program would take the tape away from the holder for a moment.
    while !String::from_utf8_lossy(&fs::read(tape.join("lock")).unwrap()).contains(&pid) {
        assert_eq!(holder.try_wait().unwrap(), None, "the holder ended");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Another recorder is refused.
    for args in [vec!["record", &uri, text(&tape)], vec!["verify", text(&tape), "--repair"]] {
        let ran = run(&args).expect_code(1);
        assert!(ran.sentence().contains(&pid), "{args:?}: {}", ran.stderr);
        assert!(ran.sentence().contains("recording"), "{args:?}: {}", ran.stderr);
    }
    // Whoever reads sees what is sealed, and is told of the rest.
    let info = run(&["info", text(&tape)]).expect_code(0);
    assert!(info.stdout.contains(&format!("recording, pid {pid}")), "{}", info.stdout);
    let cat = run(&["cat", text(&tape), "--show-expanded-events"]).expect_code(0);
    assert_eq!(cat.stdout.lines().count(), 2, "{}", cat.stdout);
    assert!(cat.stderr.contains(&pid), "{}", cat.stderr);
    // A holder that is killed holds nothing any more.
    holder.kill().unwrap();
    holder.wait().unwrap();
    run(&["info", text(&tape)]).expect_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_tape_is_named_with_a_place_and_left_alone() {
    let source = ReplicaSet::single().start().await.unwrap();
    let directory = tempdir().unwrap();
    let tape = directory.path().join("damaged.tape");
    record(&source, &tape, 500).await;
    // Enough that does not compress for several blocks.
    let coll = source.client().unwrap().database("shop").collection("c");
    insert(&coll, 100).await;
    run(&["record", &source.uri(), text(&tape), "--stop-when-idle", "1s"]).expect_code(0);
    let segments = fs::read_dir(tape.join("segments")).unwrap().map(|entry| entry.unwrap().path());
    let segment = segments.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let whole = fs::read(&segment).unwrap();
    // In the middle are blocks.
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0xFF;
    let uri = source.uri();
    let reading =
        [vec!["cat", text(&tape)], vec!["replay", text(&tape), "null:", "--speed", "max"]];
    let other =
        [vec!["info", text(&tape)], vec!["record", &uri, text(&tape), "--stop-when-idle", "1s"]];
    for (what, bytes) in [("flipped", flipped.clone()), ("cut", whole[..whole.len() / 2].to_vec())]
    {
        fs::write(&segment, &bytes).unwrap();
        let before = files(&tape);
        let refused = |args: &Vec<&str>| {
            let ran = run(args).expect_code(1);
            assert!(ran.sentence().contains("damaged.tape"), "{what} {args:?}: {}", ran.stderr);
            assert!(ran.sentence().contains('#'), "{what} {args:?}: {}", ran.stderr);
            assert!(files(&tape) == before, "{what} {args:?} changed the tape");
        };
        reading.iter().for_each(refused);
        if what == "cut" {
            // Without reading the blocks this is seen, and the other is not.
            other.iter().for_each(refused);
        }
        let verified = run(&["verify", text(&tape)]).expect_code(3);
        assert!(verified.stdout.contains('#'), "{}", verified.stdout);
        assert!(files(&tape) == before, "verifying changed the tape");
    }

    // What can be read can be had, and is said not to be all.
    fs::write(&segment, &flipped).unwrap();
    let all =
        |more: &[&str]| run(&[&["replay", text(&tape), "null:", "--speed", "max"], more].concat());
    let rest = all(&["--skip-damage"]).expect_code(3);
    assert!(rest.stdout.contains("the tape is damaged there"), "{}", rest.stdout);
    let repaired = run(&["verify", text(&tape), "--repair"]).expect_code(3);
    assert!(repaired.stdout.contains("it is repaired"), "{}", repaired.stdout);
    run(&["verify", text(&tape)]).expect_code(0);
    all(&[]).expect_code(1);
    all(&["--cross-gaps"]).expect_code(3);
    // And it goes on.
    run(&["record", &uri, text(&tape), "--stop-when-idle", "1s"]).expect_code(0);

    fs::write(tape.join("catalog"), "not a catalog").unwrap();
    let ran = run(&["info", text(&tape)]).expect_code(1);
    assert!(ran.sentence().contains("catalog"), "{}", ran.stderr);
    run(&["verify", text(&tape), "--repair"]).expect_code(0);
    all(&["--cross-gaps"]).expect_code(3);
}

#[test]
fn what_is_no_tape_is_said_to_be_none() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("missing.tape");
    let ran = run(&["info", text(&path)]).expect_code(1);
    assert!(ran.sentence().contains("missing.tape"), "{}", ran.stderr);
    fs::write(&path, "something else").unwrap();
    let ran = run(&["cat", text(&path)]).expect_code(1);
    assert!(ran.sentence().contains("missing.tape"), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(&path).unwrap(), "something else");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_show_is_said_and_is_no_failure() {
    const NONE: &str = "no event in this range";
    // The create and three inserts.
    const NONE_SELECTED: &str = "none of the 4 events in this range is selected";
    let source = ReplicaSet::single().start().await.unwrap();
    let directory = tempdir().unwrap();
    let empty = directory.path().join("empty.tape");
    record(&source, &empty, 0).await;
    let full = directory.path().join("full.tape");
    record(&source, &full, 3).await;
    for (tape, flags, said) in [
        (&empty, vec![], NONE),
        (&full, vec!["--start", "#1000"], NONE),
        (&full, vec!["--start", "2100-01-01T00:00:00Z"], NONE),
        (&full, vec!["--include", "nothing.here"], NONE_SELECTED),
        (&full, vec!["--op", "delete"], NONE_SELECTED),
        (&full, vec!["--start", "#2", "--end", "#1"], NONE),
    ] {
        let mut cat = vec!["cat", text(tape)];
        cat.extend(&flags);
        let ran = run(&cat).expect_code(0);
        assert_eq!(ran.stdout, "", "{flags:?}");
        assert!(ran.stderr.contains(said), "{flags:?}: {ran:?}");
        let mut replay = vec!["replay", text(tape), "null:"];
        replay.extend(&flags);
        let ran = run(&replay).expect_code(0);
        assert!(ran.stdout.contains(said), "{flags:?}: {ran:?}");
    }
    let info = run(&["info", text(&empty)]).expect_code(0);
    assert!(info.stdout.contains("no event"), "{}", info.stdout);
}
