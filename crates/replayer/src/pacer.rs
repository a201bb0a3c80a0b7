//! `Pacer`: when each event is due.
//!
//! Pure arithmetic from one absolute anchor: an offset on the timeline, a speed, and the
//! instant at which the anchor's own offset was due. No event is measured from the one
//! before, so nothing adds up: after a million events the schedule is where it was. A late
//! event does not move it either; who is late stays late until it has caught up.
//!
//! ```text
//! due(offset) = anchor + (offset - anchor offset) / factor, rounded up
//! ```
//! Rounded up to the nanosecond, so that no event is early. The division is done in 64-bit
//! floats, whose 53 bits hold 104 days of nanoseconds exactly.

use crate::clock::Instant;
use crate::{Offset, Speed};

/// A schedule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pacer {
    speed: Speed,
    anchor: Instant,
    anchor_offset: Offset,
}

impl Pacer {
    /// A schedule on which the event at `offset` is due at `anchor`.
    #[must_use]
    pub fn new(speed: Speed, anchor: Instant, offset: Offset) -> Self {
        Self { speed, anchor, anchor_offset: offset }
    }

    /// When the event at `offset` is due. At [`Speed::Max`] every event has been due since
    /// the anchor.
    #[must_use]
    pub fn due(&self, offset: Offset) -> Instant {
        match self.speed {
            Speed::Max => self.anchor,
            Speed::Factor(factor) => {
                self.anchor.after_nanos(stretch(offset.nanos_since(self.anchor_offset), factor))
            }
        }
    }

    /// Whether events have to wait at all.
    #[must_use]
    pub fn is_paced(&self) -> bool {
        self.speed != Speed::Max
    }
}

/// Both casts are meant: the first loses less than a nanosecond in 104 days, the second
/// saturates, and a speed is never negative or not a number.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn stretch(nanos: u64, factor: f64) -> u64 {
    (nanos as f64 / factor).ceil() as u64
}

#[cfg(test)]
mod tests;
