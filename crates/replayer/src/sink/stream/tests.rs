//! Goal: each sink writes what it is offered and says exactly how much of that it has written, however
//! it comes to an end.
//!
//! Method: real files, pipes and sockets; what a consumer does, and when, the test decides.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use bson::rawdoc;
use changetape_core::{ChangeEvent, Seq};
use changetape_testkit::samples;
use tempfile::TempDir;

use super::*;
use crate::Transaction;
use crate::clock::Instant;

/// Events that are all of one length.
fn events(seqs: std::ops::Range<u64>) -> Vec<Outgoing<'static>> {
    seqs.map(|n| Outgoing {
        seq: Seq::new(n),
        event: ChangeEvent::from(rawdoc! {"operationType": "insert", "n": n.cast_signed()}),
        transaction: Transaction::None,
        due: Instant::default(),
    })
    .collect()
}

/// A line of them.
fn line(n: u64) -> String {
    format!(r#"{{"operationType":"insert","n":{{"$numberLong":"{n}"}}}}"#)
}

fn deliver(sink: &mut StreamSink, due: &[Outgoing<'_>]) -> Result<Taken, Error> {
    sink.deliver(due, &mut Tally::default(), &Stop::default())
}

#[test]
fn a_file_gets_each_event_and_is_not_overwritten_unless_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.ndjson");
    let create = |path, overwrite| StreamSink::create(path, overwrite, Form::default());
    let mut sink = create(&path, Overwrite::Never).unwrap();
    sink.begin(&samples::metadata()).unwrap();
    assert_eq!(deliver(&mut sink, &events(0..2)).unwrap(), Taken::Events(2));
    let written = [line(0), line(1), String::new()].join("\n");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), written);
    let error = create(&path, Overwrite::Never).unwrap_err();
    assert!(matches!(error, Error::FileExists { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), written);
    create(&path, Overwrite::Always).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
    let nowhere = directory.path().join("no/such/directory");
    assert!(matches!(create(&nowhere, Overwrite::Never), Err(Error::Write { .. })));
}

#[test]
fn a_full_disk_fails_the_replay() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut sink = StreamSink::new(Form::default(), Outlet::file(full, "test"));
    assert!(matches!(deliver(&mut sink, &events(0..1)), Err(Error::Write { .. })));
}

#[test]
fn a_reader_that_goes_away_ends_the_replay_and_what_it_got_whole_counts() {
    let (reader, writer) = io::pipe().unwrap();
    let file = File::from(std::os::fd::OwnedFd::from(writer));
    let mut sink = StreamSink::new(Form::default(), Outlet::file(file, "test"));
    // More than a pipe holds: the write lasts until the reader goes away.
    let due = events(0..(8 << 20) / line(0).len() as u64);
    let delivering = std::thread::spawn(move || {
        let taken = deliver(&mut sink, &due).unwrap();
        (taken, deliver(&mut sink, &due[1..]).unwrap())
    });
    let mut lines = BufReader::new(reader);
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    assert_eq!(first, line(0) + "\n");
    drop(lines);
    let (taken, afterwards) = delivering.join().unwrap();
    assert!(matches!(taken, Taken::Events(n) if n > 0), "{taken:?}");
    assert_eq!(afterwards, Taken::Closed);
}

/// A sink that listens, and where.
struct Listening {
    sink: StreamSink,
    path: PathBuf,
    _directory: TempDir,
}

impl Listening {
    fn new(on_disconnect: OnDisconnect, max_outage: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.sock");
        let address = SocketAddress::Unix(path.clone());
        let consumers = Consumers::new(&address, Role::Listen, on_disconnect, max_outage).unwrap();
        let sink = StreamSink::to(consumers, Form::default(), Stop::default());
        Self { sink, path, _directory: directory }
    }

    /// One that somebody has connected to.
    fn with_consumer(on_disconnect: OnDisconnect) -> (Self, UnixStream) {
        let mut listening = Self::new(on_disconnect, MAX_OUTAGE);
        let consumer = UnixStream::connect(&listening.path).unwrap();
        listening.sink.begin(&samples::metadata()).unwrap();
        (listening, consumer)
    }
}

fn read_lines(consumer: &mut UnixStream, expected: impl Iterator<Item = u64>) {
    for n in expected {
        let expected = line(n) + "\n";
        let mut got = vec![0; expected.len()];
        consumer.read_exact(&mut got).unwrap();
        assert_eq!(String::from_utf8(got).unwrap(), expected);
    }
}

#[test]
fn the_next_consumer_goes_on_where_the_first_has_read_to() {
    let (mut listening, mut first) = Listening::with_consumer(OnDisconnect::Wait);
    assert_eq!(deliver(&mut listening.sink, &events(0..3)).unwrap(), Taken::Events(3));
    read_lines(&mut first, 0..3);
    drop(first);
    let mut second = UnixStream::connect(&listening.path).unwrap();
    assert_eq!(deliver(&mut listening.sink, &events(3..5)).unwrap(), Taken::Events(2));
    read_lines(&mut second, 3..5);
    drop(listening);
    assert_eq!(second.read(&mut [0]).unwrap(), 0, "nothing follows");
}

#[test]
fn an_event_that_was_cut_is_written_again_as_a_whole() {
    let (mut listening, mut first) = Listening::with_consumer(OnDisconnect::Wait);
    // More than a socket holds.
    let count = (8 << 20) / line(0).len() as u64;
    let path = listening.path.clone();
    let delivering = std::thread::spawn(move || {
        let (due, mut done) = (events(0..count), Vec::new());
        while done.iter().sum::<usize>() < due.len() {
            let from = done.iter().sum();
            let Taken::Events(more) = deliver(&mut listening.sink, &due[from..]).unwrap() else {
                unreachable!("somebody is waited for");
            };
            done.push(more);
        }
        done
    });
    read_lines(&mut first, 0..1);
    drop(first);
    let mut second = UnixStream::connect(&path).unwrap();
    let mut text = String::new();
    second.read_to_string(&mut text).unwrap();
    let done = delivering.join().unwrap();
    assert_eq!(done.len(), 2, "{done:?}");
    let expected: Vec<String> = (done[0] as u64..count).map(line).collect();
    assert!(text.lines().eq(&expected), "all that follows, whole lines");
}

#[test]
fn a_consumer_that_ends_its_own_direction_reads_on_or_is_followed_by_the_next() {
    for on_disconnect in [OnDisconnect::Stop, OnDisconnect::Wait] {
        let (mut listening, mut first) = Listening::with_consumer(on_disconnect);
        let mut second = UnixStream::connect(&listening.path).unwrap();
        assert_eq!(deliver(&mut listening.sink, &events(0..1)).unwrap(), Taken::Events(1));
        first.shutdown(Shutdown::Write).unwrap();
        assert_eq!(deliver(&mut listening.sink, &events(1..2)).unwrap(), Taken::Events(1));
        read_lines(&mut first, 0..1);
        match on_disconnect {
            OnDisconnect::Stop => read_lines(&mut first, 1..2),
            OnDisconnect::Wait => {
                assert_eq!(first.read(&mut [0]).unwrap(), 0);
                read_lines(&mut second, 1..2);
            }
        }
    }
}

#[test]
fn a_consumer_that_goes_away_ends_the_replay_unless_the_next_is_waited_for() {
    let (mut listening, consumer) = Listening::with_consumer(OnDisconnect::Stop);
    drop(consumer);
    assert_eq!(deliver(&mut listening.sink, &events(0..1)).unwrap(), Taken::Closed);

    let mut listening = Listening::new(OnDisconnect::Wait, Duration::from_millis(1));
    let consumer = UnixStream::connect(&listening.path).unwrap();
    listening.sink.begin(&samples::metadata()).unwrap();
    drop(consumer);
    let error = deliver(&mut listening.sink, &events(7..8)).unwrap_err();
    assert!(matches!(error, Error::NoConsumer { next: Some(_), .. }), "{error}");
    assert!(error.to_string().contains("everything before #7 was written"), "{error}");
}

#[test]
fn every_wait_ends_when_a_stop_is_requested() {
    let stop = Stop::default();
    stop.request();
    // For the first.
    let mut listening = Listening::new(OnDisconnect::Stop, MAX_OUTAGE);
    listening.sink.stop = stop.clone();
    listening.sink.begin(&samples::metadata()).unwrap();
    // For the next.
    let (mut listening, consumer) = Listening::with_consumer(OnDisconnect::Wait);
    drop(consumer);
    let deliver =
        |sink: &mut StreamSink, due: &[_]| sink.deliver(due, &mut Tally::default(), &stop);
    assert_eq!(deliver(&mut listening.sink, &events(0..1)).unwrap(), Taken::Stopped);
    // For one that does not listen yet.
    let (directory, wait) = (tempfile::tempdir().unwrap(), OnDisconnect::Wait);
    let address = SocketAddress::Unix(directory.path().join("nobody.sock"));
    let consumers = Consumers::new(&address, Role::Connect, wait, MAX_OUTAGE).unwrap();
    let mut sink = StreamSink::to(consumers, Form::default(), stop.clone());
    sink.begin(&samples::metadata()).unwrap();
}

#[test]
fn a_consumer_that_does_not_read_is_not_waited_for_after_a_stop() {
    let (mut listening, mut consumer) = Listening::with_consumer(OnDisconnect::Stop);
    let count = (8 << 20) / line(0).len() as u64;
    let stop = Stop::default();
    let delivering = std::thread::spawn({
        let stop = stop.clone();
        move || {
            let due = events(0..count);
            listening.sink.deliver(&due, &mut Tally::default(), &stop).unwrap()
        }
    });
    read_lines(&mut consumer, 0..1);
    stop.request();
    let taken = delivering.join().unwrap();
    let Taken::Events(taken) = taken else { panic!("{taken:?}") };
    assert!(taken > 0 && (taken as u64) < count, "{taken}");
    let mut text = String::new();
    consumer.read_to_string(&mut text).unwrap();
    // One more may be there in part: it was being written when nobody read on.
    assert_eq!(text.matches('\n').count(), taken - 1);
}
