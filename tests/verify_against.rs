//! Goal: `verify --against` finds whatever in a database is not as a tape says, and nothing else.
//!
//! Method: workloads on a real server, recorded and replayed by the program; the result has to be
//! found the same. Then a little is changed in it, one thing of each kind, and exactly that has to
//! be found, also where memory is so short that the tape is read in many passes. What a tape cannot
//! say is made by recording changes to documents that were there before.

mod at_the_end;
mod differences;
mod nothing;
mod passes;
mod same;
mod unknown;

use std::path::{Path, PathBuf};

use bson::Document;
use changetape_testkit::ReplicaSet;
use mongodb::Client;
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{run, text};

/// A source, a tape of it, and what it was replayed into.
struct Replayed {
    source: ReplicaSet,
    target: ReplicaSet,
    directory: TempDir,
}

impl Replayed {
    /// Records what `change` does and replays it into an empty deployment.
    async fn start(before: impl AsyncFnOnce(&Client), change: impl AsyncFnOnce(&Client)) -> Self {
        let set = || ReplicaSet::single().start();
        let (source, target) = tokio::join!(set(), set());
        let directory = tempfile::tempdir().unwrap();
        let replayed = Self { source: source.unwrap(), target: target.unwrap(), directory };
        let client = replayed.source.client().unwrap();
        before(&client).await;
        // An empty first session fixes where the recording begins; the second continues it.
        replayed.record();
        change(&client).await;
        replayed.record();
        replayed
    }

    fn record(&self) {
        let uri = self.source.uri();
        run(&["record", &uri, text(&self.tape()), "--stop-when-idle", "1s"]).expect_code(0);
    }

    fn tape(&self) -> PathBuf {
        self.directory.path().join("shop.tape")
    }

    fn replay(&self, code: i32, args: &[&str]) {
        let (tape, uri) = (self.tape(), self.target.uri());
        let replay = ["replay", text(&tape), &uri, "--speed", "max"];
        run(&[&replay[..], args].concat()).expect_code(code);
    }

    fn client(&self) -> Client {
        self.target.client().unwrap()
    }

    /// What the program finds.
    #[track_caller]
    fn verify(&self, code: i32, args: &[&str]) -> Value {
        verify(&self.tape(), &self.target.uri(), code, args)
    }
}

#[track_caller]
fn verify(tape: &Path, uri: &str, code: i32, args: &[&str]) -> Value {
    let verify = ["verify", text(tape), "--against", uri, "--format", "json"];
    run(&[&verify[..], args].concat()).expect_code(code).json()
}

/// What a comparison lists, a line each, in order.
fn lines(found: &Value) -> Vec<String> {
    let part = |difference: &Value, name: &str| match &difference[name] {
        Value::String(text) => format!(" {text}"),
        _ => String::new(),
    };
    let line = |difference: &Value| {
        ["namespace", "what", "name", "found", "path", "how"]
            .map(|name| part(difference, name))
            .concat()
            .trim_start()
            .to_owned()
    };
    let mut lines: Vec<_> = found["differences"].as_array().unwrap().iter().map(line).collect();
    lines.sort();
    lines
}

async fn command(client: &Client, db: &str, command: Document) {
    let shown = command.to_string();
    if let Err(error) = client.database(db).run_command(command).await {
        panic!("{shown}: {error}");
    }
}
