//! `Seq`: where an event stands on its tape.

use std::fmt;
use std::ops::Add;

/// An event's position on its tape: counted from 0, without holes.
///
/// Order on a tape comes from `Seq` and nothing else; resume tokens are opaque.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(u64);

impl Seq {
    /// The position of a tape's first event.
    pub const ZERO: Self = Self(0);

    /// The position after which `n` events precede it.
    #[must_use]
    pub const fn new(n: u64) -> Self {
        Self(n)
    }

    /// How many events precede this position.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// How many events lie in `earlier..self`; 0 if `earlier` is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The position of the event that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Add<u64> for Seq {
    type Output = Self;

    fn add(self, events: u64) -> Self {
        Self(self.0 + events)
    }
}

impl fmt::Display for Seq {
    /// As the command line takes it: `#42`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}
