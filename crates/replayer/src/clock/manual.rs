//! A clock that is moved by hand, for tests.

use std::collections::VecDeque;

use super::{Clock, Instant, Interrupts, Waited};
use crate::Command;

/// A clock that stands still until waited on.
#[derive(Debug, Default)]
pub(crate) struct ManualClock {
    pub(crate) now: Instant,
    pub(crate) waits: Vec<Instant>,
    /// What is asked for, and when, if the clock is waited on over that.
    pub(crate) asks: VecDeque<(Instant, Command)>,
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.now
    }

    fn wait_until(&mut self, due: Instant, interrupts: Interrupts<'_>) -> Waited {
        if self.asks.front().is_some_and(|(at, _)| *at <= due)
            && let Some((at, command)) = self.asks.pop_front()
        {
            self.now = self.now.max(at);
            interrupts.control.ask(command);
        }
        if let Some(waited) = interrupts.pending() {
            return waited;
        }
        self.now = self.now.max(due);
        self.waits.push(due);
        Waited::Due
    }
}
