//! What a recording is doing, readable from another thread while it runs.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use changetape_core::{ClusterTime, Seq};
use changetape_tape::Sealed;

/// Counters of a running recording. Everything counted is durable, but for the base's documents,
/// which are so all at once, when it is whole.
#[derive(Debug)]
pub struct Progress {
    /// The clock of what is kept in milliseconds here.
    created: Instant,
    state: AtomicU8,
    /// When the state was entered, in milliseconds.
    state_since: AtomicU64,
    events: AtomicU64,
    bytes: AtomicU64,
    next: AtomicU64,
    tape_bytes: AtomicU64,
    reconnects: AtomicU64,
    retries: AtomicU64,
    gaps: AtomicU64,
    seals: AtomicU64,
    last_seal_nanos: AtomicU64,
    /// Seconds and increment of the last event's cluster time; 0 if there is none yet.
    last_event: AtomicU64,
    /// Seconds of cluster time, 0 where not known: how far the tape reaches, how far the source
    /// is, and where its oplog begins.
    reached: AtomicU32,
    source: AtomicU32,
    oplog_begin: AtomicU32,
    base_documents: AtomicU64,
    base_bytes: AtomicU64,
    /// [`UNKNOWN`] before the server was asked.
    base_estimate: AtomicU64,
    /// When the base last got on, in milliseconds.
    base_moved: AtomicU64,
}

/// More documents than there can be.
const UNKNOWN: u64 = u64::MAX;

/// What a recording is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Looking for the source.
    Connecting,
    /// Having the stream opened for the first time.
    Opening,
    /// Reading what there is before the first event.
    TakingBase,
    /// Reading the stream.
    Recording,
    /// The source is away; trying again after a pause.
    Waiting,
}

/// A [`Progress`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// What the recording is doing.
    pub state: State,
    /// For how long it has been doing that.
    pub in_state: Duration,
    /// Events made durable in this session.
    pub events: u64,
    /// Their raw BSON bytes.
    pub bytes: u64,
    /// One past the last event on the tape.
    pub end: Seq,
    /// What the tape takes on disk.
    pub tape_bytes: u64,
    /// How often the stream was opened again.
    pub reconnects: u64,
    /// How often that was attempted.
    pub retries: u64,
    /// Gaps that this session put on the tape.
    pub gaps: u64,
    /// Segments that this session sealed.
    pub seals: u64,
    /// How long sealing the last of them took.
    pub last_seal: Duration,
    /// The cluster time of the last event of this session that is durable.
    pub last_event: Option<ClusterTime>,
    /// How far the tape reaches in cluster time, quiet spells included.
    pub reached: Option<ClusterTime>,
    /// Seconds that the tape is behind the source, by the source's own clock.
    pub lag_seconds: u32,
    /// Seconds of oplog that the server still has behind the place that the tape reaches: how
    /// long the recording may stop without losing anything. `None` where it is not known.
    pub oplog_left_seconds: Option<u32>,
    /// How far the base is that was taken in this session.
    pub base: BaseProgress,
}

/// How far a base is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BaseProgress {
    /// Documents written.
    pub documents: u64,
    /// Their raw BSON bytes.
    pub bytes: u64,
    /// About how many there will be, as the server estimates; `None` before it was asked.
    pub estimate: Option<u64>,
    /// For how long it has not got on: nothing was listed, read or written. Means something
    /// while it is being taken.
    pub standstill: Duration,
}

/// What an append made durable.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Durable {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
    /// One past the last event on the tape.
    pub(crate) end: Seq,
    /// Gaps before the events.
    pub(crate) gaps: u64,
    /// How far the tape reaches now.
    pub(crate) reached: Option<ClusterTime>,
    pub(crate) last_event: Option<ClusterTime>,
}

impl Default for Progress {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            created: Instant::now(),
            state: AtomicU8::new(0),
            state_since: zero(),
            events: zero(),
            bytes: zero(),
            next: zero(),
            tape_bytes: zero(),
            reconnects: zero(),
            retries: zero(),
            gaps: zero(),
            seals: zero(),
            last_seal_nanos: zero(),
            last_event: zero(),
            reached: AtomicU32::new(0),
            source: AtomicU32::new(0),
            oplog_begin: AtomicU32::new(0),
            base_documents: zero(),
            base_bytes: zero(),
            base_estimate: AtomicU64::new(UNKNOWN),
            base_moved: zero(),
        }
    }
}

impl Progress {
    /// The counters now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot_at(Instant::now())
    }

    fn snapshot_at(&self, now: Instant) -> Snapshot {
        let state = match self.state.load(Relaxed) {
            1 => State::Recording,
            2 => State::Waiting,
            3 => State::TakingBase,
            4 => State::Opening,
            _ => State::Connecting,
        };
        let last_event = self.last_event.load(Relaxed);
        let reached = self.reached.load(Relaxed);
        let lag = self.source.load(Relaxed).saturating_sub(reached);
        let oplog_begin = self.oplog_begin.load(Relaxed);
        let since = |moment: &AtomicU64| {
            let moment = Duration::from_millis(moment.load(Relaxed));
            now.saturating_duration_since(self.created).saturating_sub(moment)
        };
        let estimate = self.base_estimate.load(Relaxed);
        Snapshot {
            state,
            in_state: since(&self.state_since),
            events: self.events.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            end: Seq::new(self.next.load(Relaxed)),
            tape_bytes: self.tape_bytes.load(Relaxed),
            reconnects: self.reconnects.load(Relaxed),
            retries: self.retries.load(Relaxed),
            gaps: self.gaps.load(Relaxed),
            seals: self.seals.load(Relaxed),
            last_seal: Duration::from_nanos(self.last_seal_nanos.load(Relaxed)),
            last_event: (last_event > 0).then(|| ClusterTime::from_bits(last_event)),
            reached: (reached > 0).then(|| ClusterTime::at_second(reached)),
            // Before anything was read there is nothing to be behind of.
            lag_seconds: if reached == 0 { 0 } else { lag },
            oplog_left_seconds: (reached > 0 && oplog_begin > 0)
                .then(|| reached.saturating_sub(oplog_begin)),
            base: BaseProgress {
                documents: self.base_documents.load(Relaxed),
                bytes: self.base_bytes.load(Relaxed),
                estimate: (estimate != UNKNOWN).then_some(estimate),
                standstill: since(&self.base_moved),
            },
        }
    }

    pub(crate) fn state(&self, state: State) {
        self.state_at(state, Instant::now());
    }

    fn state_at(&self, state: State, now: Instant) {
        let state = match state {
            State::Connecting => 0,
            State::Recording => 1,
            State::Waiting => 2,
            State::TakingBase => 3,
            State::Opening => 4,
        };
        self.state_since.store(self.millis(now), Relaxed);
        self.state.store(state, Relaxed);
    }

    /// A moment as it is kept here.
    fn millis(&self, moment: Instant) -> u64 {
        // A recording runs for weeks, not for 500 million years.
        let millis = moment.saturating_duration_since(self.created).as_millis();
        u64::try_from(millis).unwrap_or(u64::MAX)
    }

    pub(crate) fn durable(&self, done: Durable) {
        self.events.fetch_add(done.events as u64, Relaxed);
        self.bytes.fetch_add(done.bytes as u64, Relaxed);
        self.next.store(done.end.get(), Relaxed);
        self.gaps.fetch_add(done.gaps, Relaxed);
        if let Some(time) = done.reached {
            self.reached.store(time.seconds, Relaxed);
        }
        if let Some(time) = done.last_event {
            self.last_event.store(time.to_bits(), Relaxed);
        }
    }

    /// A base is begun, perhaps once more.
    pub(crate) fn base_begins(&self, estimate: u64) {
        self.base_estimate.store(estimate, Relaxed);
        self.base_documents.store(0, Relaxed);
        self.base_bytes.store(0, Relaxed);
        self.base_moves();
    }

    /// The base gets on: the server has answered, or something is written.
    pub(crate) fn base_moves(&self) {
        self.base_moves_at(Instant::now());
    }

    fn base_moves_at(&self, now: Instant) {
        self.base_moved.store(self.millis(now), Relaxed);
    }

    pub(crate) fn base_written(&self, documents: u64, bytes: u64) {
        self.base_documents.fetch_add(documents, Relaxed);
        self.base_bytes.fetch_add(bytes, Relaxed);
        self.base_moves();
    }

    pub(crate) fn starts_at(&self, next: Seq) {
        self.next.store(next.get(), Relaxed);
    }

    pub(crate) fn source_at(&self, time: ClusterTime) {
        self.source.store(time.seconds, Relaxed);
    }

    pub(crate) fn tape_size(&self, bytes: u64) {
        self.tape_bytes.store(bytes, Relaxed);
    }

    pub(crate) fn retrying(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    pub(crate) fn reconnected(&self) {
        self.reconnects.fetch_add(1, Relaxed);
    }

    /// Where the source's oplog begins, if that is known now.
    pub(crate) fn oplog_begins(&self, time: Option<ClusterTime>) {
        self.oplog_begin.store(time.map_or(0, |time| time.seconds), Relaxed);
    }

    /// What sealing has done so far.
    pub(crate) fn sealed(&self, sealed: Sealed) {
        self.seals.store(sealed.segments, Relaxed);
        let nanos = u64::try_from(sealed.last.as_nanos()).unwrap_or(u64::MAX);
        self.last_seal_nanos.store(nanos, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(seconds: u32) -> ClusterTime {
        ClusterTime { seconds, increment: 7 }
    }

    #[test]
    fn what_is_durable_is_counted_and_what_is_not_known_is_not_told() {
        let progress = Progress::default();
        progress.oplog_begins(Some(second(40)));
        let now = progress.snapshot();
        assert_eq!((now.last_event, now.reached, now.oplog_left_seconds), (None, None, None));
        let durable = Durable {
            events: 2,
            bytes: 9,
            end: Seq::new(5),
            gaps: 1,
            reached: None,
            last_event: Some(second(90)),
        };
        progress.durable(durable);
        // A quiet spell: the tape reaches further, the last event stays.
        let quiet = Durable {
            events: 0,
            bytes: 0,
            gaps: 0,
            reached: Some(second(100)),
            last_event: None,
            ..durable
        };
        progress.durable(quiet);
        progress.source_at(ClusterTime::at_second(103));
        let now = progress.snapshot();
        assert_eq!((now.events, now.bytes, now.end), (2, 9, Seq::new(5)));
        assert_eq!(now.gaps, 1);
        assert_eq!(
            (now.last_event, now.reached),
            (Some(second(90)), Some(ClusterTime::at_second(100)))
        );
        assert_eq!((now.lag_seconds, now.oplog_left_seconds), (3, Some(60)));
        progress.oplog_begins(None);
        assert_eq!(progress.snapshot().oplog_left_seconds, None);
        // The oplog has rolled over what the tape reaches: nothing is left, not less.
        progress.oplog_begins(Some(second(101)));
        assert_eq!(progress.snapshot().oplog_left_seconds, Some(0));
    }

    #[test]
    fn a_state_is_as_old_as_its_beginning() {
        let progress = Progress::default();
        let at = |seconds| progress.created + Duration::from_secs(seconds);
        progress.state_at(State::Waiting, at(20));
        let now = progress.snapshot_at(at(27));
        assert_eq!((now.state, now.in_state), (State::Waiting, Duration::from_secs(7)));
        // Another thread may have looked at the clock before it was entered.
        assert_eq!(progress.snapshot_at(at(19)).in_state, Duration::ZERO);
    }

    #[test]
    fn a_base_that_is_begun_again_counts_from_nothing_and_stands_still_until_it_gets_on() {
        let progress = Progress::default();
        assert_eq!(progress.snapshot().base.estimate, None);
        progress.base_begins(0);
        progress.base_written(3, 90);
        progress.base_begins(7);
        progress.base_written(2, 40);
        progress.base_written(1, 20);
        let base = progress.snapshot().base;
        assert_eq!((base.documents, base.bytes, base.estimate), (3, 60, Some(7)));
        let at = |seconds| progress.created + Duration::from_secs(seconds);
        let standstill = |seconds| progress.snapshot_at(at(seconds)).base.standstill;
        progress.base_moves_at(at(1_000));
        assert_eq!(standstill(1_000), Duration::ZERO);
        assert_eq!(standstill(1_090), Duration::from_secs(90));
        progress.base_moves_at(at(1_090));
        assert_eq!(standstill(1_095), Duration::from_secs(5));
    }
}
