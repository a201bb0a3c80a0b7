//! Goal: what is not asked for is not read. Opening a tape and telling what is on it reads no event;
//! finding a place in time reads the one block that holds it; and reading a part of a tape, its
//! blocks.
//! Method: tapes of segments of several blocks, with a wall clock that runs backwards now and then.
//! Every block that should not be read is overwritten with garbage; the answers are as before. The
//! seed is printed.

use bson::raw::RawDocumentBuf;
use bson::{DateTime, cstr};
use changetape_core::{ChangeEvent, Position, Seq, WallTime};
use changetape_tape::TapeReader;

use crate::image::{Image, Placed};
use crate::samples;

/// The events of a segment, of four blocks.
const SEGMENT: usize = 8;

const END: u64 = 40;

/// Before this event there is a gap.
const GAP_AT: u64 = 16;

/// So much of text in an event that two events fill a block.
const LONG: usize = 100_000;

/// The event at a place, made long and with a wall time of its own.
fn long_event(n: u64, wall_millis: i64) -> RawDocumentBuf {
    let mut event = RawDocumentBuf::new();
    for (name, value) in samples::event(n).iter().map(Result::unwrap) {
        if name == "wallTime" {
            event.append(name, DateTime::from_millis(wall_millis));
        } else {
            event.append(name, value);
        }
    }
    event.append(cstr!("pad"), "x".repeat(LONG));
    event
}

/// A closed tape whose blocks can be made unreadable.
struct Tape {
    dir: tempfile::TempDir,
    image: Image,
    blocks: Vec<Placed>,
    events: Vec<RawDocumentBuf>,
}

impl Tape {
    fn new(random: &mut fastrand::Rng) -> Self {
        let dir = samples::in_memory_dir();
        let path = dir.path().join("orders.tape");
        let mut wall = 0;
        let mut event = |n| {
            wall += random.i64(-500..2_000);
            long_event(n, wall)
        };
        let events: Vec<_> = (0..END).map(&mut event).collect();
        samples::of_size(1).create(&path, samples::metadata()).unwrap().close().unwrap();
        for (first, events) in (0..).step_by(SEGMENT).zip(events.chunks(SEGMENT)) {
            let mut writer = samples::of_size(1).open(&path).unwrap();
            if first == GAP_AT {
                samples::append_gap(&mut writer, samples::gap(1), &samples::token(first)).unwrap();
            }
            samples::append_events(&mut writer, first, events).unwrap();
            writer.close().unwrap();
        }
        let image = Image::of(&path);
        let names = image.names("segments/");
        let blocks: Vec<Placed> = names.iter().flat_map(|name| image.blocks(name)).collect();
        assert_eq!((names.len(), blocks.len()), (5, 20));
        Self { dir, image, blocks, events }
    }

    /// The tape with only those blocks readable that hold certain events.
    fn readable(&self, is_readable: impl Fn(u64) -> bool) -> TapeReader {
        let path = self.dir.path().join("orders.tape");
        let mut image = self.image.clone();
        for Placed { file, bytes, events } in &self.blocks {
            if !events.clone().any(&is_readable) {
                image.0.get_mut(file).unwrap()[bytes.clone()].fill(0xa5);
            }
        }
        image.restore(&path);
        TapeReader::open(&path).unwrap()
    }

    fn whole(&self) -> TapeReader {
        self.readable(|_| true)
    }

    /// Places in time before, at, between and behind events.
    fn times(&self) -> Vec<Position> {
        let mut times = Vec::new();
        for event in &self.events {
            let event = ChangeEvent::from(event.as_ref());
            let (wall, cluster) = (event.wall_time().unwrap(), event.cluster_time().unwrap());
            let millis = wall.unwrap().as_millis();
            times.extend([-1, 0, 1].map(|n| Position::Time(WallTime::from_millis(millis + n))));
            times.push(Position::Cluster(cluster.unwrap()));
        }
        times
    }
}

#[test]
fn opening_a_tape_and_telling_what_is_on_it_reads_no_event() {
    let tape = Tape::new(&mut samples::seeded());
    let told = |reader: &TapeReader| {
        let ends = (reader.start(), reader.end(), reader.checkpoint(), reader.gaps());
        let seqs = [0, 7, END, END + 1].map(|n| reader.seek(Position::Seq(Seq::new(n))).unwrap());
        let summary = reader.summary().unwrap();
        (ends, seqs, summary.clone(), summary.disk_bytes, reader.metadata().clone())
    };
    let before = told(&tape.whole());
    assert_eq!(before.0.3.len(), 1);
    let unreadable = tape.readable(|_| false);
    assert_eq!(told(&unreadable), before);
    assert!((0..END).all(|n| unreadable.blocks(Seq::new(n)).next().unwrap().is_err()));
}

#[test]
fn finding_a_place_in_time_reads_the_block_that_holds_it() {
    let tape = Tape::new(&mut samples::seeded());
    let times = tape.times();
    let reader = tape.whole();
    let found: Vec<u64> = times.iter().map(|time| reader.seek(*time).unwrap().get()).collect();
    assert!(found.contains(&END) && found.contains(&0));
    for (time, found) in times.into_iter().zip(found) {
        let reader = tape.readable(|n| n == found);
        assert_eq!(reader.seek(time).unwrap(), Seq::new(found), "{time:?}");
    }
}

#[test]
fn reading_from_one_time_to_another_reads_what_lies_between() {
    let mut random = samples::seeded();
    let tape = Tape::new(&mut random);
    let times = tape.times();
    let mut read = 0;
    for _ in 0..60 {
        let bounds = [0; 2].map(|_| *random.choice(&times).unwrap());
        let whole = tape.whole();
        let [from, to] = bounds.map(|time| whole.seek(time).unwrap().get());
        // Where it ends is where the first event lies that is not sought.
        let reader = tape.readable(|n| (from..to).contains(&n) || n == to || n == from);
        let [start, end] = bounds.map(|time| reader.seek(time).unwrap());
        assert_eq!([start.get(), end.get()], [from, to]);
        // Neither that block nor any behind it is read now.
        let reader = tape.readable(|n| (from..to).contains(&n));
        let mut places = Vec::new();
        for block in reader.blocks(start).until(end) {
            for recorded in block.unwrap().events() {
                let n = recorded.seq.get();
                let expected = &tape.events[usize::try_from(n).unwrap()];
                assert_eq!(recorded.event.as_bytes(), expected.as_bytes());
                places.push(n);
            }
        }
        places.retain(|n| (from..to).contains(n));
        assert_eq!(places, (from..to.max(from)).collect::<Vec<_>>(), "{bounds:?}");
        read += places.len();
    }
    assert!(read > 0);
}
