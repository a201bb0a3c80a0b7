//! `Pacer`: when each event is due.
//!
//! Pure arithmetic from absolute anchors: an offset on the timeline, a speed, and the instant at
//! which the anchor's own offset was due. No event is measured from the one before, so nothing adds
//! up: after a million events the schedule is where it was. A late event does not move it either;
//! who is late stays late until it has caught up.
//!
//! ```text
//! due(offset) = anchor + (offset - anchor offset) / factor, rounded up
//! ```
//! Rounded up to the nanosecond, so that no event is early. The division is done in 64-bit
//! floats, whose 53 bits hold 104 days of nanoseconds exactly.
//!
//! # Changes
//! A new anchor is set where somebody changes the speed, and nowhere else:
//!
//! | what | the schedule | what is due already |
//! | --- | --- | --- |
//! | another speed | has another slope from the present position on | stays due when it was |
//! | pause, resume | is later by as long as the pause was | is later by as much |
//! | step | goes on from the event that left | has left: a step takes the next |
//! | seek | begins anew at another offset | does not leave |
//! | shift | is later by so much | is later by as much |
//!
//! So due times never go backwards, whatever is done, and the position does not jump but by seeking
//! and stepping. A change keeps the stretches before it for as long as there is an event that fell
//! due in them and has not left.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Instant;
use crate::{Offset, Speed};

/// The most stretches that are kept: a sink that takes nothing while somebody leans on a key does not
/// make them more.
const STRETCHES: usize = 64;

/// A schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Pacer {
    /// Never empty; ordered by offset and by anchor.
    stretches: VecDeque<Stretch>,
    /// Since when it stands still.
    paused: Option<Instant>,
}

/// A part of the timeline through which recorded time passes at one speed.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stretch {
    from: Offset,
    anchor: Instant,
    speed: Speed,
}

impl Pacer {
    /// A schedule on which the event at `offset` is due at `anchor`.
    #[must_use]
    pub fn new(speed: Speed, anchor: Instant, offset: Offset) -> Self {
        let stretch = Stretch { from: offset, anchor, speed };
        Self { stretches: VecDeque::from([stretch]), paused: None }
    }

    /// When the event at `offset` is due, if the schedule goes on now. At [`Speed::Max`] every event
    /// has been due since the anchor.
    #[must_use]
    pub fn due(&self, offset: Offset) -> Instant {
        let mut stretches = self.stretches.iter().rev();
        let mut next: Option<&Stretch> = None;
        loop {
            let Some(stretch) = stretches.next() else {
                // Before all of it: due with the first.
                return next.map_or(Instant::default(), |first| first.anchor);
            };
            if offset >= stretch.from {
                let due = stretch.due(offset);
                return next.map_or(due, |next| due.min(next.anchor));
            }
            next = Some(stretch);
        }
    }

    /// How fast recorded time passes.
    #[must_use]
    pub fn speed(&self) -> Speed {
        self.stretches.back().map_or(Speed::Max, |stretch| stretch.speed)
    }

    /// Whether events have to wait at all.
    #[must_use]
    pub fn is_paced(&self) -> bool {
        self.speed() != Speed::Max
    }

    /// Whether recorded time stands still.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// Where on the timeline the schedule is; at [`Speed::Max`] it is wherever the `next` event is, or
    /// where that speed began if the event was overdue then.
    #[must_use]
    pub fn position(&self, now: Instant, next: Offset) -> Offset {
        let now = self.paused.unwrap_or(now);
        self.stretches.get(self.current(now)).map_or(next, |stretch| stretch.position(now, next))
    }

    /// Lets recorded time stand still.
    pub fn pause(&mut self, now: Instant) {
        self.paused.get_or_insert(now);
    }

    /// Lets it pass again.
    pub fn resume(&mut self, now: Instant) {
        if let Some(since) = self.paused.take() {
            self.shift(now.since(since));
        }
    }

    /// Lets it pass at another speed from now on; `next` is the next event to leave.
    pub fn set_speed(&mut self, speed: Speed, now: Instant, next: Offset) {
        let now = self.paused.unwrap_or(now);
        let current = self.current(now);
        self.stretches.truncate(current + 1);
        // It may begin later than now.
        let begun = self.stretches.back().map_or(now, |last| last.anchor);
        let (anchor, from) = (now.max(begun), self.position(now, next));
        // All that fell due in them has left.
        while self.stretches.get(1).is_some_and(|stretch| stretch.from <= next)
            || self.stretches.len() >= STRETCHES
        {
            self.stretches.pop_front();
        }
        if self.stretches.back().is_some_and(|last| last.from == from) {
            self.stretches.pop_back();
        }
        self.stretches.push_back(Stretch { from, anchor, speed });
    }

    /// Which stretch the schedule is in: after it was shifted, not always the last.
    fn current(&self, now: Instant) -> usize {
        self.stretches.iter().rposition(|stretch| stretch.anchor <= now).unwrap_or(0)
    }

    /// Begins anew with the next event, at `offset`, at the same speed: after a step or a seek. What
    /// stands still stands still there.
    pub fn begin_anew(&mut self, now: Instant, offset: Offset) {
        let speed = self.speed();
        self.paused = self.paused.map(|_| now);
        self.stretches.clear();
        self.stretches.push_back(Stretch { from: offset, anchor: now, speed });
    }

    /// Moves the whole schedule to later.
    pub fn shift(&mut self, by: Duration) {
        for stretch in &mut self.stretches {
            stretch.anchor = stretch.anchor.after(by);
        }
    }
}

impl Stretch {
    fn due(&self, offset: Offset) -> Instant {
        match self.speed {
            Speed::Max => self.anchor,
            Speed::Factor(factor) => {
                self.anchor.after_nanos(stretch(offset.nanos_since(self.from), factor))
            }
        }
    }

    fn position(&self, now: Instant, next: Offset) -> Offset {
        match self.speed {
            Speed::Max => next.max(self.from),
            Speed::Factor(factor) => self.from.after_nanos(pass(now.since(self.anchor), factor)),
        }
    }
}

/// How long so much recorded time takes.
///
/// Both casts are meant: the first loses less than a nanosecond in 104 days, the second
/// saturates, and a speed is never negative or not a number.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn stretch(nanos: u64, factor: f64) -> u64 {
    (nanos as f64 / factor).ceil() as u64
}

/// How much recorded time passes in so long.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn pass(elapsed: Duration, factor: f64) -> u64 {
    (elapsed.as_nanos() as f64 * factor).floor() as u64
}

#[cfg(test)]
mod tests;
