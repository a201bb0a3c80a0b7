//! Goal: a program that reads events from a socket, a pipe or a file gets every event of the tape, once
//! and in order, in the form that was asked for; it may be there first or come later, go away and be
//! followed by another; and when it does not read, the replay can still be ended.
//!
//! Method: tapes by hand are played to consumers that the test is, over real sockets. What they get is
//! decoded and compared with the tape. The tape is longer than what a unix socket holds, so that a replay is
//! never over before the consumer does what the test is about.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::iter;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, ChildStderr};

use bson::raw::RawDocumentBuf;
use bson::{Bson, Document, doc};
use changetape_core::{ChangeEvent, PublicOptions, public_event};
use changetape_testkit::samples;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::by_hand::{Taped, define, delete, insert, update};
use crate::program::{Ran, ran, run, signal, start, tape_events, text};

/// How many events there are on a long tape: more than are ever written together, and by far more than
/// a unix socket holds.
const LONG: i64 = 12_000;

/// A few events of each kind, one of which a `watch()` does not show.
fn short() -> Taped {
    Taped::of(&[
        define("create", "orders", doc! {}),
        insert("orders", doc! {"_id": 1, "price": 1.5, "at": bson::DateTime::from_millis(0)}),
        update("orders", 1, doc! {"price": 7_i64}),
        delete("orders", 1),
    ])
}

fn long() -> Taped {
    let event = |n: i64| samples::event(n.unsigned_abs(), "as long as an event of an order is");
    let events: Vec<_> = (0..LONG).map(event).collect();
    Taped::of(&events)
}

/// The numbers of the events of a long tape on these lines; the last may be incomplete.
fn numbers(lines: &str) -> Vec<i64> {
    let whole = lines.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole
        .map(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            event["documentKey"]["_id"]["$numberLong"].as_str().unwrap().parse().unwrap()
        })
        .collect()
}

/// A replay that runs, and what it says.
struct Replaying {
    child: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
}

impl Replaying {
    fn start(taped: &Taped, sink: &str, more: &[&str]) -> Self {
        let json = ["--format", "json"];
        let mut child = start(&[&taped.replay(sink, more)[..], &json].concat());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr, said: String::new() }
    }

    /// Waits for a line that contains `words`; what follows them.
    fn until_said(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.stderr.read_line(&mut line).unwrap() > 0, "no {words:?}: {}", self.said);
            self.said += &line;
            if let Some((_, after)) = line.split_once(words) {
                return after.trim_end().to_owned();
            }
        }
    }

    /// Where a replay listens that chose its port.
    fn port(&mut self) -> String {
        let after = self.until_said("listening on tcp://");
        after.split(',').next().unwrap().to_owned()
    }

    fn end(mut self) -> Ran {
        self.stderr.read_to_string(&mut self.said).unwrap();
        let mut ran = ran(self.child.wait_with_output().unwrap());
        ran.stderr = self.said;
        ran
    }
}

/// A place for a socket.
fn place() -> (TempDir, PathBuf, String) {
    let directory = tempdir().unwrap();
    let path = directory.path().join("events.sock");
    let sink = format!("unix:{}", text(&path));
    (directory, path, sink)
}

fn read(mut from: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    bytes
}

/// How many lines there are to the end.
fn lines(from: impl Read) -> usize {
    read(from).lines().count()
}

/// Takes documents apart by the lengths that they begin with.
fn documents(mut bytes: &[u8]) -> Vec<RawDocumentBuf> {
    iter::from_fn(|| (!bytes.is_empty()).then(|| RawDocumentBuf::from_reader(&mut bytes).unwrap()))
        .collect()
}

/// What a `watch()` would have shown of a tape, with the places.
fn public(events: &[RawDocumentBuf], options: PublicOptions) -> Vec<(i64, Document)> {
    let shown = (0..).zip(events).filter_map(|(seq, event)| {
        let event = ChangeEvent::from(event.as_ref());
        let event = public_event(&event, options).unwrap()?;
        Some((seq, Document::try_from(event.as_raw()).unwrap()))
    });
    shown.collect()
}

fn json(encoding: &str, document: Document) -> Value {
    match encoding {
        "relaxed" => Bson::Document(document).into_relaxed_extjson(),
        _ => Bson::Document(document).into_canonical_extjson(),
    }
}

/// A number of an envelope, in either form.
fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| value["$numberLong"].as_str().unwrap().parse().unwrap())
}

#[test]
fn what_is_written_is_the_tape_in_each_form() {
    let taped = short();
    let events = tape_events(&taped.tape);
    let file = |args: &[&str]| {
        let directory = tempdir().unwrap();
        let path = directory.path().join("out");
        taped.run(&format!("file:{}", text(&path)), args).expect_code(0);
        std::fs::read(&path).unwrap()
    };
    for encoding in ["canonical", "relaxed"] {
        let plain = String::from_utf8(file(&["--encode", encoding])).unwrap();
        let enveloped = file(&["--encode", encoding, "--envelope", "--show-expanded-events"]);
        let lines = |text: &str| -> Vec<Value> {
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let expected = public(&events, PublicOptions::plain());
        assert_eq!(expected.len(), 3);
        let expected = expected.into_iter().map(|(_, event)| json(encoding, event));
        assert_eq!(lines(&plain), expected.collect::<Vec<_>>());

        let enveloped = lines(std::str::from_utf8(&enveloped).unwrap());
        let expected =
            public(&events, PublicOptions { expanded_events: true, ..PublicOptions::plain() });
        assert_eq!(enveloped.len(), 4);
        for (line, (seq, event)) in enveloped.iter().zip(expected) {
            assert_eq!((number(&line["seq"]), &line["event"]), (seq, &json(encoding, event)));
            assert!(number(&line["due"]) <= number(&line["sent"]), "{line}");
        }
        let printed = run(&["cat", text(&taped.tape), "--encode", encoding]).expect_code(0);
        assert_eq!(printed.stdout, plain);
    }
    assert_eq!(documents(&file(&["--encode", "bson"])), events);
    let enveloped = documents(&file(&["--encode", "bson", "--envelope"]));
    for ((seq, enveloped), event) in (0..).zip(&enveloped).zip(&events) {
        assert_eq!(enveloped.get_i64("seq").unwrap(), seq);
        assert!(enveloped.get_i64("due").unwrap() <= enveloped.get_i64("sent").unwrap());
        assert_eq!(enveloped.get_document("event").unwrap().as_bytes(), event.as_bytes());
    }
    assert_eq!(enveloped.len(), events.len());
}

#[test]
fn a_consumer_that_listens_gets_everything() {
    let taped = long();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let sink = format!("tcp://{}", tcp.local_addr().unwrap());
    let replaying = Replaying::start(&taped, &sink, &[]);
    let (consumer, _) = tcp.accept().unwrap();
    let lines = String::from_utf8(read(consumer)).unwrap();
    assert!(numbers(&lines).into_iter().eq(0..LONG));
    let told = replaying.end().expect_code(0).json();
    assert_eq!((&told["ended"], &told["delivered"]), (&"end".into(), &LONG.into()));

    let (_directory, path, sink) = place();
    let unix = UnixListener::bind(&path).unwrap();
    let replaying = Replaying::start(&taped, &sink, &["--encode", "bson"]);
    let (consumer, _) = unix.accept().unwrap();
    assert_eq!(documents(&read(consumer)), tape_events(&taped.tape));
    replaying.end().expect_code(0);
}

#[test]
fn a_consumer_connects_where_the_replay_listens() {
    let taped = short();
    for sink in ["tcp://127.0.0.1:0", "tcp://[::1]:0"] {
        let mut replaying = Replaying::start(&taped, sink, &["--listen"]);
        let mut consumer = TcpStream::connect(replaying.port()).unwrap();
        // What it says nobody listens to, and it does no harm.
        consumer.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(lines(consumer), 3);
        replaying.end().expect_code(0);
    }
    let (_directory, path, sink) = place();
    // A socket that nobody has any more.
    drop(UnixListener::bind(&path).unwrap());
    let mut replaying = Replaying::start(&taped, &sink, &["--listen"]);
    replaying.until_said("listening on unix:");
    let second = taped.run(&sink, &["--listen"]).expect_code(1);
    assert!(second.sentence().contains("another program"), "{}", second.stderr);
    let consumer = UnixStream::connect(&path).unwrap();
    assert_eq!(lines(consumer), 3);
    replaying.end().expect_code(0);
    assert!(!path.exists(), "the socket is removed");
}

#[test]
fn a_consumer_that_goes_away_ends_the_replay() {
    let taped = long();
    let (_directory, path, sink) = place();
    let mut replaying = Replaying::start(&taped, &sink, &["--listen"]);
    replaying.until_said("listening on unix:");
    let mut consumer = UnixStream::connect(&path).unwrap();
    consumer.read_exact(&mut [0]).unwrap();
    drop(consumer);
    let told = replaying.end().expect_code(0).json();
    assert_eq!(told["ended"], "sinkClosed", "{told}");
    assert!((1..LONG).contains(&told["delivered"].as_i64().unwrap()), "{told}");
    assert_eq!(told["delivered"], told["reachedSeq"], "{told}");
}

/// Each consumer reads what was written to it to the end, once it has said that it will go.
#[test]
fn consumers_that_follow_one_another_get_each_event_once() {
    let taped = long();
    let wait = ["--on-disconnect", "wait"];
    for listens in [true, false] {
        let (_directory, path, sink) = place();
        let listener = (!listens).then(|| UnixListener::bind(&path).unwrap());
        let more = if listens { [&wait[..], &["--listen"]].concat() } else { wait.to_vec() };
        let mut replaying = Replaying::start(&taped, &sink, &more);
        if listens {
            replaying.until_said("listening on unix:");
        }
        let connect = || match &listener {
            None => UnixStream::connect(&path).unwrap(),
            Some(listener) => listener.accept().unwrap().0,
        };
        let mut first = connect();
        let mut lines = vec![0];
        first.read_exact(&mut lines).unwrap();
        first.shutdown(Shutdown::Write).unwrap();
        lines.extend(read(first));
        let first = numbers(std::str::from_utf8(&lines).unwrap());
        let second = numbers(std::str::from_utf8(&read(connect())).unwrap());
        assert!(!first.is_empty() && !second.is_empty(), "{} {}", first.len(), second.len());
        assert!(first.into_iter().chain(second).eq(0..LONG), "each once, in order");
        let ran = replaying.end().expect_code(0);
        assert!(ran.stderr.contains("the consumer has gone"), "{}", ran.stderr);
        assert!(ran.stderr.contains("going on at #"), "{}", ran.stderr);
        assert_eq!(ran.json()["delivered"], LONG);
    }
}

#[test]
fn a_consumer_that_is_not_there_yet_is_refused_or_waited_for() {
    let taped = short();
    let (_directory, path, sink) = place();
    let refused = taped.run(&sink, &[]).expect_code(1);
    assert!(refused.sentence().starts_with("no consumer answers at unix:"), "{}", refused.stderr);

    let wait = ["--on-disconnect", "wait"];
    let short = [&wait[..], &["--max-outage", "100ms"]].concat();
    let given_up = taped.run(&sink, &short).expect_code(1);
    assert!(given_up.sentence().contains("within 100ms (--max-outage)"), "{}", given_up.stderr);

    let mut replaying = Replaying::start(&taped, &sink, &wait);
    replaying.until_said("waiting for a consumer");
    let listener = UnixListener::bind(&path).unwrap();
    let (consumer, _) = listener.accept().unwrap();
    assert_eq!(lines(consumer), 3);
    replaying.end().expect_code(0);
}

#[test]
fn one_that_does_not_come_back_ends_the_replay_and_says_where() {
    let taped = long();
    let (_directory, path, sink) = place();
    let more = ["--listen", "--on-disconnect", "wait", "--max-outage", "100ms"];
    let mut replaying = Replaying::start(&taped, &sink, &more);
    replaying.until_said("listening on unix:");
    let mut consumer = UnixStream::connect(&path).unwrap();
    consumer.read_exact(&mut [0]).unwrap();
    drop(consumer);
    let ran = replaying.end().expect_code(1);
    let told = ran.json();
    let next = format!("replay from #{}", told["reachedSeq"]);
    assert!(ran.sentence().contains(&next), "{told}: {}", ran.stderr);
}

#[test]
fn one_sigterm_ends_a_replay_whoever_it_waits_for() {
    let taped = long();
    let (_directory, path, sink) = place();
    let listener = UnixListener::bind(&path).unwrap();
    let replaying = Replaying::start(&taped, &sink, &[]);
    let (mut consumer, _) = listener.accept().unwrap();
    consumer.read_exact(&mut [0]).unwrap();
    signal(&replaying.child, "-TERM");
    // Nobody reads on until the program has ended.
    let told = replaying.end().expect_code(130).json();
    assert_eq!(told["ended"], "stopped", "{told}");
    drop(consumer);

    let (_directory, path, sink) = place();
    let mut replaying = Replaying::start(&taped, &sink, &["--listen"]);
    replaying.until_said("listening on unix:");
    signal(&replaying.child, "-TERM");
    replaying.end().expect_code(130);
    assert!(!path.exists(), "the socket is removed");

    let mut replaying = Replaying::start(&taped, &sink, &["--on-disconnect", "wait"]);
    replaying.until_said("waiting for a consumer");
    signal(&replaying.child, "-TERM");
    replaying.end().expect_code(130);
}

#[test]
fn bad_addresses_are_refused_with_the_forms_that_there_are() {
    let taped = short();
    for sink in ["tcp://", "tcp://db1", "tcp://db1:http", "tcp://::1:9000", "unix:", "udp://db1:1"]
    {
        let refused = taped.run(sink, &[]).expect_code(2);
        let sentence = refused.sentence();
        assert!(sentence.contains("tcp://HOST:PORT, unix:PATH"), "{sink}: {sentence}");
    }
    let directory = tempdir().unwrap();
    let path = directory.path().join("precious");
    std::fs::write(&path, "precious").unwrap();
    let refused = taped.run(&format!("unix:{}", text(&path)), &["--listen"]).expect_code(2);
    assert!(refused.sentence().contains("is no socket"), "{}", refused.stderr);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    for more in [["--encode", "xml"], ["--on-disconnect", "retry"]] {
        taped.run("null:", &more).expect_code(2);
    }
}

/// It makes no connection, and leaves no socket.
#[test]
fn a_dry_run_needs_no_consumer() {
    let taped = short();
    let (_directory, path, sink) = place();
    for more in [&["--dry-run"][..], &["--dry-run", "--listen"]] {
        let told = taped.run(&sink, more).expect_code(0).json();
        assert_eq!((&told["events"], &told["hidden"]), (&3.into(), &1.into()), "{told}");
        assert!(!path.exists());
    }
}
