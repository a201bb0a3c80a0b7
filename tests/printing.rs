//! Goal: whoever reads what is printed may go away, or stop reading, without harm: the program
//! ends, and says what it has to say by its exit code. Messages are not worth a recording.
//!
//! Method: a tape whose events are longer than a pipe holds, printed into a pipe from which the
//! test reads a little; a real source, recorded with a stderr that takes nothing: a pipe whose
//! reader has left, and `/dev/full`.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bson::raw::RawDocument;
use changetape_core::Arrival;
use changetape_tape::{Batch, TapeWriter};
use changetape_testkit::{ReplicaSet, samples};
use tempfile::{TempDir, tempdir};

use crate::program::{changetape, ran, text};
use crate::watched::Recorder;

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
    let mut writer = TapeWriter::create(path, samples::metadata()).unwrap();
    let event = samples::event(1, &"x".repeat(4096));
    let events: Vec<&RawDocument> = vec![&event; PRINTED / 4096];
    let token = samples::token(2);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_whose_messages_nobody_takes_ends_cleanly_on_sigterm() {
    let source = ReplicaSet::single().start().await.unwrap();
    let directory = tempdir().unwrap();
    let tape = directory.path().join("unheard.tape");
    let recorder = Recorder::unheard(&source.uri(), &tape);
    recorder.until("recording", |figures| figures[r#"state{state="recording"}"#] > 0.5);
    let ended = recorder.stop().expect_code(0);
    assert!(ended.stdout.contains(": stopped\n"), "{}", ended.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stderr_is_passed_over_and_a_full_stdout_is_named() {
    let source = ReplicaSet::single().start().await.unwrap();
    let directory = tempdir().unwrap();
    let tape = directory.path().join("full.tape");
    let uri = source.uri();
    let record = ["record", &uri, text(&tape), "--stop-when-idle", "1s"];
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let recorded = changetape(&record).stderr(full()).output().unwrap();
    let recorded = ran(recorded).expect_code(0);
    assert!(recorded.stdout.starts_with("recorded 0 events "), "{}", recorded.stdout);
    for args in [&record[..], &["info", text(&tape)]] {
        let ran = ran(changetape(args).stdout(full()).output().unwrap()).expect_code(1);
        let sentence = ran.sentence();
        assert!(
            sentence.starts_with("standard output cannot be written: "),
            "{args:?}: {sentence}"
        );
    }
}
