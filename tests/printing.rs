//! Goal: whoever reads what is printed may go away, or stop reading, without harm: the program
//! ends, and says what it has to say by its exit code.
//!
//! Method: a tape whose events are longer than a pipe holds, printed into a pipe from which the
//! test reads a little.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bson::raw::RawDocument;
use bson::rawdoc;
use changetape_core::{Arrival, ResumeToken, WallTime};
use changetape_tape::{Batch, Metadata, SourceIdentity, StreamOptions, TapeWriter, UpdateForm};
use tempfile::{TempDir, tempdir};

use crate::program::{changetape, ran, text};

/// More than a pipe holds, whoever made it: 1 MiB is the most that Linux lets a user ask for.
const PRINTED: usize = 4 << 20;

/// A program that has begun to print a long tape, and has printed one byte more than was read.
fn printing() -> (TempDir, Child) {
    let directory = tempdir().unwrap();
    let tape = directory.path().join("long.tape");
    write_tape(&tape);
    let mut child = changetape(&["cat", text(&tape)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    (directory, child)
}

fn write_tape(path: &Path) {
    let source = SourceIdentity {
        replica_set: "rs".to_owned(),
        replica_set_id: None,
        server_version: "6.0.5".to_owned(),
    };
    let metadata = Metadata {
        source,
        stream: StreamOptions::everything(UpdateForm::Raw),
        created_by: "a test".to_owned(),
        created_at: WallTime::from_millis(0),
    };
    let mut writer = TapeWriter::create(path, metadata).unwrap();
    let id = "826B02A9B5000000132B022C0100296F04";
    let event = rawdoc! {
        "_id": {"_data": id},
        "operationType": "insert",
        "fullDocument": {"text": "x".repeat(4096)},
    };
    let events: Vec<&RawDocument> = vec![&event; PRINTED / 4096];
    let token = ResumeToken::from_data(id).unwrap();
    let arrival = Arrival { wall_nanos: 1, monotonic_nanos: 1 };
    writer.append(&Batch { events: &events, token: &token, arrival }).unwrap();
    writer.close().unwrap();
}

#[test]
fn a_reader_that_goes_away_ends_the_printing_and_is_no_error() {
    let (_directory, mut child) = printing();
    drop(child.stdout.take());
    let ran = ran(child.wait_with_output().unwrap()).expect_code(0);
    assert_eq!(ran.stderr, "");
}

#[test]
fn one_sigterm_ends_the_printing_also_when_nobody_reads_on() {
    let (_directory, mut child) = printing();
    let terminated = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(terminated.success());
    // The pipe stays open and full until the program has ended.
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let ran = ran(child.wait_with_output().unwrap());
    assert!(ran.stderr.contains("nobody reads what is printed"), "{}", ran.stderr);
}
