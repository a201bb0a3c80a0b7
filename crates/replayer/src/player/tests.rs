//! Goal: what leaves together, when, and how a replay ends, without any real time or tape.

mod asked;

use std::sync::{Arc, Mutex};

use std::ops::Range;

use bson::rawdoc;

use changetape_core::{Position, WallTime};

use super::*;
use crate::clock::ManualClock;
use crate::page::OnTape;
use crate::read_ahead::EndOnDrop;
use crate::summary::Tally;
use crate::{Lateness, Placed};

/// A manual clock that the sink can move too, as slow deliveries do.
#[derive(Clone, Default)]
struct SharedClock(Arc<Mutex<ManualClock>>);

impl Clock for SharedClock {
    fn now(&self) -> Instant {
        self.0.lock().unwrap().now()
    }

    fn wait_until(&mut self, due: Instant, interrupts: Interrupts<'_>) -> Waited {
        self.0.lock().unwrap().wait_until(due, interrupts)
    }
}

/// Notes what it is given and when, takes some of it, and takes its time.
struct Script {
    clock: SharedClock,
    /// How many events it takes at once.
    takes: usize,
    /// How long each delivery takes.
    nanos: u64,
    /// Each delivery: when, and which events.
    deliveries: Vec<(u64, Vec<u64>)>,
    finished: bool,
    /// Requests a stop once so many deliveries have been made.
    stop_after: usize,
    /// Reports a closed sink instead of the delivery after these.
    closed_after: usize,
    /// An event that it cannot deliver.
    skips: Option<u64>,
}

impl Script {
    fn new(clock: &SharedClock) -> Self {
        Self {
            clock: clock.clone(),
            takes: usize::MAX,
            nanos: 0,
            deliveries: Vec::new(),
            finished: false,
            stop_after: usize::MAX,
            closed_after: usize::MAX,
            skips: None,
        }
    }
}

impl Sink for Script {
    fn deliver(
        &mut self,
        due: &[Outgoing<'_>],
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<Taken, Error> {
        if self.deliveries.len() >= self.closed_after {
            return Ok(Taken::Closed);
        }
        let taken = due.len().min(self.takes);
        let seqs = due[..taken].iter().map(|outgoing| outgoing.seq.get()).collect();
        self.deliveries.push((self.clock.now().as_nanos(), seqs));
        for outgoing in &due[..taken] {
            if self.skips == Some(outgoing.seq.get()) {
                tally.skip(outgoing.seq, "unlucky");
            }
        }
        let mut clock = self.clock.0.lock().unwrap();
        clock.now = clock.now.after_nanos(self.nanos);
        if self.deliveries.len() >= self.stop_after {
            stop.request();
        }
        Ok(Taken::Events(taken))
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.finished = true;
        Ok(())
    }
}

/// Transactions on the tape have these parts.
struct Tape(Vec<Page>);

static NO_TAPE: Tape = Tape(Vec::new());

impl ReadAgain for Tape {
    fn find(&self, place: Position) -> Result<Seq, Error> {
        match place {
            Position::Seq(seq) => Ok(seq),
            // Of a tape with an event each millisecond.
            Position::Time(time) => Ok(Seq::new(time.as_millis().unsigned_abs())),
            Position::Cluster(_) => Err(Error::BadSpeed { input: "stands for any failure".into() }),
        }
    }

    fn each(
        &self,
        _: &Range<Seq>,
        due: Instant,
        take: &mut dyn FnMut(&[Outgoing<'_>]) -> bool,
    ) -> Result<(), Error> {
        self.0.iter().all(|page| {
            let events = (0..page.items().len()).map(|index| page.outgoing(index, due).unwrap());
            take(&events.collect::<Vec<_>>())
        });
        Ok(())
    }
}

/// Pages of events at these offsets, numbered on from 0.
fn pages(offsets: &[&[u64]]) -> Vec<Page> {
    let mut seq = Seq::ZERO;
    let page = |offsets: &&[u64]| {
        let mut page = Page::default();
        for &offset in *offsets {
            let time = WallTime::from_millis(i64::try_from(offset / 1_000_000).unwrap());
            let placed = Placed { offset: Offset::from_nanos(offset), time, resolution: 0 };
            page.push(seq, placed, Transaction::None, rawdoc! {"n": 1}.as_bytes());
            seq = seq.next();
        }
        page
    };
    offsets.iter().map(page).collect()
}

/// A queue whose pages hold everything.
fn from(queue: &Queue) -> Ready<'_> {
    Ready { queue, tape: &NO_TAPE }
}

fn plan(speed: Speed) -> Plan {
    let range = Seq::ZERO..Seq::new(100_000);
    Plan { speed, on_late: OnLate::default(), range, tells_end: true, may_seek: true }
}

/// Plays with a clock, and nobody who asks for anything.
fn play_with(
    from: Ready<'_>,
    sink: &mut Script,
    clock: impl Clock,
    plan: Plan,
    progress: &Progress,
) -> (Result<Ended, Error>, Played) {
    let (stop, control) = (Stop::default(), Control::default());
    let watched = Watched { progress, stop: &stop, control: &control };
    Player::new(from, sink, clock, plan, watched).play()
}

/// Plays what a queue holds at full speed.
fn play_from(queue: &Queue, tape: &Tape) -> (Played, Script) {
    let clock = SharedClock::default();
    let mut script = Script::new(&clock);
    let progress = Progress::default();
    let from = Ready { queue, tape };
    let (result, played) = play_with(from, &mut script, clock, plan(Speed::Max), &progress);
    assert_eq!(result.unwrap(), Ended::AtTheEnd);
    (played, script)
}

fn play(
    offsets: &[&[u64]],
    speed: Speed,
    set: impl FnOnce(&mut Script),
) -> (Ended, Played, Script) {
    let queue = Queue::default();
    for page in pages(offsets) {
        queue.push(page);
    }
    queue.end(Ok(()));
    let clock = SharedClock::default();
    let mut script = Script::new(&clock);
    set(&mut script);
    let progress = Progress::default();
    let (result, played) = play_with(from(&queue), &mut script, clock, plan(speed), &progress);
    assert_eq!(progress.events(), played.delivered);
    (result.unwrap(), played, script)
}

#[test]
fn events_leave_when_they_are_due_and_those_of_one_instant_together() {
    let (ended, played, script) =
        play(&[&[100, 100, 200], &[200, 500]], Speed::Factor(0.5), |_| {});
    assert_eq!(ended, Ended::AtTheEnd);
    assert!(script.finished);
    // The first event leaves at once, whatever its time; events 2 and 3 lie on two pages.
    assert_eq!(script.deliveries, [(0, vec![0, 1]), (200, vec![2, 3]), (800, vec![4])]);
    assert_eq!(played.delivered, 5);
    assert_eq!(played.fidelity.unwrap().summary().unwrap().lateness.max, Duration::ZERO);
    assert_eq!(played.reached, Some(Seq::new(5)));
}

/// A clock during whose waits another page is read.
struct Reading<'a> {
    clock: SharedClock,
    queue: &'a Queue,
    page: Option<Page>,
}

impl Clock for Reading<'_> {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn wait_until(&mut self, due: Instant, interrupts: Interrupts<'_>) -> Waited {
        if let Some(page) = self.page.take() {
            self.queue.push(page);
            self.queue.end(Ok(()));
        }
        self.clock.wait_until(due, interrupts)
    }
}

#[test]
fn what_is_read_in_the_meantime_leaves_along_if_it_is_due() {
    let queue = Queue::default();
    let mut pages = pages(&[&[0, 0], &[0, 700]]).into_iter();
    queue.push(pages.next().unwrap());
    let clock = SharedClock::default();
    let mut script = Script::new(&clock);
    let reading = Reading { clock, queue: &queue, page: pages.next() };
    let progress = Progress::default();
    let (result, _) =
        play_with(from(&queue), &mut script, reading, plan(Speed::ORIGINAL), &progress);
    assert_eq!(result.unwrap(), Ended::AtTheEnd);
    assert_eq!(script.deliveries, [(0, vec![0, 1, 2]), (700, vec![3])]);
}

#[test]
fn at_full_speed_nobody_waits_and_nothing_is_late() {
    let (_, played, script) = play(&[&[0, 1_000_000], &[u64::MAX]], Speed::Max, |_| {});
    assert_eq!(script.deliveries, [(0, vec![0, 1, 2])]);
    assert_eq!(played.fidelity.unwrap().summary(), None);
}

#[test]
fn a_slow_sink_gets_late_events_at_once_and_together_and_loses_none() {
    let offsets: Vec<u64> = (0..10).map(|n| n * 1_000).chain([1_000_000]).collect();
    let (_, played, script) = play(&[&offsets], Speed::ORIGINAL, |script| script.nanos = 2_500);
    assert_eq!(
        script.deliveries,
        [
            (0, vec![0]),
            (2_500, vec![1, 2]),
            (5_000, vec![3, 4, 5]),
            (7_500, vec![6, 7]),
            (10_000, vec![8, 9]),
            (1_000_000, vec![10]),
        ]
    );
    let Lateness { max, own, .. } = played.fidelity.unwrap().summary().unwrap().lateness;
    assert_eq!(max, Duration::from_micros(2));
    assert_eq!(own.p99, Duration::ZERO, "the player was free when the others fell due");
}

/// A clock that wakes two milliseconds late.
struct Oversleeping(SharedClock);

impl Clock for Oversleeping {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn wait_until(&mut self, due: Instant, interrupts: Interrupts<'_>) -> Waited {
        self.0.wait_until(due.after_nanos(2_000_000), interrupts)
    }
}

#[test]
fn a_player_that_wakes_late_is_told_from_a_sink_that_is_busy() {
    let queue = Queue::default();
    // The third event falls due while the player sleeps, the last one while the sink is busy.
    for page in pages(&[&[0, 10_000_000, 11_000_000, 14_000_000]]) {
        queue.push(page);
    }
    queue.end(Ok(()));
    let clock = SharedClock::default();
    let mut script = Script::new(&clock);
    script.nanos = 5_000_000;
    let progress = Progress::default();
    let clock = Oversleeping(clock);
    let (result, played) =
        play_with(from(&queue), &mut script, clock, plan(Speed::ORIGINAL), &progress);
    result.unwrap();
    assert_eq!(script.deliveries.iter().map(|(_, seqs)| seqs.len()).collect::<Vec<_>>(), [1, 2, 1]);
    let Lateness { late, own, .. } = played.fidelity.unwrap().summary().unwrap().lateness;
    assert_eq!((late, own.late), (3, 2));
}

#[test]
fn a_lag_is_counted_from_when_an_event_was_due_until_it_is_acknowledged() {
    let (_, played, _) = play(&[&[0, 1_000, 9_000_000]], Speed::ORIGINAL, |script| {
        script.nanos = 3_000_000;
    });
    // The second event was due a microsecond after the first, and waited for that one.
    assert_eq!(played.lag.unwrap().summary().unwrap().max, Duration::from_micros(5_999));
    assert_eq!(
        played.fidelity.unwrap().summary().unwrap().lateness.max,
        Duration::from_micros(2_999)
    );
}

#[test]
fn at_full_speed_a_lag_is_counted_from_when_the_sink_was_handed_an_event() {
    let queue = Queue::default();
    for page in pages(&[&[0; 4]]) {
        queue.push(page);
    }
    queue.end(Ok(()));
    let clock = SharedClock::default();
    let mut script = Script::new(&clock);
    // The last two are offered twice: they have been in the sink's hands all along.
    (script.takes, script.nanos) = (2, 1_000_000);
    let progress = Progress::default();
    let (_, played) = play_with(from(&queue), &mut script, clock, plan(Speed::Max), &progress);
    let lag = played.lag.unwrap().summary().unwrap();
    assert!((999..=1_001).contains(&lag.p50.as_micros()), "{lag:?}");
    assert_eq!((lag.max, progress.lag()), (Duration::from_millis(2), Duration::from_millis(2)));
}

#[test]
fn a_schedule_ends_when_the_last_event_of_the_range_is_due() {
    let left = |speed, last: Option<i64>, now| {
        let queue = Queue::default();
        // The first event that was selected lies 300 ms behind the first of the range.
        for page in pages(&[&[300_000_000]]) {
            queue.push(page);
        }
        queue.end(Ok(()));
        let clock = SharedClock::default();
        clock.0.lock().unwrap().now = Instant::from_nanos(1_000);
        let progress = Progress::default();
        progress.begin(Seq::ZERO, Seq::new(1), last.map(WallTime::from_millis));
        let mut script = Script::new(&clock);
        let _ = play_with(from(&queue), &mut script, clock, plan(speed), &progress);
        progress.schedule_left(Instant::from_nanos(now))
    };
    let millis = |millis| Some(Duration::from_millis(millis));
    assert_eq!(left(Speed::Factor(0.5), Some(1_300), 1_000), millis(2_000));
    assert_eq!(left(Speed::Factor(0.5), Some(1_300), 500_001_000), millis(1_500));
    assert_eq!(left(Speed::Factor(0.5), Some(1_300), 9_000_000_000), millis(0));
    // A last event that was recorded with an earlier time leaves with the one before it.
    assert_eq!(left(Speed::ORIGINAL, Some(200), 1_000), millis(0));
    assert_eq!(left(Speed::ORIGINAL, None, 1_000), None);
    assert_eq!(left(Speed::Max, Some(1_300), 1_000), None);
}

#[test]
fn what_a_sink_does_not_take_is_offered_again() {
    let (ended, played, script) = play(&[&[0; 4], &[0; 3]], Speed::Max, |script| script.takes = 3);
    assert_eq!(ended, Ended::AtTheEnd);
    let seqs: Vec<_> = script.deliveries.into_iter().map(|(_, seqs)| seqs).collect();
    assert_eq!(seqs, [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
    assert_eq!(played.delivered, 7);
}

#[test]
fn an_offer_is_bounded() {
    let many = vec![0; MAX_OFFER_EVENTS + 10];
    let (_, played, script) = play(&[&many], Speed::Max, |_| {});
    let lens: Vec<_> = script.deliveries.iter().map(|(_, seqs)| seqs.len()).collect();
    assert_eq!(lens, [MAX_OFFER_EVENTS, 10]);
    assert_eq!(played.delivered, many.len() as u64);
}

/// A page with a transaction of so many events of a kilobyte between two other events.
fn with_transaction(events: u64) -> Page {
    let mut page = Page::default();
    let placed =
        Placed { offset: Offset::default(), time: WallTime::from_millis(0), resolution: 0 };
    let event = rawdoc! {"filling": "x".repeat(1024)};
    for n in 0..events + 2 {
        let transaction = match n {
            n if n == 0 || n > events => Transaction::None,
            n if n == events => Transaction::Ends,
            _ => Transaction::Continues,
        };
        page.push(Seq::new(n), placed, transaction, event.as_bytes());
    }
    page
}

#[test]
fn no_offer_ends_within_a_transaction() {
    for events in [3, 5000, 10_000] {
        let queue = Queue::with_limit(usize::MAX);
        assert!(queue.push(with_transaction(events)));
        queue.end(Ok(()));
        let (_, script) = play_from(&queue, &NO_TAPE);
        let with = script.deliveries.iter().find(|(_, seqs)| seqs.contains(&events));
        assert!(with.unwrap().1.contains(&1), "{events}");
    }
}

#[test]
fn a_transaction_on_the_tape_is_read_when_it_is_its_turn() {
    let before_and_behind = pages(&[&[0], &[9]]);
    let parts = pages(&[&[1, 2], &[3]]);
    let at =
        Placed { offset: Offset::from_nanos(1), time: WallTime::from_millis(0), resolution: 0 };
    let on_tape = OnTape { range: Seq::new(1)..Seq::new(5), events: 3, bytes: 30 };
    let queue = Queue::default();
    let [before, behind] = <[Page; 2]>::try_from(before_and_behind).unwrap();
    for page in [before, Page::on_tape(on_tape, at), behind] {
        queue.push(page);
    }
    queue.end(Ok(()));
    let (played, script) = play_from(&queue, &Tape(parts));
    let seqs: Vec<_> = script.deliveries.into_iter().map(|(_, seqs)| seqs).collect();
    // What the parts hold is numbered from 0, and so are the events before and behind.
    assert_eq!(seqs, [vec![0], vec![0, 1], vec![2], vec![1]]);
    assert_eq!((played.delivered, played.reached), (5, Some(Seq::new(2))));
}

#[test]
fn skipped_events_are_not_delivered_ones() {
    let (_, played, _) = play(&[&[0; 20]], Speed::Max, |script| {
        script.takes = 6;
        script.skips = Some(13);
    });
    assert_eq!(played.delivered, 19);
    assert_eq!(played.tally.left_out(), 1);
}

#[test]
fn a_stop_ends_between_deliveries_and_the_sink_is_finished() {
    let (ended, played, script) = play(&[&[0; 20]], Speed::Max, |script| {
        script.takes = 5;
        script.stop_after = 2;
    });
    assert_eq!(ended, Ended::Stopped);
    assert_eq!((played.delivered, played.reached), (10, Some(Seq::new(10))));
    assert!(script.finished);
}

#[test]
fn a_sink_that_is_closed_ends_the_replay() {
    let (ended, played, script) = play(&[&[0; 20]], Speed::Max, |script| {
        script.takes = 5;
        script.closed_after = 1;
    });
    assert_eq!(ended, Ended::SinkClosed);
    assert_eq!(played.delivered, 5);
    assert!(!script.finished);
}

#[test]
fn what_was_read_before_a_failure_is_delivered_first() {
    let queue = Queue::default();
    for page in pages(&[&[0, 0]]) {
        queue.push(page);
    }
    queue.end(Err(Error::BadSpeed { input: "stands for any failure".into() }));
    let clock = SharedClock::default();
    let mut script = Script::new(&clock);
    let progress = Progress::default();
    let (result, played) = play_with(from(&queue), &mut script, clock, plan(Speed::Max), &progress);
    assert!(matches!(result, Err(Error::BadSpeed { .. })));
    assert_eq!(played.delivered, 2);
    assert_eq!(progress.reached(), Seq::new(2));
}

#[test]
fn an_empty_selection_ends_at_once() {
    let (ended, played, script) = play(&[], Speed::ORIGINAL, |_| {});
    assert_eq!(ended, Ended::AtTheEnd);
    assert_eq!((played.delivered, script.deliveries.len()), (0, 0));
}

#[test]
fn a_full_queue_waits_for_room() {
    // Every page is larger than the limit, so each waits until it is alone.
    let queue = Queue::with_limit(1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for page in pages(&[&[0], &[0], &[0]]) {
                assert!(queue.push(page));
            }
        });
        let mut taken = VecDeque::new();
        for expected in 1..=3 {
            queue.take(&mut taken, &Stop::default()).unwrap();
            assert_eq!(taken.len(), expected);
        }
    });
}

#[test]
fn nobody_waits_for_room_that_nobody_makes() {
    let queue = Queue::with_limit(1);
    let mut pages = pages(&[&[0], &[0]]).into_iter();
    queue.push(pages.next().unwrap());
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| queue.push(pages.next().unwrap()));
        queue.close();
        assert!(!pushing.join().unwrap());
    });
}

#[test]
fn nobody_waits_for_a_reader_that_panicked() {
    let queue = Queue::default();
    let panicked = std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let _end = EndOnDrop(&queue);
            panic!("so the test has it");
        });
        reading.join()
    });
    assert!(panicked.is_err());
    queue.wait_filled(FIRST_FILL, &Stop::default());
    let taken = queue.take(&mut VecDeque::new(), &Stop::default()).unwrap();
    assert!(matches!(taken, Pages::End), "{taken:?}");
}

#[test]
fn nobody_waits_for_pages_from_elsewhere_where_nobody_reads() {
    let queue = Queue::default();
    drop(EndOnDrop(&queue));
    queue.seek(Seq::new(7), 1);
    queue.wait_filled(FIRST_FILL, &Stop::default());
    let taken = queue.take(&mut VecDeque::new(), &Stop::default()).unwrap();
    assert!(matches!(taken, Pages::End), "{taken:?}");
}
