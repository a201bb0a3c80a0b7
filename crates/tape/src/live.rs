//! `Live`: what a recording shares with those who read the tape in the same process.
//!
//! The writer and the thread that seals keep it up to date; readers see the sealed part and the
//! live end as one tape that grows, up to what is durable.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use changetape_core::Seq;

use crate::catalog::Catalog;
use crate::layout::LogNumber;
use crate::log::{BlockBytes, Log};
use crate::{Checkpoint, Error, Gap};

/// A tape that is being recorded.
#[derive(Debug)]
pub(crate) struct Live {
    state: Mutex<State>,
    grew: Condvar,
}

#[derive(Debug)]
struct State {
    catalog: Arc<Catalog>,
    /// Logs that are not sealed, oldest first.
    logs: Vec<Unsealed>,
    /// Gaps that are durable and not in the catalog yet, in order.
    gaps: Vec<Gap>,
    /// Where the recording continues after what is durable.
    checkpoint: Option<Checkpoint>,
    /// One past the last durable event.
    end: Seq,
    /// Whether nothing more will come.
    ended: bool,
    sealed: Sealed,
}

/// A log that is not sealed.
#[derive(Debug)]
struct Unsealed {
    number: LogNumber,
    first: Seq,
    log: Arc<Log>,
}

/// How often segments have been sealed, and how long that took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sealed {
    /// How many segments have been sealed.
    pub segments: u64,
    /// How long the last one took.
    pub last: Duration,
}

impl Live {
    pub(crate) fn new(catalog: Catalog) -> Self {
        let state = State {
            checkpoint: catalog.checkpoint(),
            end: catalog.next,
            catalog: Arc::new(catalog),
            logs: Vec::new(),
            gaps: Vec::new(),
            ended: false,
            sealed: Sealed::default(),
        };
        Self { state: Mutex::new(state), grew: Condvar::new() }
    }

    /// The sealed part.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.lock().catalog)
    }

    /// One past the last durable event.
    pub(crate) fn end(&self) -> Seq {
        self.lock().end
    }

    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        self.lock().checkpoint.clone()
    }

    /// Where events are known to be missing before what is durable, in order.
    pub(crate) fn gaps(&self) -> Vec<Gap> {
        let state = self.lock();
        state.catalog.gaps.iter().chain(&state.gaps).cloned().collect()
    }

    pub(crate) fn sealed(&self) -> Sealed {
        self.lock().sealed
    }

    /// Waits until an event at `seq` is durable; `false` if none has come in time, or none will.
    pub(crate) fn wait_for(&self, seq: Seq, patience: Duration) -> bool {
        let state = self.lock();
        let waiting = |state: &mut State| state.end <= seq && !state.ended;
        let waited = self.grew.wait_timeout_while(state, patience, waiting);
        waited.unwrap_or_else(PoisonError::into_inner).0.end > seq
    }

    /// The block of the live end that holds a durable event; `None` if a segment has it.
    pub(crate) fn block_at(&self, seq: Seq) -> Result<Option<BlockBytes>, Error> {
        let log = {
            let state = self.lock();
            let holding = state.logs.iter().rfind(|unsealed| unsealed.first <= seq);
            holding.filter(|_| seq < state.end).map(|unsealed| Arc::clone(&unsealed.log))
        };
        let Some(log) = log else { return Ok(None) };
        log.block_at(seq)
    }

    /// A log takes what comes from an event on.
    pub(crate) fn begin_log(&self, first: Seq, number: LogNumber, log: Arc<Log>) {
        self.lock().logs.push(Unsealed { number, first, log });
    }

    /// More is durable; `gap` is the newest in the log that is being filled, if there is one.
    pub(crate) fn durable(&self, checkpoint: Checkpoint, gap: Option<&Gap>) {
        let mut state = self.lock();
        // With what is behind it, so that nobody reads on over a gap that is not told.
        if let Some(gap) = gap.filter(|gap| state.gaps.last() != Some(gap)) {
            state.gaps.push(gap.clone());
        }
        state.end = checkpoint.next;
        state.checkpoint = Some(checkpoint);
        drop(state);
        self.grew.notify_all();
    }

    /// The sealed part has changed.
    pub(crate) fn now_sealed(&self, catalog: Catalog) {
        let mut state = self.lock();
        state.gaps.retain(|gap| !catalog.gaps.contains(gap));
        state.catalog = Arc::new(catalog);
    }

    /// A log has become part of what is sealed, or nobody is to read from it any more.
    pub(crate) fn end_log(&self, number: LogNumber, took: Option<Duration>) {
        let mut state = self.lock();
        state.logs.retain(|unsealed| unsealed.number != number);
        if let Some(last) = took {
            state.sealed = Sealed { segments: state.sealed.segments + 1, last };
        }
    }

    /// Nothing more will come.
    pub(crate) fn end_now(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.logs.clear();
        drop(state);
        self.grew.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
