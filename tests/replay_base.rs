//! Goal: a replay that restores the tape's base first leaves its target as the source was, byte for
//! byte; it mixes the base with nothing that is there, and says so when the target holds only a
//! part.
//!
//! Method: the program takes a base of a real source with awkward collections, records what is
//! written after it, and replays both into another server; everything in both is compared. What is
//! to stop in the middle of the base is stopped there by the target, which takes so many commands
//! and no more.

mod interrupted;
mod refused;
mod whole;

use std::path::{Path, PathBuf};

use bson::{Document, doc};
use changetape_testkit::ReplicaSet;
use changetape_testkit::compare::Dump;
use mongodb::Client;
use tempfile::{TempDir, tempdir};

use crate::program::{Ran, ran, run, signal, start, text};

/// A tape that begins with a base, and where it is kept.
struct Taped {
    _directory: TempDir,
    tape: PathBuf,
    flags: Vec<&'static str>,
    uri: String,
}

impl Taped {
    /// Takes a base of what is there.
    fn of(source: &ReplicaSet, flags: &[&'static str]) -> Self {
        let directory = tempdir().unwrap();
        let tape = directory.path().join("based.tape");
        let taped = Self { _directory: directory, tape, flags: flags.to_vec(), uri: source.uri() };
        taped.record();
        taped
    }

    /// Records what was written since.
    fn record(&self) {
        let record =
            ["record", &self.uri, text(&self.tape), "--snapshot", "--stop-when-idle", "2s"];
        run(&[&record[..], &self.flags].concat()).expect_code(0);
    }

    /// The arguments of a replay, the base first.
    fn replay<'a>(&'a self, target: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let replay = ["replay", text(&self.tape), target, "--base", "--speed", "max"];
        [&replay[..], more].concat()
    }

    /// Replays, the base first.
    fn restore(&self, target: &str, more: &[&str]) -> Ran {
        run(&self.replay(target, more))
    }
}

async fn command(client: &Client, db: &str, command: Document) -> Document {
    let shown = command.to_string();
    let answer = client.database(db).run_command(command).await;
    answer.unwrap_or_else(|error| panic!("{shown}: {error}"))
}

/// Fails the test unless both hold the same.
#[track_caller]
fn assert_same(expected: &Dump, found: &Dump) {
    let differences = expected.differences(found);
    assert!(differences.is_empty(), "{differences}");
}

async fn dump(client: &Client) -> Dump {
    Dump::take(client).await.unwrap()
}

fn exists(path: &Path) -> bool {
    path.try_exists().unwrap()
}
