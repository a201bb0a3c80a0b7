//! Goal: what comes out of a whole replay (tape, two threads, sink) is what was asked for.
//!
//! Method: small tapes, written with the tape's own writer, are played into a file, which is
//! then read back; and into a sink that stops the replay in the middle.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says what it expects, and a panic is how it fails; helpers included"
)]

use std::path::{Path, PathBuf};
use std::sync::mpsc;

use bson::raw::RawDocumentBuf;
use bson::{DateTime, Timestamp, rawdoc};
use changetape_core::{Arrival, NamespaceFilter, OperationType, Position, Seq};
use changetape_replayer::sink::Taken;
use changetape_replayer::sink::null::NullSink;
use changetape_replayer::sink::stream::{Form, StreamSink};
use changetape_replayer::{
    AtDamage, Command, Control, Ended, Error, Laps, Missing, NamespaceMap, Outgoing, Overwrite,
    Progress, Replay, ReplayOptions, SeekTo, Selection, Sink, Speed, Stop, Summary, Tally,
};
use changetape_tape::{Batch, TapeOptions, TapeReader, TapeWriter};
use changetape_testkit::samples;
use tempfile::TempDir;

/// A tape of events a millisecond apart, in batches of `batch`.
struct Tape {
    directory: TempDir,
    path: PathBuf,
}

impl Tape {
    fn of(events: &[RawDocumentBuf], batch: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.tape");
        let mut writer = TapeWriter::create(&path, samples::metadata()).unwrap();
        for events in events.chunks(batch) {
            append(&mut writer, events);
        }
        writer.close().unwrap();
        Self { directory, path }
    }

    fn reader(&self) -> TapeReader {
        TapeReader::open(&self.path).unwrap()
    }

    fn out(&self) -> PathBuf {
        self.directory.path().join("out.ndjson")
    }

    /// Plays at full speed into a file and returns the `n` of each event that came out.
    fn play(&self, selection: Selection, map: NamespaceMap) -> (Summary, Vec<String>) {
        let sink = StreamSink::create(&self.out(), Overwrite::Always, Form::default()).unwrap();
        let options =
            ReplayOptions { selection, speed: Speed::Max, map, ..ReplayOptions::default() };
        let replay = Replay::new(self.reader(), options, Box::new(sink));
        let progress = Progress::default();
        let summary = replay.run(&progress, &Stop::default()).unwrap();
        assert_eq!(progress.events(), summary.delivered);
        assert_eq!(progress.reached(), summary.range.end);
        (summary, lines(&self.out()))
    }
}

fn append(writer: &mut TapeWriter, events: &[RawDocumentBuf]) {
    let events: Vec<_> = events.iter().map(AsRef::as_ref).collect();
    let (token, arrival) = (samples::token(0), Arrival::default());
    writer.append(&Batch { events: &events, token: &token, arrival }).unwrap();
}

const START: i64 = 1_772_366_400_000;

fn event(n: u32) -> RawDocumentBuf {
    let id = n.cast_signed();
    let operation = ["insert", "update", "create", "delete"][n as usize % 4];
    let coll = if n.is_multiple_of(2) { "even" } else { "odd" };
    let mut event = rawdoc! {
        "_id": {"_data": "826B02A9B5000000132B022C0100296F04"},
        "operationType": operation,
        "clusterTime": Timestamp { time: 1_772_366_400, increment: n },
        "wallTime": DateTime::from_millis(START + i64::from(n)),
        "ns": {"db": "shop", "coll": coll},
        "documentKey": {"_id": id},
    };
    if operation == "update" {
        let update = rawdoc! {"$v": 2, "diff": {"u": {"x": id}}};
        event.append(bson::cstr!("rawUpdateDescription"), update);
    }
    event
}

fn events(count: u32) -> Vec<RawDocumentBuf> {
    (0..count).map(event).collect()
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// The numbers of the events on these lines.
fn numbers(lines: &[String]) -> Vec<u64> {
    let number = |line: &String| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        event["documentKey"]["_id"]["$numberInt"].as_str().unwrap().parse().unwrap()
    };
    lines.iter().map(number).collect()
}

#[test]
fn everything_comes_out_once_and_in_order() {
    let tape = Tape::of(&events(5_000), 7);
    let (summary, lines) = tape.play(Selection::default(), NamespaceMap::default());
    let shown: Vec<u64> = (0..5_000).filter(|n| n % 4 != 2).collect();
    assert_eq!(numbers(&lines), shown);
    assert_eq!(summary.ended, Ended::AtTheEnd);
    assert_eq!((summary.selected, summary.delivered, summary.hidden), (5_000, 3_750, 1_250));
    assert_eq!(summary.reached, Seq::new(5_000));
    let (first, last) = summary.tape_time.unwrap();
    assert_eq!((first.as_millis(), last.as_millis()), (START, START + 4_999));
    assert!(summary.fidelity.is_none());
    assert!(lines[1].contains(r#""updateDescription":{"updatedFields":{"x":"#), "{}", lines[1]);
}

/// Three segments, one damaged: the events of the others come out.
#[test]
fn a_damaged_segment_is_skipped_and_the_others_are_played() {
    let tape = Tape::of(&[], 1);
    let batches = [0..100, 100..200, 200..300];
    for batch in batches.clone() {
        let options = TapeOptions { segment_size: 1, ..TapeOptions::default() };
        let mut writer = options.open(&tape.path).unwrap();
        append(&mut writer, &batch.map(event).collect::<Vec<_>>());
        writer.close().unwrap();
    }
    let entries = std::fs::read_dir(tape.path.join("segments")).unwrap();
    let mut segments: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    assert_eq!(segments.len(), batches.len());
    let play = || {
        let sink = StreamSink::create(&tape.out(), Overwrite::Always, Form::default()).unwrap();
        let missing = Missing { damage: AtDamage::Skip, ..Missing::default() };
        let options = ReplayOptions { speed: Speed::Max, missing, ..ReplayOptions::default() };
        let replay = Replay::new(tape.reader(), options, Box::new(sink));
        let summary = replay.run(&Progress::default(), &Stop::default()).unwrap();
        (numbers(&lines(&tape.out())), summary)
    };
    for (segment, lost) in segments.iter().zip(batches) {
        let whole = std::fs::read(segment).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for damaged in [Some(&flipped[..]), Some(&whole[..whole.len() / 2]), None] {
            match damaged {
                Some(bytes) => std::fs::write(segment, bytes).unwrap(),
                None => std::fs::remove_file(segment).unwrap(),
            }
            let (played, summary) = play();
            let lost = u64::from(lost.start)..u64::from(lost.end);
            // Events of some kinds are not shown.
            let kept = (0..300).filter(|n| n % 4 != 2 && !lost.contains(n));
            assert_eq!(played, kept.clone().collect::<Vec<_>>());
            assert_eq!((summary.skipped_events(), summary.ended), (100, Ended::AtTheEnd));
            // What lies behind a range is not read.
            let end = Some(Position::Seq(Seq::new(lost.start)));
            let before = Selection { end, ..Selection::default() };
            let (summary, lines) = tape.play(before, NamespaceMap::default());
            assert_eq!(summary.read, lost.start);
            assert_eq!(numbers(&lines), kept.take_while(|n| *n < lost.start).collect::<Vec<_>>());
        }
        std::fs::write(segment, whole).unwrap();
        assert_eq!(play().1.skipped_events(), 0);
    }
}

#[test]
fn a_selection_is_half_open_and_filters() {
    let tape = Tape::of(&events(1_000), 64);
    let selection = |start: &str, end: &str| Selection {
        start: Some(start.parse().unwrap()),
        end: Some(end.parse().unwrap()),
        ..Selection::default()
    };
    let inserts = || Selection {
        operations: vec![OperationType::Insert],
        ..selection("2026-03-01T12:00:00.100Z", "#121")
    };
    let (summary, lines) = tape.play(inserts(), NamespaceMap::default());
    assert_eq!(numbers(&lines), [100, 104, 108, 112, 116, 120]);
    assert_eq!((summary.read, summary.selected), (21, 6));
    assert_eq!(summary.range, Seq::new(100)..Seq::new(121));

    let odd = NamespaceFilter { include: vec!["*.odd".parse().unwrap()], exclude: vec![] };
    let selection = Selection { namespaces: odd, ..selection("1772366400:990", "1772366400:996") };
    let (_, lines) = tape.play(selection, NamespaceMap::default());
    assert_eq!(numbers(&lines), [991, 993, 995]);
}

#[test]
fn a_range_without_events_ends_at_once() {
    let tape = Tape::of(&events(10), 10);
    for (start, end) in
        [("#5", "#5"), ("#8", "#2"), ("#10", "#20"), ("2030-01-01T00:00:00Z", "#10")]
    {
        let selection = Selection {
            start: Some(start.parse().unwrap()),
            end: Some(end.parse().unwrap()),
            ..Selection::default()
        };
        let (summary, lines) = tape.play(selection, NamespaceMap::default());
        assert_eq!((summary.selected, lines.len()), (0, 0), "{start} to {end}");
        assert_eq!(summary.range.start, summary.range.end, "{start} to {end}");
        assert_eq!(summary.ended, Ended::AtTheEnd);
    }
    let empty = Tape::of(&[], 1);
    let (summary, _) = empty.play(Selection::default(), NamespaceMap::default());
    assert_eq!((summary.read, summary.tape_time), (0, None));
}

#[test]
fn events_are_printed_under_their_new_names() {
    let tape = Tape::of(&events(8), 8);
    let map = NamespaceMap::parse(["shop.odd=test.strange"]).unwrap();
    let (_, lines) = tape.play(Selection::default(), map);
    assert!(lines[0].contains(r#""ns":{"db":"shop","coll":"even"}"#), "{}", lines[0]);
    assert!(lines[1].contains(r#""ns":{"db":"test","coll":"strange"}"#), "{}", lines[1]);
}

#[test]
fn a_mapping_that_would_merge_collections_fails_at_the_event_that_shows_it() {
    let tape = Tape::of(&events(8), 8);
    let map = NamespaceMap::parse(["shop.odd=shop.even"]).unwrap();
    let options = ReplayOptions { speed: Speed::Max, map, ..ReplayOptions::default() };
    let replay = Replay::new(tape.reader(), options, Box::new(NullSink));
    let error = replay.run(&Progress::default(), &Stop::default()).unwrap_err();
    assert!(matches!(error, Error::MapCollision { seq, .. } if seq == Some(Seq::ZERO)), "{error}");
}

/// Requests a stop as soon as it has been given so many events.
struct Stopping {
    stop: Stop,
    after: u64,
    seen: u64,
}

impl Sink for Stopping {
    fn deliver(
        &mut self,
        due: &[Outgoing<'_>],
        _tally: &mut Tally,
        _stop: &Stop,
    ) -> Result<Taken, Error> {
        self.seen += 1;
        if self.seen == self.after {
            self.stop.request();
        }
        assert!(!due.is_empty());
        Ok(Taken::Events(1))
    }
}

#[test]
fn a_stop_ends_the_replay_where_it_is_also_in_a_long_pause() {
    let mut events = events(20);
    // The last event comes a day after the others.
    let mut late = rawdoc! {"operationType": "insert", "ns": {"db": "shop", "coll": "even"}};
    late.append(bson::cstr!("wallTime"), DateTime::from_millis(START + 86_400_000));
    events.push(late);
    let tape = Tape::of(&events, 4);
    for (after, speed) in [(5, Speed::Max), (20, Speed::Factor(100.0))] {
        let stop = Stop::default();
        let sink = Stopping { stop: stop.clone(), after, seen: 0 };
        let options = ReplayOptions { speed, ..ReplayOptions::default() };
        let replay = Replay::new(tape.reader(), options, Box::new(sink));
        let summary = replay.run(&Progress::default(), &stop).unwrap();
        assert_eq!(summary.ended, Ended::Stopped);
        assert_eq!((summary.delivered, summary.reached), (after, Seq::new(after)));
    }
}

#[test]
fn what_was_read_is_counted_once_also_where_a_lap_is_broken_off() {
    let tape = Tape::of(&events(1_000), 100);
    let stop = Stop::default();
    let sink = Stopping { stop: stop.clone(), after: 5_000, seen: 0 };
    let options =
        ReplayOptions { speed: Speed::Max, laps: Laps::Endless, ..ReplayOptions::default() };
    let replay = Replay::new(tape.reader(), options, Box::new(sink));
    let summary = replay.run(&Progress::default(), &stop).unwrap();
    assert_eq!((summary.delivered, summary.ended), (5_000, Ended::Stopped));
    assert!(summary.read >= summary.delivered);
    assert_eq!(summary.read, summary.selected);
}

#[test]
fn a_paced_replay_takes_its_time_and_is_never_early() {
    let tape = Tape::of(&events(100), 10);
    let options = ReplayOptions { speed: Speed::Factor(2.0), ..ReplayOptions::default() };
    let replay = Replay::new(tape.reader(), options, Box::new(NullSink));
    let summary = replay.run(&Progress::default(), &Stop::default()).unwrap();
    // From the first event to the last it is 99 ms, at twice the speed 49.5 ms.
    assert!(summary.elapsed.as_micros() >= 49_500, "{:?}", summary.elapsed);
    assert_eq!(summary.delivered, 100);
    assert!(summary.fidelity.is_some());
}

/// Asks for another place with the first event that it gets, which leaves alone, and then plays on.
struct Seeking {
    control: Control,
    to: Option<Seq>,
    got: mpsc::Sender<u64>,
}

impl Sink for Seeking {
    fn deliver(
        &mut self,
        due: &[Outgoing<'_>],
        _tally: &mut Tally,
        _stop: &Stop,
    ) -> Result<Taken, Error> {
        for outgoing in due {
            self.got.send(outgoing.seq.get()).unwrap();
        }
        if let Some(to) = self.to.take() {
            self.control.ask(Command::Seek(SeekTo::Position(Position::Seq(to))));
            self.control.ask(Command::Resume);
        }
        Ok(Taken::Events(due.len()))
    }
}

/// Laps that were read ahead when somebody goes elsewhere have not been played, and a part of a lap in
/// which nothing is selected is not the end.
#[test]
fn every_lap_is_played_wherever_somebody_goes_in_one() {
    let tape = Tape::of(&events(6), 2);
    for (to, expected) in [
        (0, vec![0, 0, 2, 4, 0, 2, 4, 0, 2, 4]),
        (4, vec![0, 4, 0, 2, 4, 0, 2, 4]),
        (5, vec![0, 0, 2, 4, 0, 2, 4]),
    ] {
        let (control, (got, seen)) = (Control::default(), mpsc::channel());
        let sink = Seeking { control: control.clone(), to: Some(Seq::new(to)), got };
        let even = NamespaceFilter { include: vec!["*.even".parse().unwrap()], exclude: vec![] };
        let options = ReplayOptions {
            selection: Selection { namespaces: even, ..Selection::default() },
            laps: Laps::Times(3.try_into().unwrap()),
            ..ReplayOptions::default()
        };
        control.ask(Command::Step(1));
        let replay = Replay::new(tape.reader(), options, Box::new(sink)).with_control(control);
        let summary = replay.run(&Progress::default(), &Stop::default()).unwrap();
        assert_eq!(seen.iter().collect::<Vec<_>>(), expected, "to #{to}");
        assert_eq!(summary.delivered, expected.len() as u64);
    }
}
