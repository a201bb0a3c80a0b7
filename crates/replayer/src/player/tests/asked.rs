//! Goal: whatever is asked of a player while it plays is done at once, and of the events none is lost,
//! early or out of order for it.
//!
//! Method: a clock that asks for things at set times, and a reader that plays the tape's part.

use std::time::Duration;

use super::*;
use crate::read_ahead::Wanted;
use crate::{Answer, Command, SeekTo};

const MILLI: u64 = 1_000_000;

/// What came of it.
struct Outcome {
    ended: Ended,
    played: Played,
    /// When, in milliseconds, and which.
    deliveries: Vec<(u64, Vec<u64>)>,
    progress: Progress,
}

/// Events a millisecond apart, from one on.
fn milliseconds(from: u64, events: u64) -> Vec<Page> {
    let mut page = Page::default();
    for n in from..from + events {
        let time = WallTime::from_millis(i64::try_from(n).unwrap());
        let placed = Placed { offset: Offset::from_nanos(n * MILLI), time, resolution: 0 };
        page.push(Seq::new(n), placed, Transaction::None, rawdoc! {"n": 1}.as_bytes());
    }
    vec![page]
}

/// Plays so many such events while commands come at these milliseconds.
fn play_asked(
    events: u64,
    asks: &[(u64, Command)],
    set: impl FnOnce(&mut Plan, &mut Script),
) -> Outcome {
    let queue = Queue::default();
    let clock = SharedClock::default();
    let mut script = Script::new(&clock);
    for &(millis, command) in asks {
        let at = Instant::from_nanos(millis * MILLI);
        clock.0.lock().unwrap().asks.push_back((at, command));
    }
    let mut plan = Plan { range: Seq::ZERO..Seq::new(events), ..plan(Speed::ORIGINAL) };
    set(&mut plan, &mut script);
    let progress = Progress::default();
    let (ended, played) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut from = Seq::ZERO;
            loop {
                let left = events.saturating_sub(from.get());
                milliseconds(from.get(), left).into_iter().all(|page| queue.push(page));
                queue.end(Ok(()));
                let Wanted::From { seq, .. } = queue.wait_wanted() else { return };
                from = seq;
            }
        });
        let played = play_with(from(&queue), &mut script, clock, plan, &progress);
        queue.close();
        played
    });
    let deliveries =
        script.deliveries.into_iter().map(|(nanos, seqs)| (nanos / MILLI, seqs)).collect();
    Outcome { ended: ended.unwrap(), played, deliveries, progress }
}

/// When each event left.
fn times(outcome: &Outcome) -> Vec<(u64, u64)> {
    let each =
        |(at, seqs): &(u64, Vec<u64>)| seqs.iter().map(|seq| (*seq, *at)).collect::<Vec<_>>();
    outcome.deliveries.iter().flat_map(each).collect()
}

fn lateness(outcome: &Outcome) -> Duration {
    outcome.played.fidelity.as_ref().unwrap().summary().unwrap().lateness.max
}

#[test]
fn nothing_leaves_in_a_pause_and_nothing_is_late_for_it() {
    let asks = [(2, Command::Pause), (1_002, Command::Toggle), (1_003, Command::Resume)];
    let outcome = play_asked(5, &asks, |_, _| {});
    assert_eq!(times(&outcome), [(0, 0), (1, 1), (2, 1_002), (3, 1_003), (4, 1_004)]);
    assert_eq!(lateness(&outcome), Duration::ZERO);
    assert_eq!(outcome.played.paused, Duration::from_secs(1));
    assert_eq!(outcome.ended, Ended::AtTheEnd);
}

#[test]
fn each_step_lets_one_event_leave() {
    let asks = [
        (1, Command::Step(1)),
        (50, Command::Step(2)),
        (60, Command::Step(1)),
        (100, Command::Resume),
    ];
    let outcome = play_asked(7, &asks, |_, _| {});
    let expected = [(0, 0), (1, 1), (2, 50), (3, 50), (4, 60), (5, 101), (6, 102)];
    assert_eq!(times(&outcome), expected);
    assert_eq!(lateness(&outcome), Duration::ZERO);
}

#[test]
fn a_step_says_nothing_of_the_pace() {
    let slow = |_: &mut Plan, script: &mut Script| script.nanos = 5 * MILLI;
    let outcome = play_asked(4, &[(0, Command::Step(4))], slow);
    assert_eq!(times(&outcome), [(0, 0), (1, 5), (2, 10), (3, 15)]);
    let told = outcome.played.fidelity.as_ref().unwrap().summary().unwrap();
    assert_eq!((told.rate, told.drift_ppm), (None, None));
}

#[test]
fn what_is_asked_while_steps_are_made_is_done_behind_them() {
    let to = Command::Seek(SeekTo::Position(Position::Seq(Seq::new(7))));
    let all = [Command::Step(2), to, Command::Step(1), Command::Resume];
    let (delivered, answers) = asked_at_once(&all);
    assert_eq!(delivered, [0, 1, 7, 8, 9]);
    assert_eq!(answers, vec![Ok(()); 4]);
    let (_, answers) = asked_at_once(&[Command::Step(u64::MAX)]);
    assert!(answers[0].as_ref().unwrap_err().contains("10000"), "{answers:?}");
}

#[test]
fn another_speed_counts_from_then_on() {
    let asks = [
        (2, Command::Speed(Speed::Factor(0.5))),
        (6, Command::Faster(4.0)),
        (6, Command::Speed(Speed::Max)),
    ];
    let outcome = play_asked(9, &asks[..2], |_, _| {});
    let expected = [(0, 0), (1, 1), (2, 2), (3, 4), (4, 6), (5, 6), (6, 7), (7, 7), (8, 8)];
    assert_eq!(times(&outcome), expected);
    let outcome = play_asked(9, &asks, |_, _| {});
    assert_eq!(outcome.deliveries.last().unwrap(), &(6, vec![4, 5, 6, 7, 8]));
    assert_eq!(lateness(&outcome), Duration::ZERO);
}

#[test]
fn nothing_is_late_any_more_where_nobody_waits() {
    let slow = |asks: &[(u64, Command)]| {
        play_asked(9, asks, |_, script| (script.takes, script.nanos) = (1, 5 * MILLI))
    };
    assert!(slow(&[]).progress.lateness() > Duration::ZERO);
    let outcome = slow(&[(3, Command::Speed(Speed::Max))]);
    assert_eq!(outcome.progress.speed(), Speed::Max);
    assert_eq!(outcome.progress.lateness(), Duration::ZERO);
}

#[test]
fn a_seek_goes_anywhere_and_on_from_there_at_once() {
    let to = |seq| Command::Seek(SeekTo::Position(Position::Seq(Seq::new(seq))));
    let outcome = play_asked(100, &[(2, to(50)), (4, to(98))], |_, _| {});
    let expected = [(0, 0), (1, 1), (50, 2), (51, 3), (98, 4), (99, 5)];
    assert_eq!(times(&outcome), expected);
    assert_eq!(outcome.played.seeks, 2);
    // Back, after everything was read, and beyond the end.
    let back = Command::Seek(SeekTo::Back(Duration::from_millis(2)));
    let far = Command::Seek(SeekTo::Forward(Duration::from_secs(9)));
    let outcome = play_asked(6, &[(4, back), (5, back), (7, far)], |_, _| {});
    let expected = [(0, 0), (1, 1), (2, 2), (3, 3), (2, 4), (1, 5), (2, 6), (5, 7)];
    assert_eq!(times(&outcome), expected);
    assert_eq!((lateness(&outcome), outcome.ended), (Duration::ZERO, Ended::AtTheEnd));
}

#[test]
fn what_stands_still_stands_still_at_another_place() {
    let to = Command::Seek(SeekTo::Position(Position::Seq(Seq::new(7))));
    let asks = [(1, Command::Pause), (10, to), (20, Command::Step(1)), (30, Command::Resume)];
    let outcome = play_asked(10, &asks, |_, _| {});
    assert_eq!(times(&outcome), [(0, 0), (7, 20), (8, 31), (9, 32)]);
}

/// Which of ten events leave where commands were asked for before the first has, and the answers.
fn asked_at_once(commands: &[Command]) -> (Vec<u64>, Vec<Result<(), String>>) {
    let queue = Queue::default();
    let clock = SharedClock::default();
    let mut script = Script::new(&clock);
    let (progress, stop, control) = (Progress::default(), Stop::default(), Control::default());
    let watched = Watched { progress: &progress, stop: &stop, control: &control };
    let answers: Vec<Answer> = commands.iter().map(|&command| control.ask(command)).collect();
    let plan = Plan { range: Seq::ZERO..Seq::new(10), ..plan(Speed::ORIGINAL) };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut from = 0;
            loop {
                milliseconds(from, 10 - from).into_iter().all(|page| queue.push(page));
                queue.end(Ok(()));
                let Wanted::From { seq, .. } = queue.wait_wanted() else { return };
                from = seq.get();
            }
        });
        Player::new(from(&queue), &mut script, clock, plan, watched).play().0.unwrap();
        queue.close();
    });
    let sentence = |answer: Answer| answer.recv().unwrap().map_err(|not_done| not_done.to_string());
    let delivered = script.deliveries.into_iter().flat_map(|(_, seqs)| seqs).collect();
    (delivered, answers.into_iter().map(sentence).collect())
}

/// What a player answers to commands.
fn answers(speed: Speed, may_seek: bool, commands: &[Command]) -> Vec<Result<(), String>> {
    let queue = Queue::default();
    milliseconds(0, 3).into_iter().all(|page| queue.push(page));
    queue.end(Ok(()));
    let clock = SharedClock::default();
    let mut script = Script::new(&clock);
    let (progress, stop, control) = (Progress::default(), Stop::default(), Control::default());
    let watched = Watched { progress: &progress, stop: &stop, control: &control };
    let plan = Plan { may_seek, ..plan(speed) };
    let answers: Vec<Answer> = commands.iter().map(|&command| control.ask(command)).collect();
    let (ended, _) = Player::new(from(&queue), &mut script, clock, plan, watched).play();
    assert_eq!(ended.unwrap(), Ended::AtTheEnd);
    let sentence = |answer: Answer| answer.recv().unwrap().map_err(|not_done| not_done.to_string());
    answers.into_iter().map(sentence).collect()
}

#[test]
fn what_cannot_be_done_is_answered_with_a_sentence_and_changes_nothing() {
    let seek = |place| Command::Seek(SeekTo::Position(place));
    let refused = |speed, may_seek, command| {
        let answers = answers(speed, may_seek, &[command]);
        answers.into_iter().next().unwrap().unwrap_err()
    };
    let to = seek(Position::Seq(Seq::new(1)));
    assert!(refused(Speed::ORIGINAL, false, to).contains("--resume"));
    let unknown = seek(Position::Cluster("1:1".parse().unwrap()));
    assert!(refused(Speed::ORIGINAL, true, unknown).contains("stands for any failure"));
    assert!(refused(Speed::Max, true, Command::Faster(2.0)).contains("max"));
    assert!(refused(Speed::ORIGINAL, true, Command::Faster(0.0)).contains("0 times as fast"));
    let all = [Command::Pause, Command::Faster(2.0), Command::Toggle];
    assert_eq!(answers(Speed::ORIGINAL, true, &all), [Ok(()), Ok(()), Ok(())]);
}

#[test]
fn a_stop_ends_a_pause() {
    let queue = Queue::default();
    milliseconds(0, 3).into_iter().all(|page| queue.push(page));
    queue.end(Ok(()));
    let mut script = Script::new(&SharedClock::default());
    let (progress, stop, control) = (Progress::default(), Stop::default(), Control::default());
    let watched = Watched { progress: &progress, stop: &stop, control: &control };
    let paused = control.ask(Command::Pause);
    let clock = crate::clock::HostClock::usual(crate::clock::Timer::Precise);
    let ended = std::thread::scope(|scope| {
        let (progress, stop) = (&progress, &stop);
        scope.spawn(move || {
            paused.recv().unwrap().unwrap();
            assert!(progress.is_paused());
            stop.request();
        });
        Player::new(from(&queue), &mut script, clock, plan(Speed::ORIGINAL), watched).play()
    });
    let (ended, played) = ended;
    assert_eq!(ended.unwrap(), Ended::Stopped);
    assert!(played.paused > Duration::ZERO, "a pause that has not ended counts");
    assert!(script.deliveries.is_empty() && script.finished);
}

#[test]
fn a_schedule_that_waits_for_a_slow_sink_keeps_the_distances() {
    let outcome = play_asked(6, &[], |plan, script| {
        plan.on_late = OnLate::Shift;
        script.nanos = 5 * MILLI;
    });
    // Each delivery takes five milliseconds: every event is four late, and the next due one later.
    let expected: Vec<_> = (0..6).map(|n| (n, n * 5)).collect();
    assert_eq!(times(&outcome), expected);
    assert_eq!(lateness(&outcome), Duration::from_millis(4), "being late is told");
    assert_eq!(outcome.played.shifted, Duration::from_millis(20));

    let outcome = play_asked(6, &[], |_, script| script.nanos = 5 * MILLI);
    assert_eq!(outcome.deliveries, [(0, vec![0]), (5, vec![1, 2, 3, 4, 5])], "it catches up");
    assert_eq!(outcome.played.shifted, Duration::ZERO);
}

#[test]
fn a_replay_that_is_to_end_when_it_is_too_late_ends_before_the_event_that_is() {
    let stop_at = |millis| {
        play_asked(20, &[], move |plan, script| {
            plan.on_late = OnLate::Stop(Duration::from_millis(millis));
            script.takes = 1;
            script.nanos = 3 * MILLI;
        })
    };
    let outcome = stop_at(7);
    assert_eq!(outcome.ended, Ended::Late(Duration::from_millis(8)));
    assert_eq!(outcome.played.reached, Some(Seq::new(4)));
    assert_eq!(stop_at(1_000).ended, Ended::AtTheEnd);
}
