//! `Seq`: where an event stands on its tape.

use std::fmt;
use std::ops::Add;

/// An event's place on its tape, counted from 0. An event keeps its place: where events that were
/// on the tape have been lost, their places hold nothing, and a gap says so.
///
/// Order on a tape comes from `Seq` and nothing else; resume tokens are opaque.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(u64);

impl Seq {
    /// The place of a tape's first event.
    pub const ZERO: Self = Self(0);

    /// The place that `n` others precede.
    #[must_use]
    pub const fn new(n: u64) -> Self {
        Self(n)
    }

    /// How many places precede this one.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// How many places lie in `earlier..self`; 0 if `earlier` is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The place that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Add<u64> for Seq {
    type Output = Self;

    fn add(self, places: u64) -> Self {
        Self(self.0 + places)
    }
}

impl fmt::Display for Seq {
    /// As the command line takes it: `#42`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}
