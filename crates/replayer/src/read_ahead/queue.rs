//! `Queue`: pages between the reader thread and the player thread, bounded in bytes.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use changetape_core::Seq;

use crate::clock::SLICE;
use crate::page::Page;
use crate::{Error, Stop};

/// How many bytes of pages may wait. Some 15 000 ordinary events: a fifth of a second at the
/// fastest sink, time enough to decode the next blocks.
const LIMIT: usize = 16 * 1024 * 1024;

/// How long the first event may wait for the queue to fill before the clock starts. A
/// selection that covers few events would fill it never.
pub(crate) const FIRST_FILL: Duration = Duration::from_millis(50);

/// The same after somebody went elsewhere, who is waiting for it.
pub(crate) const AFTER_SEEK: Duration = Duration::from_millis(10);

/// Pages that are ready, in order.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Told whenever anything in the state changes.
    changed: Condvar,
    limit: usize,
}

#[derive(Debug, Default)]
struct State {
    pages: VecDeque<Page>,
    /// Bytes of the pages that wait.
    bytes: usize,
    ended: bool,
    /// Why the reader ended, if it could not go on.
    failure: Option<Error>,
    /// Nobody reads any more, wherever pages are wanted from.
    is_left: bool,
    /// What whoever takes pages wants next.
    wanted: Wanted,
}

/// Which pages are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Those that follow.
    #[default]
    More,
    /// Those from another place on.
    From {
        /// The first event.
        seq: Seq,
        /// Which lap.
        lap: u64,
    },
    /// None.
    Nothing,
}

/// What came of asking for pages.
#[derive(Debug)]
pub(crate) enum Taken {
    /// At least one page was put behind those already there.
    Pages,
    /// There are no more.
    End,
    /// A stop was requested while there were none.
    Stopped,
}

/// Ends the queue when it is dropped: a reader that panics must not leave the player waiting
/// for pages that never come.
#[derive(Debug)]
pub(crate) struct EndOnDrop<'a>(pub(crate) &'a Queue);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        (state.ended, state.is_left) = (true, true);
        drop(state);
        self.0.changed.notify_all();
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self::with_limit(LIMIT)
    }
}

impl Queue {
    pub(crate) fn with_limit(limit: usize) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), limit }
    }

    /// Adds a page as soon as there is room; a page larger than the limit gets in alone.
    /// Returns whether anybody still wants it.
    pub(crate) fn push(&self, page: Page) -> bool {
        let size = page.memory();
        let mut state = self.lock();
        while state.wanted == Wanted::More && state.bytes > 0 && state.bytes + size > self.limit {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.wanted != Wanted::More {
            return false;
        }
        state.bytes += size;
        state.pages.push_back(page);
        self.changed.notify_all();
        true
    }

    /// Says that no page follows, and why.
    pub(crate) fn end(&self, result: Result<(), Error>) {
        let mut state = self.lock();
        if state.wanted == Wanted::More {
            state.ended = true;
            state.failure = result.err();
            self.changed.notify_all();
        }
    }

    /// Waits until other pages are wanted than those that follow, or none; the reader goes there.
    pub(crate) fn wait_wanted(&self) -> Wanted {
        let mut state = self.lock();
        while state.wanted == Wanted::More {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        self.begin_wanted(state)
    }

    /// Which pages are wanted; the reader goes there.
    pub(crate) fn wanted(&self) -> Wanted {
        self.begin_wanted(self.lock())
    }

    /// Whether those that follow are.
    pub(crate) fn wants_more(&self) -> bool {
        self.lock().wanted == Wanted::More
    }

    fn begin_wanted(&self, mut state: MutexGuard<'_, State>) -> Wanted {
        let wanted = state.wanted;
        if let Wanted::From { .. } = wanted {
            state.wanted = Wanted::More;
            self.changed.notify_all();
        }
        wanted
    }

    /// Asks for pages from another place of a lap on, and forgets those that are ready.
    pub(crate) fn seek(&self, seq: Seq, lap: u64) {
        let mut state = self.lock();
        state.pages.clear();
        (state.bytes, state.ended, state.failure) = (0, state.is_left, None);
        state.wanted = Wanted::From { seq, lap };
        self.changed.notify_all();
    }

    /// Says that nobody takes pages any more.
    pub(crate) fn close(&self) {
        self.lock().wanted = Wanted::Nothing;
        self.changed.notify_all();
    }

    /// Waits until the queue is full, no more pages come, or the first has waited for
    /// so long.
    pub(crate) fn wait_filled(&self, patience: Duration, stop: &Stop) {
        let mut first_seen: Option<Instant> = None;
        let mut state = self.lock();
        while !state.ended && !stop.is_requested() {
            // A reader waits when the next page does not fit: half full is as full as it
            // surely gets with pages of any size below half the limit.
            if state.bytes >= self.limit / 2 {
                break;
            }
            if !state.pages.is_empty()
                && first_seen.get_or_insert_with(Instant::now).elapsed() >= patience
            {
                break;
            }
            state = self.wait(state);
        }
    }

    /// Moves all pages that are ready behind those in `into`, waiting for the first.
    ///
    /// # Errors
    /// Why the reader could not go on, once every page before that has been taken.
    pub(crate) fn take(&self, into: &mut VecDeque<Page>, stop: &Stop) -> Result<Taken, Error> {
        let mut state = self.lock();
        loop {
            if !state.pages.is_empty() {
                into.append(&mut state.pages);
                state.bytes = 0;
                self.changed.notify_all();
                return Ok(Taken::Pages);
            }
            if let Some(error) = state.failure.take() {
                return Err(error);
            }
            if state.ended {
                return Ok(Taken::End);
            }
            if stop.is_requested() {
                return Ok(Taken::Stopped);
            }
            state = self.wait(state);
        }
    }

    /// Whether pages are ready now.
    pub(crate) fn has_pages(&self) -> bool {
        !self.lock().pages.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, but no longer than a stop request may go unnoticed.
    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, SLICE).unwrap_or_else(PoisonError::into_inner).0
    }
}
