//! Arguments that cannot be read: exit code 2, and the accepted forms.

use changetape_tape::TapeWriter;
use changetape_testkit::samples;
use tempfile::tempdir;

use super::SECRET;
use crate::program::{changetape, ran, run, text};

#[test]
fn arguments_that_cannot_be_read_are_refused_with_the_accepted_forms() {
    let directory = tempdir().unwrap();
    let tape = directory.path().join("never.tape");
    let tape = text(&tape);
    for (args, accepted) in [
        (vec!["replay", tape, "-", "--speed", "0"], "max"),
        (vec!["replay", tape, "-", "--speed", "-1"], "max"),
        (vec!["replay", tape, "-", "--speed", "nan"], "max"),
        (vec!["replay", tape, "-", "--speed", "inf"], "max"),
        (vec!["replay", tape, "-", "--speed", "fast"], "max"),
        (vec!["replay", tape, "-", "--start", "yesterday"], "2026-03-01T12:00:00Z"),
        (vec!["replay", tape, "-", "--end", "2026-13-01T12:00:00Z"], "#42"),
        (vec!["replay", tape, "-", "--on-error", "retry"], "stop, skip, ask"),
        (vec!["replay", tape, "-", "--on-error", "ask"], "needs a terminal"),
        (vec!["replay", tape, "-", "--op", "upsert"], "insert, update"),
        (vec!["replay", tape, "-", "--include", ".orders"], "shop.*"),
        (vec!["replay", tape, "-", "--map-ns", "shop"], "db.collection=db.collection"),
        (vec!["replay", tape, "kafka://broker"], "file:PATH"),
        (vec!["replay", tape], "CHANGETAPE_SINK"),
        (vec!["record", "mongodb://127.0.0.1", tape, "--since", "noon"], "now"),
        (vec!["record", "mongodb://127.0.0.1", tape, "--duration", "soon"], "10m"),
        (vec!["record", "mongodb://127.0.0.1", tape, "--count", "0"], "1.."),
        (vec!["record", "mongodb://127.0.0.1", tape, "--batch-size", "0"], "1..=100000"),
        (vec!["record", "mongodb://127.0.0.1", tape, "--max-await", "1h"], "10m"),
        (vec!["record", "mongodb://127.0.0.1", tape, "--metrics", ":9400"], "HOST:PORT"),
        (vec!["record", "mongodb://127.0.0.1", tape, "--pipeline", "{"], "$match"),
        (vec!["record", "mongodb://127.0.0.1", tape, "--updates", "exact"], "public"),
        (vec!["record", "mongodb://127.0.0.1", tape, "--full-document", "yes"], "updateLookup"),
        (vec!["record", "localhost", tape], "mongodb://"),
        (vec!["record", "mongodb://", tape], "connection string"),
        (vec!["record", tape], "CHANGETAPE_SOURCE_URI"),
        (vec!["record", tape, "mongodb://127.0.0.1"], "the tape must be a directory"),
        (vec!["record", "mongodb://127.0.0.1", tape, "--since", "2200-01-01T00:00:00Z"], "now"),
        (vec!["record", "--uri-file", "/nonexistent", tape], "/nonexistent"),
    ] {
        let ran = run(&args).expect_code(2);
        assert!(!ran.sentence().is_empty());
        assert!(ran.stderr.contains(accepted), "{args:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "");
        assert!(!directory.path().join("never.tape").exists(), "{args:?} made a tape");
    }
}

#[test]
fn a_connection_string_that_cannot_be_read_is_refused_without_its_password() {
    let directory = tempdir().unwrap();
    let tape = directory.path().join("never.tape");
    for uri in [
        format!("mongodb://anna:{SECRET}@"),
        format!("mongodb://anna:{SECRET}/x@127.0.0.1"),
        format!("mongodb://anna:{SECRET}@127.0.0.1:port"),
        format!("mongodb:/anna:{SECRET}@127.0.0.1"),
        format!("mongodb://anna:{SECRET}@127.0.0.1/?tls=maybe"),
        format!("mongodb://anna:%{SECRET}@127.0.0.1"),
        format!("mongodb://anna:{SECRET}?x@127.0.0.1"),
        format!("mongodb://anna:{SECRET}"),
    ] {
        for args in [
            vec!["record", &uri, text(&tape)],
            vec!["replay", text(&tape), &uri],
            vec!["replay", &uri, text(&tape)],
            vec!["replay", text(&tape), "-", &uri],
            vec!["cat", text(&tape), &uri],
            vec![&uri, text(&tape)],
        ] {
            let ran = run(&args);
            assert!(!ran.stdout.contains(SECRET));
            assert!(!ran.stderr.contains(SECRET), "{args:?}: {}", ran.stderr);
            assert!(!ran.sentence().is_empty());
            if args[0] == "record" {
                ran.expect_code(2);
            }
            assert!(!tape.exists());
        }
    }
}

#[test]
fn what_says_how_to_compare_a_database_is_refused_without_one() {
    let directory = tempdir().unwrap();
    let tape = directory.path().join("any.tape");
    drop(TapeWriter::create(&tape, samples::metadata()).unwrap());
    let flags: [(&[&str], &str); 7] = [
        (&["--include", "shop"], "INCLUDE"),
        (&["--exclude", "shop"], "EXCLUDE"),
        (&["--map-ns", "shop=test"], "MAP_NS"),
        (&["--limit", "5"], "LIMIT"),
        (&["--start", "#1"], "START"),
        (&["--end", "#1"], "END"),
        (&["--cross-gaps"], "CROSS_GAPS"),
    ];
    for (flag, variable) in flags {
        for more in [&[][..], &["--repair"]] {
            let verify = ["verify", text(&tape)];
            let refused = run(&[&verify[..], flag, more].concat()).expect_code(2);
            let says = format!("{} says how to compare a database", flag[0]);
            assert!(refused.sentence().starts_with(&says), "{}", refused.stderr);
            assert_eq!((refused.stderr.lines().count(), refused.stdout.as_str()), (1, ""));
            // Its variable may be meant for replays.
            let mut verify = changetape(&[&verify[..], more].concat());
            let value = flag.get(1).copied().unwrap_or("true");
            verify.env(format!("CHANGETAPE_{variable}"), value);
            ran(verify.output().unwrap()).expect_code(0);
        }
    }
    // With a database none of them is one too many: it is only not there.
    let against = ["--against", "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=1"];
    for (flag, _) in flags {
        run(&[&["verify", text(&tape)], &against[..], flag].concat()).expect_code(1);
    }
    let file = directory.path().join("uri");
    std::fs::write(&file, against[1]).unwrap();
    run(&["verify", text(&tape), "--uri-file", text(&file), "--limit", "5"]).expect_code(1);
}
