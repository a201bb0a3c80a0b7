//! Goal: seeking finds the first event, in the tape's order, at or after a place in time, also
//! where the wall clock runs backwards and where events have no time.
//! Method: random tapes in random batches, of many small segments and of few, closed and while
//! they are recorded; each answer is compared with a walk over all of the events. The seed is
//! printed.

use bson::raw::RawDocumentBuf;
use bson::{Timestamp, rawdoc};
use changetape_core::{ClusterTime, Position, Seq, WallTime};
use changetape_tape::TapeReader;

use crate::samples;

/// What an event is placed by.
#[derive(Clone, Copy)]
struct Times {
    wall: Option<i64>,
    cluster: Option<ClusterTime>,
}

impl Times {
    fn event(self, n: u64) -> RawDocumentBuf {
        let mut event = rawdoc! {"_id": {"_data": format!("82{n:016X}")}, "pad": "x".repeat(200)};
        if let Some(time) = self.cluster {
            event.append(bson::cstr!("clusterTime"), Timestamp::from(time));
        }
        if let Some(millis) = self.wall {
            event.append(bson::cstr!("wallTime"), bson::DateTime::from_millis(millis));
        }
        event
    }

    /// As the tape counts: the second of the cluster time stands in for the wall time.
    fn wall(self) -> Option<i64> {
        self.wall.or(self.cluster.map(|time| i64::from(time.seconds) * 1000))
    }
}

fn random_times(random: &mut fastrand::Rng, events: u64) -> Vec<Times> {
    let start = 1_772_366_400_000;
    let mut wall = start;
    let mut cluster = ClusterTime { seconds: 1_772_366_400, increment: 1 };
    let mut times = Vec::new();
    for _ in 0..events {
        wall += random.i64(0..2_000);
        if random.u8(..) < 4 {
            // Adjusted, or another shard's clock.
            wall -= random.i64(0..60_000);
        }
        match random.u8(..) {
            0..100 => cluster.increment += 1,
            _ => cluster = ClusterTime { seconds: cluster.seconds + 1, increment: 1 },
        }
        let (has_wall, has_cluster) = (random.u8(..) > 20, random.u8(..) > 5);
        times.push(Times {
            wall: has_wall.then_some(wall),
            cluster: has_cluster.then_some(cluster),
        });
    }
    times
}

#[test]
fn seeking_is_as_good_as_looking_at_every_event() {
    let mut random = samples::seeded();
    for segment_size in [1, 20_000, 60_000, 1 << 20] {
        let events = random.u64(1..6_000);
        let times = random_times(&mut random, events);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders.tape");
        let options = samples::of_size(segment_size);
        let mut writer = options.create(&path, samples::metadata()).unwrap();
        let mut next = 0;
        while next < events {
            let end = (next + random.u64(1..400)).min(events);
            let batch: Vec<_> =
                (next..end).map(|n| times[usize::try_from(n).unwrap()].event(n)).collect();
            samples::append_events(&mut writer, next, &batch).unwrap();
            next = end;
            if random.u8(..) < 30 {
                writer.close().unwrap();
                writer = options.open(&path).unwrap();
            }
        }
        check_seeks(&writer.reader(), &times, &mut random);
        writer.close().unwrap();
        check_seeks(&TapeReader::open(&path).unwrap(), &times, &mut random);
    }
}

fn check_seeks(reader: &TapeReader, times: &[Times], random: &mut fastrand::Rng) {
    let events = times.len() as u64;
    for _ in 0..200 {
        let near = times[random.usize(0..times.len())];
        let time = near.wall().unwrap_or(0) + random.i64(-2_000..2_000);
        let expected = times.iter().position(|t| t.wall().is_some_and(|wall| wall >= time));
        let found = reader.seek(Position::Time(WallTime::from_millis(time))).unwrap();
        assert_eq!(found.get(), expected.map_or(events, |n| n as u64), "wall {time}");

        let mut time = near.cluster.unwrap_or_default();
        time.increment = (time.increment + random.u32(0..3)).saturating_sub(1);
        let expected = times.iter().position(|t| t.cluster.is_some_and(|c| c >= time));
        let found = reader.seek(Position::Cluster(time)).unwrap();
        assert_eq!(found.get(), expected.map_or(events, |n| n as u64), "cluster {time}");

        let seq = Seq::new(random.u64(0..events * 2));
        assert_eq!(reader.seek(Position::Seq(seq)).unwrap(), seq.min(Seq::new(events)));
    }
}

#[test]
fn the_latest_time_is_remembered_over_openings() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let event = |n, wall| Times { wall: Some(wall), cluster: None }.event(n);
    let mut writer = samples::tape_of(&path, []);
    samples::append_events(&mut writer, 0, &[event(0, 9_000)]).unwrap();
    writer.close().unwrap();
    let mut writer = samples::of_size(1).open(&path).unwrap();
    for (n, wall) in [(1, 1_000), (2, 2_000), (3, 9_500)] {
        samples::append_events(&mut writer, n, &[event(n, wall)]).unwrap();
    }
    drop(writer);
    let reader = TapeReader::open(&path).unwrap();
    let seek = |millis| reader.seek(Position::Time(WallTime::from_millis(millis))).unwrap().get();
    assert_eq!([seek(0), seek(1_500), seek(9_000), seek(9_001), seek(9_501)], [0, 0, 0, 3, 4]);
}

#[test]
fn on_an_empty_tape_everything_is_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    samples::tape_of(&path, []).close().unwrap();
    let reader = TapeReader::open(&path).unwrap();
    for text in ["2026-03-01T12:00:00Z", "1772366400:1", "#0", "#7"] {
        assert_eq!(reader.seek(text.parse().unwrap()).unwrap(), Seq::ZERO, "{text}");
    }
}
