//! `Progress`: how far a replay is, readable from another thread while it runs.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use changetape_core::{Namespace, Seq, WallTime};

use crate::clock::Instant;
use crate::{Offset, Pacer, Speed};

/// A tape's time before anything was delivered.
const NO_TIME: i64 = i64::MIN;

/// How far a replay is. Each figure is right by itself; together they are of about one
/// moment.
#[derive(Debug)]
pub struct Progress {
    start: AtomicU64,
    end: AtomicU64,
    read: AtomicU64,
    reached: AtomicU64,
    events: AtomicU64,
    bytes: AtomicU64,
    tape_time: AtomicI64,
    first_time: AtomicI64,
    last_time: AtomicI64,
    /// When the last event is due; 0 if that is not known.
    ends_due: AtomicU64,
    /// How fast recorded time is to pass, as the bits of a factor; infinite where nobody waits.
    speed: AtomicU64,
    is_paused: AtomicBool,
    lateness_nanos: AtomicU64,
    lag_nanos: AtomicU64,
    base: Mutex<Option<BaseProgress>>,
}

/// How far a restoration is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseProgress {
    /// Documents that the target has acknowledged.
    pub documents: u64,
    /// How many there are.
    pub of: u64,
    /// What is being restored, where it goes.
    pub namespace: Namespace,
    /// Whether its documents are there and its indexes are being built.
    pub builds_indexes: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            start: AtomicU64::new(0),
            end: AtomicU64::new(0),
            read: AtomicU64::new(0),
            reached: AtomicU64::new(0),
            events: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            tape_time: AtomicI64::new(NO_TIME),
            first_time: AtomicI64::new(NO_TIME),
            last_time: AtomicI64::new(NO_TIME),
            ends_due: AtomicU64::new(0),
            speed: AtomicU64::new(f64::INFINITY.to_bits()),
            is_paused: AtomicBool::new(false),
            lateness_nanos: AtomicU64::new(0),
            lag_nanos: AtomicU64::new(0),
            base: Mutex::new(None),
        }
    }
}

impl Progress {
    /// Where the replay begins.
    #[must_use]
    pub fn start(&self) -> Seq {
        seq(&self.start)
    }

    /// One past the last event that it may reach.
    #[must_use]
    pub fn end(&self) -> Seq {
        seq(&self.end)
    }

    /// How far the tape was read; ahead of [`reached`](Self::reached).
    #[must_use]
    pub fn read(&self) -> Seq {
        seq(&self.read)
    }

    /// One past the last event that the sink has acknowledged or that was left out.
    #[must_use]
    pub fn reached(&self) -> Seq {
        seq(&self.reached)
    }

    /// Events that the sink has acknowledged.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Bytes of those events.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The recorded time of the last of those events.
    #[must_use]
    pub fn tape_time(&self) -> Option<WallTime> {
        time(&self.tape_time)
    }

    /// The recorded time of the first event that leaves, once it is known.
    #[must_use]
    pub fn first_time(&self) -> Option<WallTime> {
        time(&self.first_time)
    }

    /// The recorded time of the last event of the range, selected or not.
    #[must_use]
    pub fn last_time(&self) -> Option<WallTime> {
        time(&self.last_time)
    }

    /// How fast recorded time is to pass now.
    #[must_use]
    pub fn speed(&self) -> Speed {
        let factor = f64::from_bits(self.speed.load(Ordering::Relaxed));
        if factor.is_finite() { Speed::Factor(factor) } else { Speed::Max }
    }

    /// Whether the replay stands still because somebody asked for it.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::Relaxed)
    }

    /// How late the last of those events left; zero where nothing is paced.
    #[must_use]
    pub fn lateness(&self) -> Duration {
        Duration::from_nanos(self.lateness_nanos.load(Ordering::Relaxed))
    }

    /// How long after it was due (at full speed: was handed to the sink) the last of those events
    /// was acknowledged.
    #[must_use]
    pub fn lag(&self) -> Duration {
        Duration::from_nanos(self.lag_nanos.load(Ordering::Relaxed))
    }

    /// How long until the last event of the range is due, selected or not; zero if it was due
    /// before. `None` if that is not known, as where nothing is paced.
    #[must_use]
    pub fn schedule_left(&self, now: Instant) -> Option<Duration> {
        let nanos = self.ends_due.load(Ordering::Relaxed);
        (nanos != 0).then(|| Instant::from_nanos(nanos).since(now))
    }

    /// How far the base is, while it is restored.
    #[must_use]
    pub fn base(&self) -> Option<BaseProgress> {
        self.base_now().clone()
    }

    /// The base is as far as that; `None` once it is done with.
    pub(crate) fn restoring(&self, base: Option<BaseProgress>) {
        *self.base_now() = base;
    }

    fn base_now(&self) -> MutexGuard<'_, Option<BaseProgress>> {
        self.base.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A range is about to be played, the last event of which has this recorded time.
    pub(crate) fn begin(&self, start: Seq, end: Seq, last: Option<WallTime>) {
        for figure in [&self.start, &self.read, &self.reached] {
            figure.store(start.get(), Ordering::Relaxed);
        }
        self.end.store(end.get(), Ordering::Relaxed);
        self.last_time.store(last.map_or(NO_TIME, WallTime::as_millis), Ordering::Relaxed);
    }

    /// The first event that leaves was recorded then.
    pub(crate) fn begins_with(&self, time: WallTime) {
        self.first_time.store(time.as_millis(), Ordering::Relaxed);
    }

    pub(crate) fn set_speed(&self, speed: Speed, is_paused: bool) {
        let factor = match speed {
            Speed::Factor(factor) => factor,
            Speed::Max => f64::INFINITY,
        };
        self.speed.store(factor.to_bits(), Ordering::Relaxed);
        self.is_paused.store(is_paused, Ordering::Relaxed);
    }

    /// It is not known when the last event is due.
    pub(crate) fn not_scheduled(&self) {
        self.ends_due.store(0, Ordering::Relaxed);
    }

    /// The next event, at an offset and of this recorded time, is due as the pacer says.
    pub(crate) fn scheduled(&self, pacer: &Pacer, first: Offset, time: WallTime) {
        let Some(last) = self::time(&self.last_time) else { return };
        let millis = last.as_millis().saturating_sub(time.as_millis());
        let nanos = u64::try_from(millis).unwrap_or(0).saturating_mul(1_000_000);
        let last = Offset::from_nanos(first.as_nanos().saturating_add(nanos));
        self.ends_due.store(pacer.due(last).as_nanos(), Ordering::Relaxed);
    }

    pub(crate) fn reading(&self, to: Seq) {
        self.read.store(to.get(), Ordering::Relaxed);
    }

    pub(crate) fn delivered(&self, events: u64, bytes: u64, next: Seq, time: WallTime) {
        self.events.fetch_add(events, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.tape_time.store(time.as_millis(), Ordering::Relaxed);
        self.reached.store(next.get(), Ordering::Relaxed);
    }

    /// What comes next is elsewhere on the tape.
    pub(crate) fn went_to(&self, next: Seq, time: WallTime) {
        self.tape_time.store(time.as_millis(), Ordering::Relaxed);
        self.passed(next);
    }

    pub(crate) fn passed(&self, next: Seq) {
        self.reached.store(next.get(), Ordering::Relaxed);
    }

    pub(crate) fn late(&self, by: Duration) {
        self.lateness_nanos.store(nanos(by), Ordering::Relaxed);
    }

    pub(crate) fn lagging(&self, by: Duration) {
        self.lag_nanos.store(nanos(by), Ordering::Relaxed);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn time(figure: &AtomicI64) -> Option<WallTime> {
    let millis = figure.load(Ordering::Relaxed);
    (millis != NO_TIME).then(|| WallTime::from_millis(millis))
}

fn seq(figure: &AtomicU64) -> Seq {
    Seq::new(figure.load(Ordering::Relaxed))
}
