//! Goal: any sequence of recorded times, even an impossible one, becomes one that never goes
//! backwards, and what was moved is counted.

use super::*;

#[allow(clippy::unnecessary_wraps)] // What `place` takes.
fn wall(millis: i64) -> Option<WallTime> {
    Some(WallTime::from_millis(millis))
}

#[allow(clippy::unnecessary_wraps)] // What `place` takes.
fn cluster(seconds: u32) -> Option<ClusterTime> {
    Some(ClusterTime { seconds, increment: 1 })
}

/// Offsets in milliseconds.
fn offsets(events: &[(Option<WallTime>, Option<ClusterTime>)]) -> (Vec<u64>, Timeline) {
    let mut timeline = Timeline::default();
    let offsets = events
        .iter()
        .map(|(wall, cluster)| {
            timeline
                .place(Times { wall: *wall, cluster: *cluster, ..Times::default() })
                .offset
                .as_nanos()
                / 1_000_000
        })
        .collect();
    (offsets, timeline)
}

#[test]
fn wall_time_is_taken_to_the_millisecond() {
    let (at, timeline) = offsets(&[
        (wall(10_250), cluster(10)),
        (wall(10_250), cluster(10)),
        (wall(10_251), cluster(10)),
        (wall(3_610_250), cluster(3_610)),
    ]);
    assert_eq!(at, [0, 0, 1, 3_600_000]);
    assert_eq!(timeline.repaired(), 0);
}

#[test]
fn without_wall_time_the_cluster_second_counts() {
    let (at, timeline) = offsets(&[
        (None, cluster(10)),
        (None, cluster(10)),
        (None, cluster(11)),
        (None, cluster(15)),
    ]);
    assert_eq!(at, [0, 0, 1_000, 5_000]);
    assert_eq!(timeline.repaired(), 0);
}

#[test]
fn a_mixed_tape_does_not_jump() {
    // The second event lies somewhere in second 10, so not before 10.750; the fourth in a new
    // second, so at its start.
    let (at, timeline) = offsets(&[
        (wall(10_750), cluster(10)),
        (None, cluster(10)),
        (wall(10_900), cluster(10)),
        (None, cluster(11)),
        (wall(11_020), cluster(11)),
    ]);
    assert_eq!(at, [0, 0, 150, 250, 270]);
    assert_eq!(timeline.repaired(), 0);
}

#[test]
fn a_mixed_tape_does_not_jump_where_the_clocks_differ() {
    // The cluster's clock is 40 s ahead of the wall.
    let (at, timeline) = offsets(&[
        (wall(10_750), cluster(51)),
        (None, cluster(51)),
        (None, cluster(53)),
        (wall(12_900), cluster(53)),
        (wall(13_100), cluster(54)),
    ]);
    assert_eq!(at, [0, 0, 1_250, 2_150, 2_350]);
    assert_eq!(timeline.repaired(), 0);
}

#[test]
fn a_wall_time_just_before_its_cluster_second_is_no_difference() {
    let (at, _) =
        offsets(&[(wall(10_990), cluster(11)), (None, cluster(12)), (wall(12_010), cluster(12))]);
    assert_eq!(at, [0, 1_010, 1_020]);
}

#[test]
fn times_that_go_backwards_are_repaired_and_counted() {
    let (at, timeline) = offsets(&[
        (wall(10_000), None),
        (wall(9_000), None),
        (wall(10_005), None),
        (None, cluster(9)),
        (wall(10_006), None),
    ]);
    assert_eq!(at, [0, 0, 5, 5, 6]);
    assert_eq!(timeline.repaired(), 2);
}

#[test]
fn a_time_that_cannot_be_right_is_not_believed() {
    let (at, timeline) = offsets(&[
        (wall(0), cluster(10)),
        (wall(10_500), cluster(10)),
        (wall(-5), None),
        (None, None),
        (wall(10_600), None),
    ]);
    assert_eq!(at, [0, 500, 500, 500, 600]);
    assert_eq!(timeline.repaired(), 2);
    assert_eq!(timeline.untimed(), 1);
}

#[test]
fn no_times_at_all_are_one_instant() {
    assert_eq!(offsets(&[(None, None), (None, None)]).0, [0, 0]);
}

#[test]
fn random_times_never_go_backwards() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..200 {
        let mut timeline = Timeline::default();
        let mut last = Offset::default();
        for _ in 0..200 {
            let extreme = random.u8(..) == 0;
            let millis = if extreme { random.i64(..) } else { random.i64(-10_000..100_000) };
            let wall = random.bool().then(|| WallTime::from_millis(millis));
            let seconds = if extreme { random.u32(..) } else { random.u32(0..100) };
            let cluster = random.bool().then_some(ClusterTime { seconds, increment: 0 });
            let placed = timeline.place(Times { wall, cluster, ..Times::default() });
            assert!(placed.offset >= last, "{wall:?} {cluster:?}");
            last = placed.offset;
        }
    }
}

fn timeline(options: TimelineOptions) -> Timeline {
    Timeline::new(options)
}

#[test]
fn no_gap_is_longer_than_the_longest() {
    let max_gap = Some(Duration::from_millis(100));
    let mut timeline = timeline(TimelineOptions { max_gap, ..TimelineOptions::default() });
    let at = [0, 50, 150, 9_000, 9_001, 999_999].map(|millis| {
        let times = Times { wall: wall(10_000 + millis), ..Times::default() };
        let placed = timeline.place(times);
        (placed.offset.as_nanos() / 1_000_000, placed.time.as_millis() - 10_000)
    });
    assert_eq!(at, [(0, 0), (50, 50), (150, 150), (250, 9_000), (251, 9_001), (351, 999_999)]);
}

#[test]
fn a_rate_counts_events_and_nothing_else() {
    let source = TimeSource::Rate("1000/s".parse().unwrap());
    let mut timeline = timeline(TimelineOptions { source, ..TimelineOptions::default() });
    let place = |timeline: &mut Timeline, millis| {
        let placed = timeline.place(Times { wall: wall(millis), ..Times::default() });
        (placed.offset.as_nanos() / 1_000, placed.resolution)
    };
    assert_eq!(place(&mut timeline, 5_000), (0, 0));
    assert_eq!(place(&mut timeline, 900_000), (1_000, 0));
    // Two more of that transaction, which leave with it.
    timeline.goes_along();
    timeline.goes_along();
    assert_eq!(place(&mut timeline, 900_000), (4_000, 0));
    timeline.begin_again();
    assert_eq!(place(&mut timeline, 5_000), (5_000, 0));
}

#[test]
fn by_the_cluster_time_events_lie_anywhere_in_their_second() {
    let source = TimeSource::Cluster;
    let mut timeline = timeline(TimelineOptions { source, ..TimelineOptions::default() });
    let at = [(10, 10_900), (10, 10_950), (11, 10_990), (13, 5)].map(|(seconds, millis)| {
        let times = Times { wall: wall(millis), cluster: cluster(seconds), ..Times::default() };
        let placed = timeline.place(times);
        (placed.offset.as_nanos() / 1_000_000, placed.resolution)
    });
    assert_eq!(at, [(0, ONE), (0, ONE), (1_000, ONE), (3_000, ONE)]);
    assert_eq!(timeline.repaired(), 0);
}

#[test]
fn arrivals_lie_where_the_monotonic_clock_says_unless_it_began_anew() {
    const HOUR: u64 = 3_600_000_000_000;
    let source = TimeSource::Arrival;
    let mut timeline = timeline(TimelineOptions { source, ..TimelineOptions::default() });
    let boot = 1_772_366_400_000_000_000;
    let at = [
        (boot, 5_000),
        // Somebody has set the wall clock, by less than a restart takes.
        (boot + 30_000_000_000, 7_500),
        (boot + 30_000_000_000, 7_500),
        // Another boot, a shorter and a longer one.
        (boot + HOUR, 1_000),
        (boot + 100 * HOUR, 20 * HOUR),
        // Both went back.
        (boot, 1),
        (boot + 10, 11),
    ]
    .map(|(wall_nanos, monotonic_nanos)| {
        let arrival = Arrival { wall_nanos, monotonic_nanos };
        timeline.place(Times { arrival, ..Times::default() }).offset.as_nanos()
    });
    let second = 2_500 + HOUR - 30_000_000_000;
    let third = second + 99 * HOUR;
    assert_eq!(at, [0, 2_500, 2_500, second, third, third, third + 10]);
    assert_eq!(timeline.repaired(), 1);
}

/// What somebody reads off, and goes to, is when events happened: not when a recorder that was late got
/// them.
#[test]
fn by_arrival_events_are_still_told_by_when_they_happened() {
    let source = TimeSource::Arrival;
    let mut timeline = timeline(TimelineOptions { source, ..TimelineOptions::default() });
    let arrival = Arrival { wall_nanos: 1_772_366_400_000_000_000, monotonic_nanos: 5 };
    let at = [
        (None, None),
        (wall(10_250), cluster(10)),
        (wall(9_000), cluster(9)),
        (None, cluster(12)),
        (wall(0), cluster(13)),
        (None, None),
    ]
    .map(|(wall, cluster)| timeline.place(Times { wall, cluster, arrival }).time.as_millis());
    assert_eq!(at, [0, 10_250, 10_250, 12_000, 13_000, 13_000]);
    assert_eq!((timeline.repaired(), timeline.untimed()), (0, 0), "that moves none");
}

#[test]
fn another_lap_begins_when_the_time_is_over_in_which_the_last_event_lies() {
    let mut timeline = timeline(TimelineOptions::default());
    let place = |timeline: &mut Timeline, millis| {
        timeline.place(Times { wall: wall(millis), ..Times::default() }).offset.as_nanos()
            / 1_000_000
    };
    assert_eq!([10_000, 10_007].map(|millis| place(&mut timeline, millis)), [0, 7]);
    timeline.begin_again();
    timeline.begin_again();
    assert_eq!([10_000, 10_007].map(|millis| place(&mut timeline, millis)), [8, 15]);
    assert_eq!(timeline.repaired(), 0);
}
