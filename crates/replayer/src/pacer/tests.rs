//! Goal: due times are exact at every speed, never early, and do not drift. By a manual clock.

use super::*;
use crate::Stop;
use crate::clock::{Clock, ManualClock, Waited};

const ANCHOR: Instant = Instant::from_nanos(5_000_000_000);

fn pacer(speed: Speed) -> Pacer {
    Pacer::new(speed, ANCHOR, Offset::default())
}

/// Factors as fractions, so that the exact due time can be computed in whole numbers.
const FACTORS: [(f64, u128, u128); 7] = [
    (0.1, 1, 10),
    (0.5, 1, 2),
    (1.0, 1, 1),
    (1.5, 3, 2),
    (7.3, 73, 10),
    (50.0, 50, 1),
    (1000.0, 1000, 1),
];

#[test]
fn the_first_event_is_due_at_the_anchor() {
    for speed in [Speed::Max, Speed::Factor(0.1), Speed::Factor(3.0)] {
        assert_eq!(pacer(speed).due(Offset::default()), ANCHOR);
    }
    let late_start = Pacer::new(Speed::ORIGINAL, ANCHOR, Offset::from_nanos(70));
    assert_eq!(late_start.due(Offset::from_nanos(70)), ANCHOR);
    assert_eq!(late_start.due(Offset::from_nanos(75)), ANCHOR.after_nanos(5));
}

#[test]
fn speed_divides_time() {
    let second = Offset::from_nanos(1_000_000_000);
    assert_eq!(pacer(Speed::Factor(10.0)).due(second), ANCHOR.after_nanos(100_000_000));
    assert_eq!(pacer(Speed::Factor(0.5)).due(second), ANCHOR.after_nanos(2_000_000_000));
    assert_eq!(pacer(Speed::Max).due(second), ANCHOR);
    // Ten thirds of a nanosecond are not over after three.
    assert_eq!(pacer(Speed::Factor(3.0)).due(Offset::from_nanos(10)), ANCHOR.after_nanos(4));
}

#[test]
fn a_million_events_do_not_drift_at_any_speed() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    for (factor, over, under) in FACTORS {
        let mut random = fastrand::Rng::with_seed(seed);
        let pacer = pacer(Speed::Factor(factor));
        let (mut offset, mut last) = (0_u64, ANCHOR);
        for event in 0..1_000_000 {
            // Gaps of 0 to 2 ms, now and then a minute: about nine hours in all.
            offset += if random.u16(..) == 0 { 60_000_000_000 } else { random.u64(0..2_000_000) };
            let due = pacer.due(Offset::from_nanos(offset));
            let exact = (u128::from(offset) * under).div_ceil(over);
            let off = due.since(ANCHOR).as_nanos().abs_diff(exact);
            assert!(off <= 1, "event {event} at {factor}x is off by {off} ns");
            assert!(due >= last, "event {event} at {factor}x goes backwards");
            last = due;
        }
    }
}

#[test]
fn lateness_does_not_move_the_schedule() {
    let stop = Stop::default();
    let mut clock = ManualClock { now: ANCHOR, waits: Vec::new() };
    let pacer = pacer(Speed::ORIGINAL);
    for millis in 0..10_u64 {
        let due = pacer.due(Offset::from_nanos(millis * 1_000_000));
        assert_eq!(clock.wait_until(due, &stop), Waited::Due);
        // Each delivery takes 1.5 ms, longer than the gap to the next event.
        clock.now = clock.now.after_nanos(1_500_000);
    }
    assert_eq!(clock.now, ANCHOR.after_nanos(10 * 1_500_000), "late events never wait");
    let after = pacer.due(Offset::from_nanos(60_000_000));
    assert_eq!(clock.wait_until(after, &stop), Waited::Due);
    assert_eq!(clock.now, ANCHOR.after_nanos(60_000_000), "the schedule is where it was");
}

#[test]
fn absurd_speeds_and_offsets_saturate() {
    assert_eq!(
        pacer(Speed::Factor(f64::MIN_POSITIVE)).due(Offset::from_nanos(1)).as_nanos(),
        u64::MAX
    );
    assert_eq!(
        pacer(Speed::Factor(f64::MAX)).due(Offset::from_nanos(u64::MAX)),
        ANCHOR.after_nanos(1)
    );
}
