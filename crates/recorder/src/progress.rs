//! What a recording is doing, readable from another thread while it runs.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

use changetape_core::{ClusterTime, Seq};

/// Counters of a running recording. Everything counted is durable.
#[derive(Debug, Default)]
pub struct Progress {
    state: AtomicU8,
    events: AtomicU64,
    bytes: AtomicU64,
    next: AtomicU64,
    tape_bytes: AtomicU64,
    reconnects: AtomicU64,
    /// Seconds of cluster time: how far the tape reaches, and how far the source is.
    reached: AtomicU32,
    source: AtomicU32,
}

/// What a recording is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Looking for the source.
    Connecting,
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
    /// Seconds that the tape is behind the source, by the source's own clock.
    pub lag_seconds: u32,
}

impl Progress {
    /// The counters now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let state = match self.state.load(Relaxed) {
            1 => State::Recording,
            2 => State::Waiting,
            _ => State::Connecting,
        };
        let reached = self.reached.load(Relaxed);
        let lag = self.source.load(Relaxed).saturating_sub(reached);
        Snapshot {
            state,
            events: self.events.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            end: Seq::new(self.next.load(Relaxed)),
            tape_bytes: self.tape_bytes.load(Relaxed),
            reconnects: self.reconnects.load(Relaxed),
            // Before anything was read there is nothing to be behind of.
            lag_seconds: if reached == 0 { 0 } else { lag },
        }
    }

    pub(crate) fn state(&self, state: State) {
        let state = match state {
            State::Connecting => 0,
            State::Recording => 1,
            State::Waiting => 2,
        };
        self.state.store(state, Relaxed);
    }

    pub(crate) fn durable(
        &self,
        events: usize,
        bytes: usize,
        end: Seq,
        reached: Option<ClusterTime>,
    ) {
        self.events.fetch_add(events as u64, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
        self.next.store(end.get(), Relaxed);
        if let Some(time) = reached {
            self.reached.store(time.seconds, Relaxed);
        }
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

    pub(crate) fn reconnected(&self) {
        self.reconnects.fetch_add(1, Relaxed);
    }
}
