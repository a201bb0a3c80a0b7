//! Goal: what a newcomer's `watch()` prints, `changetape cat` prints too, line for line.
//! Method: the scripts of `examples/python/` run with pymongo on a real server. Three
//! `watch.py`, one for each way to open a stream, have their cursors open before `orders.py`
//! writes; the same time is then recorded three times with the same options, and each tape
//! is compared with what its script printed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use changetape_testkit::{ReplicaSet, present, python, workspace_directory};

use crate::{program, stream};

/// The ways to open a stream; `watch.py` and `changetape record` call them the same.
const WAYS: [&[&str]; 3] = [
    &[],
    &["--full-document", "updateLookup"],
    &["--full-document", "required", "--full-document-before-change", "required"],
];

/// How long Python may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn watch_and_cat_print_the_same() {
    let set = ReplicaSet::single().start().await.unwrap();
    let client = set.client().unwrap();
    let since = present(&client).await.unwrap().successor().to_string();

    let watchers = WAYS.map(|options| Watcher::start(&set.uri(), options));
    let orders = script("orders.py").arg(set.uri()).status().unwrap();
    assert!(orders.success(), "orders.py failed: {orders}");

    let directory = tempfile::tempdir().unwrap();
    for (number, (options, watcher)) in WAYS.iter().zip(watchers).enumerate() {
        let tape = directory.path().join(number.to_string());
        let tape = program::text(&tape);
        let uri = set.uri();
        let mut record = vec!["record", &uri, tape, "--since", &since, "--stop-when-idle", "1s"];
        record.extend_from_slice(options);
        program::run(&record).expect_code(0);
        let printed = program::run(&["cat", tape, "--include", "shop.orders"]).expect_code(0);
        let expected: Vec<_> = printed.stdout.lines().collect();
        assert!(expected.len() > 30, "only {} events on the tape", expected.len());
        let watched = watcher.lines(expected.len());
        for (event, (watched, expected)) in watched.iter().zip(&expected).enumerate() {
            if stream::splits(&client).await {
                // The recorder's stream has a stage with which tokens have another form.
                let (watched, expected) = (around_token(watched), around_token(expected));
                assert_eq!(watched, expected, "event {event} with {options:?}");
            } else {
                assert_eq!(watched, expected, "event {event} with {options:?}");
            }
        }
        assert_eq!(watched.len(), expected.len(), "with {options:?}");
    }
}

/// What stands before and behind the token of a printed event.
fn around_token(line: &str) -> (&str, &str) {
    let (before, token) = line.split_once(r#""_id":{"_data":"#).unwrap();
    (before, token.split_once('}').unwrap().1)
}

/// A `watch.py` that runs until this is dropped.
struct Watcher {
    process: Child,
    lines: Receiver<String>,
}

impl Watcher {
    /// Starts it and waits until its cursor is open.
    fn start(uri: &str, options: &[&str]) -> Self {
        let mut process = script("watch.py")
            .arg(uri)
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let messages = lines(process.stderr.take().unwrap());
        let lines = lines(process.stdout.take().unwrap());
        let watcher = Self { process, lines };
        let mut seen = Vec::new();
        while seen.last().is_none_or(|line| line != "watching") {
            match messages.recv_timeout(PATIENCE) {
                Ok(line) => seen.push(line),
                Err(error) => panic!("watch.py is not watching ({error}): {}", seen.join("\n")),
            }
        }
        watcher
    }

    /// So many lines, and any that came with them, though none should.
    fn lines(self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.len() < count {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => lines.push(line),
                Err(error) => panic!("{} of {count} lines ({error})", lines.len()),
            }
        }
        lines.extend(self.lines.try_iter());
        lines
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Lines as they come, for reading with a deadline.
fn lines(stream: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    receive
}

/// One of the scripts, with the packages that it needs.
fn script(name: &str) -> Command {
    let directory: &Path = &workspace_directory().join("examples/python");
    let mut command = Command::new("python3");
    command
        .arg(directory.join(name))
        .env("PYTHONPATH", python::packages_for_examples().unwrap())
        .env("PYTHONIOENCODING", "utf-8")
        .stdin(Stdio::null());
    command
}
