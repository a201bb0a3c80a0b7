//! Goal: due times are exact at every speed, never early, and do not drift. By a manual clock.

use super::*;
use crate::clock::{Clock, Interrupts, ManualClock, Waited};
use crate::{Control, Stop};

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
    let (stop, control) = (Stop::default(), Control::default());
    let interrupts = Interrupts { stop: &stop, control: &control };
    let mut clock = ManualClock { now: ANCHOR, ..ManualClock::default() };
    let pacer = pacer(Speed::ORIGINAL);
    for millis in 0..10_u64 {
        let due = pacer.due(Offset::from_nanos(millis * 1_000_000));
        assert_eq!(clock.wait_until(due, interrupts), Waited::Due);
        // Each delivery takes 1.5 ms, longer than the gap to the next event.
        clock.now = clock.now.after_nanos(1_500_000);
    }
    assert_eq!(clock.now, ANCHOR.after_nanos(10 * 1_500_000), "late events never wait");
    let after = pacer.due(Offset::from_nanos(60_000_000));
    assert_eq!(clock.wait_until(after, interrupts), Waited::Due);
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

const SECOND: u64 = 1_000_000_000;

#[test]
fn a_pause_makes_nothing_later_but_by_itself() {
    let mut pacer = pacer(Speed::Factor(2.0));
    let (overdue, coming) = (Offset::from_nanos(SECOND), Offset::from_nanos(10 * SECOND));
    let now = ANCHOR.after_nanos(3 * SECOND);
    let late = now.since(pacer.due(overdue));
    pacer.pause(now);
    assert!(pacer.is_paused());
    let later = now.after_nanos(7 * SECOND);
    assert_eq!(pacer.position(later, coming), Offset::from_nanos(6 * SECOND), "it stands still");
    // A second pause changes nothing.
    pacer.pause(later);
    pacer.resume(later);
    assert!(!pacer.is_paused());
    assert_eq!(later.since(pacer.due(overdue)), late, "as late as it was");
    assert_eq!(pacer.due(coming), later.after_nanos(2 * SECOND));
    pacer.resume(later.after_nanos(1));
    assert_eq!(pacer.due(coming), later.after_nanos(2 * SECOND));
}

#[test]
fn another_speed_counts_from_the_present_position_on() {
    let mut pacer = pacer(Speed::ORIGINAL);
    let now = ANCHOR.after_nanos(10 * SECOND);
    let next = Offset::from_nanos(4 * SECOND);
    pacer.set_speed(Speed::Factor(0.1), now, next);
    // What is overdue was due when it was, not a minute ago.
    assert_eq!(pacer.due(next), ANCHOR.after_nanos(4 * SECOND));
    assert_eq!(pacer.due(Offset::from_nanos(11 * SECOND)), now.after_nanos(10 * SECOND));
    assert_eq!(pacer.position(now, next), Offset::from_nanos(10 * SECOND));
    // At full speed everything is due that was not, and behind it the schedule begins with what
    // comes next.
    pacer.set_speed(Speed::Max, now, next);
    assert!(!pacer.is_paced());
    assert_eq!(pacer.due(next), ANCHOR.after_nanos(4 * SECOND));
    assert_eq!(pacer.due(Offset::from_nanos(90 * SECOND)), now);
    let (now, next) = (now.after_nanos(SECOND), Offset::from_nanos(90 * SECOND));
    assert_eq!(pacer.position(now, next), next);
    pacer.set_speed(Speed::Factor(2.0), now, next);
    assert_eq!(pacer.due(next), now);
    assert_eq!(pacer.due(Offset::from_nanos(92 * SECOND)), now.after_nanos(SECOND));
}

#[test]
fn a_speed_that_is_changed_while_it_stands_still_counts_from_there() {
    let mut pacer = pacer(Speed::ORIGINAL);
    let now = ANCHOR.after_nanos(SECOND);
    pacer.pause(now);
    pacer.set_speed(Speed::Factor(4.0), now.after_nanos(5), Offset::from_nanos(2 * SECOND));
    let later = now.after_nanos(60 * SECOND);
    pacer.resume(later);
    assert_eq!(pacer.due(Offset::from_nanos(5 * SECOND)), later.after_nanos(SECOND));
}

#[test]
fn who_leans_on_a_key_does_not_make_the_schedule_long() {
    let mut pacer = pacer(Speed::ORIGINAL);
    for n in 0..10_000_u32 {
        let speed = Speed::Factor(1.0 + f64::from(n % 7));
        pacer.set_speed(speed, ANCHOR.after_nanos(SECOND + u64::from(n)), Offset::default());
    }
    assert!(pacer.stretches.len() <= STRETCHES);
}

/// Plays random events while random things are done to the schedule, by a clock that is moved by hand.
#[test]
fn whatever_is_done_due_times_never_go_backwards_and_the_position_does_not_jump() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..300 {
        let mut now = ANCHOR;
        let mut pacer = pacer(Speed::Factor(FACTORS[random.usize(..FACTORS.len())].0));
        let (mut next, mut last_due, mut lap) = (0_u64, ANCHOR, 0);
        for _ in 0..300 {
            let offset = Offset::from_nanos(next);
            let late = |pacer: &Pacer, now: Instant| now.since(pacer.due(offset));
            match random.u8(..12) {
                0 => {
                    let (before, was_paused) = (late(&pacer, now), pacer.is_paused());
                    let due = pacer.due(offset);
                    pacer.pause(now);
                    let slept = random.u64(..SECOND);
                    now = now.after_nanos(slept);
                    pacer.resume(now);
                    if !was_paused {
                        assert_eq!(late(&pacer, now), before);
                        assert_eq!(pacer.due(offset), due.after_nanos(slept));
                    }
                }
                1 => pacer.pause(now),
                2 => pacer.resume(now),
                3 | 4 => {
                    let before = pacer.position(now, offset);
                    let due = pacer.due(offset);
                    let other = match random.usize(..=FACTORS.len()) {
                        0 => Speed::Max,
                        n => Speed::Factor(FACTORS[n - 1].0),
                    };
                    let was_max = !pacer.is_paced();
                    pacer.set_speed(other, now, offset);
                    let after = pacer.position(now, offset);
                    if other != Speed::Max {
                        assert!(after.nanos_since(before) <= 1 && before.nanos_since(after) <= 1);
                    }
                    if due <= now && !was_max && offset < before {
                        assert_eq!(pacer.due(offset), due, "what is overdue stays so");
                    }
                }
                5 => {
                    next = random.u64(..100 * SECOND);
                    pacer.begin_anew(now, Offset::from_nanos(next));
                }
                6 => pacer.shift(Duration::from_nanos(random.u64(..SECOND))),
                7 => now = now.after_nanos(random.u64(..SECOND)),
                _ if pacer.is_paused() => {
                    // A step.
                    now = now.after_nanos(random.u64(..1_000));
                    pacer.begin_anew(now, offset);
                    assert_eq!(pacer.due(offset), now);
                    last_due = now;
                    next += random.u64(..SECOND);
                }
                _ => {
                    let due = pacer.due(offset);
                    assert!(due >= last_due, "due {due:?} after {last_due:?}");
                    now = now.max(due).after_nanos(random.u64(..3) * random.u64(..2 * SECOND));
                    last_due = due;
                    lap += 1;
                    next += if lap % 3 == 0 { 0 } else { random.u64(..SECOND) };
                }
            }
        }
    }
}

#[test]
fn a_million_events_in_laps_with_pauses_and_changes_of_speed_do_not_drift() {
    use crate::{Timeline, Times};
    use changetape_core::WallTime;
    for (factor, over, under) in FACTORS {
        let mut timeline = Timeline::default();
        let mut pacer = pacer(Speed::Factor(factor));
        let (mut paused, mut last) = (0, ANCHOR);
        for lap in 0..10_i64 {
            for event in 0..100_000_i64 {
                let wall = Some(WallTime::from_millis(1_000_000 + event * 3));
                let placed = timeline.place(Times { wall, ..Times::default() });
                // A lap ends when the millisecond of its last event is over.
                let exact = (lap * (99_999 * 3 + 1) + event * 3) * 1_000_000;
                assert_eq!(placed.offset.as_nanos(), u64::try_from(exact).unwrap());
                let due = pacer.due(placed.offset);
                let exact = (u128::from(exact.unsigned_abs()) * under).div_ceil(over) + paused;
                let off = due.since(ANCHOR).as_nanos().abs_diff(exact);
                assert!(off <= 1, "event {event} of lap {lap} at {factor}x is off by {off} ns");
                assert!(due >= last);
                last = due;
            }
            timeline.begin_again();
            pacer.pause(last);
            last = last.after_nanos(12_345_678_901);
            paused += 12_345_678_901;
            pacer.resume(last);
        }
        // Every change may round by a nanosecond of the recording, and no more.
        let mut now = last;
        let from = pacer.position(now, Offset::default());
        let mut exact = 0.0;
        for n in 0..1_000 {
            let speed = FACTORS[n % FACTORS.len()].0;
            pacer.set_speed(Speed::Factor(speed), now, from);
            now = now.after_nanos(1_000_003);
            exact += 1_000_003.0 * speed;
        }
        let position = pacer.position(now, from).nanos_since(from);
        #[allow(clippy::cast_precision_loss, reason = "of a few seconds")]
        let off = (position as f64 - exact).abs();
        assert!(off <= 1_000.0, "off by {off} ns after a thousand changes");
    }
}
