//! `Tally`: how many events of each kind a workload caused.

use std::collections::BTreeMap;
use std::fmt;

use changetape_core::OperationType;

/// Counts of change events by their operation type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<OperationType, u64>);

impl Tally {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Counts `events` more of a kind.
    pub fn add(&mut self, kind: OperationType, events: u64) {
        if events > 0 {
            *self.0.entry(kind).or_default() += events;
        }
    }

    /// How many of a kind.
    #[must_use]
    pub fn of(&self, kind: &OperationType) -> u64 {
        self.0.get(kind).copied().unwrap_or(0)
    }

    /// How many of all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// The counts, each kind that occurred once.
    pub fn iter(&self) -> impl Iterator<Item = (&OperationType, u64)> {
        self.0.iter().map(|(kind, &events)| (kind, events))
    }
}

impl Extend<(OperationType, u64)> for Tally {
    fn extend<T: IntoIterator<Item = (OperationType, u64)>>(&mut self, counts: T) {
        for (kind, events) in counts {
            self.add(kind, events);
        }
    }
}

impl fmt::Display for Tally {
    /// `12 insert, 3 update`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no events");
        }
        for (index, (kind, events)) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{events} {kind}")?;
        }
        Ok(())
    }
}
