//! Recorded transactions: which of the events that are offered are applied together.
//!
//! Pure: events in, parts of them out.

use crate::Transaction;
use crate::page::Outgoing;

/// What becomes of the transactions that events were recorded in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transactions {
    /// Each is a transaction on the target: what came before it is there before, and what came after
    /// it is not.
    #[default]
    Atomic,
    /// Each is there at once, perhaps together with others and with what lies around them.
    Grouped,
    /// Their events are applied like any others.
    Off,
}

impl Transactions {
    /// What is to become of them one after the other, where they cannot be applied with others.
    pub(super) fn separately(self) -> Self {
        match self {
            Self::Atomic | Self::Grouped => Self::Atomic,
            Self::Off => Self::Off,
        }
    }
}

/// What is next to be applied.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Front {
    /// So many events that may be regrouped.
    Plain(usize),
    /// So many events, which are one transaction.
    Transaction(usize),
}

impl Front {
    /// Of events that begin with a whole transaction, if with any.
    pub(super) fn of(due: &[Outgoing<'_>], transactions: Transactions) -> Self {
        if transactions != Transactions::Atomic {
            return Self::Plain(due.len());
        }
        match transaction(due) {
            Some(events) => Self::Transaction(events),
            None => Self::Plain(plain(due)),
        }
    }
}

/// How many events the transaction has that is at the front, if one is.
pub(super) fn transaction(due: &[Outgoing<'_>]) -> Option<usize> {
    let first = due.first()?;
    (first.transaction != Transaction::None).then(|| {
        let end = due.iter().position(|event| event.transaction == Transaction::Ends);
        end.map_or(due.len(), |end| end + 1)
    })
}

/// How many events are in front of the first transaction.
pub(super) fn plain(due: &[Outgoing<'_>]) -> usize {
    let first = due.iter().position(|event| event.transaction != Transaction::None);
    first.unwrap_or(due.len())
}

/// How many events at the front may not be parted.
pub(super) fn unit(due: &[Outgoing<'_>], transactions: Transactions) -> usize {
    let kept = transaction(due).filter(|_| transactions != Transactions::Off);
    kept.unwrap_or_else(|| due.len().min(1))
}

/// How many transactions end among events.
pub(super) fn ended(due: &[Outgoing<'_>]) -> u64 {
    due.iter().map(|event| u64::from(event.transaction == Transaction::Ends)).sum()
}
