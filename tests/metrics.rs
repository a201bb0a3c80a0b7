//! Goal: whoever watches a recorder from outside sees it work, and sees it lose its source.
//!
//! Method: a recorder serves its pages on a port that the system chooses and its log names; they
//! are fetched over plain TCP while documents are written, after the server is killed, and after
//! it is back. Addresses that cannot be had are refused before there is a tape.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Child;
use std::time::{Duration, Instant};

use bson::{Document, doc};
use changetape_testkit::ReplicaSet;
use tempfile::tempdir;

use crate::program::{run, start, tape_events, text};

/// A recorder with `--metrics`, killed when the test ends.
struct Recorder {
    process: Child,
    address: String,
}

impl Recorder {
    fn start(uri: &str, tape: &str) -> Self {
        let mut process = start(&["record", uri, tape, "--metrics", "0"]);
        let mut stderr = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("metrics are at http://") {
            line.clear();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "the log ends before the address");
        }
        // Read on, or the recorder would wait for room to write.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        let (_, after) = line.split_once("metrics are at http://").unwrap();
        let (address, _) = after.split_once('/').unwrap();
        Self { process, address: address.to_owned() }
    }

    /// The status and the text of a page.
    fn get(&self, path: &str) -> (u16, String) {
        let mut connection = TcpStream::connect(&self.address).unwrap();
        write!(connection, "GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), text.to_owned())
    }

    /// The figures of `/metrics`, by their names without what all have in common.
    fn figures(&self) -> BTreeMap<String, f64> {
        let (status, page) = self.get("/metrics");
        assert_eq!(status, 200, "{page}");
        let values = page.lines().filter(|line| !line.starts_with('#'));
        let figure = |line: &str| {
            let (name, value) = line.strip_prefix("changetape_recorder_")?.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        values.map(|line| figure(line).unwrap_or_else(|| panic!("{line:?}"))).collect()
    }

    /// Waits until the figures are as they should be.
    fn until(&self, what: &str, holds: impl Fn(&BTreeMap<String, f64>) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let figures = self.figures();
            if holds(&figures) {
                return;
            }
            assert!(Instant::now() < deadline, "not {what}: {figures:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until `/healthz` answers with a status, and returns what it says.
    fn until_health(&self, status: u16) -> String {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let (found, sentence) = self.get("/healthz");
            if found == status {
                return sentence;
            }
            assert!(Instant::now() < deadline, "still {found}: {sentence}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has noticed then.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_and_health_follow_the_recording_and_its_source() {
    let mut source = ReplicaSet::single().start().await.unwrap();
    let client = source.client().unwrap();
    let coll = client.database("shop").collection::<Document>("c");
    let directory = tempdir().unwrap();
    let tape = directory.path().join("watched.tape");
    let recorder = Recorder::start(&source.uri(), text(&tape));
    let is = |state: &'static str| {
        move |figures: &BTreeMap<String, f64>| figures[&format!("state{{state=\"{state}\"}}")] > 0.5
    };
    recorder.until("recording", is("recording"));
    assert_eq!(recorder.get("/healthz"), (200, "recording\n".to_owned()));
    let figures = recorder.figures();
    assert_eq!((figures["events_total"], figures.get("last_durable_seq")), (0.0, None));

    coll.insert_many((0..50).map(|n| doc! {"_id": n})).await.unwrap();
    // The collection was created, too.
    recorder.until("all recorded", |figures| figures["events_total"] >= 51.0);
    let figures = recorder.figures();
    assert_eq!((figures["events_total"], figures["last_durable_seq"]), (51.0, 50.0));
    assert!(figures["bytes_total"] > 51.0 * 100.0, "{figures:?}");
    assert!(figures["lag_seconds"] < 60.0, "{figures:?}");
    assert!(figures["last_event_timestamp_seconds"] <= figures["reached_timestamp_seconds"]);
    recorder.until("the oplog known", |figures| figures.contains_key("oplog_left_seconds"));
    assert!(recorder.figures()["oplog_left_seconds"] < 600.0, "{figures:?}");

    source.kill(0);
    recorder.until("waiting", is("waiting"));
    recorder.until("a retry", |figures| figures["retries_total"] >= 1.0);
    let reason = recorder.until_health(503);
    assert!(reason.starts_with("waiting for the source for "), "{reason}");
    let figures = recorder.figures();
    assert!(figures["source_away_seconds"] > 10.0, "{figures:?}");
    assert_eq!((figures["events_total"], figures.get("lag_seconds")), (51.0, None));

    source.restart(0).await.unwrap();
    source.primary().await.unwrap();
    assert_eq!(recorder.until_health(200), "recording\n");
    coll.insert_one(doc! {"_id": 50}).await.unwrap();
    recorder.until("recorded", |figures| figures["events_total"] >= 52.0);
    let figures = recorder.figures();
    assert_eq!((figures["events_total"], figures["reconnects_total"]), (52.0, 1.0));
    drop(recorder);
    assert_eq!(tape_events(&tape).len(), 52);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_read_is_left_out_and_the_rest_is_there() {
    let source = ReplicaSet::single().auth(true).start().await.unwrap();
    let admin = source.client().unwrap().database("admin");
    for (user, roles, is_known) in [
        ("reader", vec!["readAnyDatabase"], false),
        ("monitor", vec!["readAnyDatabase", "clusterMonitor"], true),
    ] {
        let create = doc! {"createUser": user, "pwd": "x", "roles": roles};
        admin.run_command(create).await.unwrap();
        let directory = tempdir().unwrap();
        let tape = directory.path().join("watched.tape");
        let recorder = Recorder::start(&source.uri_as(user, "x"), text(&tape));
        recorder.until("reading", |figures| figures.contains_key("lag_seconds"));
        if is_known {
            recorder.until("the oplog known", |f| f.contains_key("oplog_left_seconds"));
        } else {
            assert!(!recorder.figures().contains_key("oplog_left_seconds"));
        }
    }
}

#[test]
fn an_address_that_cannot_be_had_is_refused_before_anything_is_recorded() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let directory = tempdir().unwrap();
    let tape = directory.path().join("never.tape");
    for address in [taken.as_str(), "nowhere.invalid:9400"] {
        let ran = run(&["record", "mongodb://127.0.0.1:1", text(&tape), "--metrics", address]);
        let ran = ran.expect_code(1);
        assert!(ran.sentence().starts_with("cannot serve metrics at "), "{}", ran.sentence());
        assert!(ran.sentence().contains(address), "{}", ran.sentence());
        assert!(!tape.exists());
    }
}
