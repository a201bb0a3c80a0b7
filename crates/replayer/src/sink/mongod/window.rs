//! `Window`: the events at the front, regrouped into few commands, for one transaction or several
//! that run at the same time.
//!
//! Pure: events in, commands out.
//!
//! ```text
//! tape     insert 1 · update 1 · insert 2 · delete 1 · update 2
//! window   insert 1, 2 │ update 1, 2 │ delete 1
//! ```
//! Runs of one kind are short on most tapes, and each would be a round trip. What has to keep its
//! order is told by [`Order`]. An event goes into the first command of its kind and namespace that
//! does not come before what it has to follow; within a command statements are executed in order.
//! So each document's events keep theirs. Several transactions share a window by its documents; a
//! collection in whose unique indexes they may be in each other's way is in one of them. What was
//! recorded as one transaction, and is to be there at once, goes into a window as a whole.

mod gather;

use bson::Document;
use changetape_core::Namespace;

use super::run::{MAX_BYTES, MAX_STATEMENTS, Run};
use super::statement::Command;
pub(super) use gather::Rules;

/// The most events in a window, and the most bytes, unless a single event has more: what a server
/// has to hold until the transaction ends, and what is done again if it cannot.
const MAX_EVENTS: usize = 4096;
const MAX_WINDOW_BYTES: usize = 16 << 20;

/// Which events keep the order that they have on the tape.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Those of one document.
    #[default]
    Document,
    /// Those of one collection.
    Namespace,
    /// All.
    Global,
}

/// What may be done with the events of a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Regrouping {
    /// Whatever keeps each document's order.
    Free,
    /// The same, in one transaction: its documents may be in each other's way, in a unique index, or
    /// where a collation takes two `_id`s for one.
    Together,
    /// They cannot be in a transaction: it is capped.
    Alone,
}

impl Regrouping {
    /// By a collection's entry of `listCollections` and those of `listIndexes`.
    pub(super) fn of(collection: &Document, indexes: &[Document]) -> Self {
        let options = collection.get_document("options").ok();
        let has = |option| options.is_some_and(|options| options.contains_key(option));
        let is_unique = |index: &Document| index.get_bool("unique").unwrap_or(false);
        if has("capped") {
            Self::Alone
        } else if has("collation") || indexes.iter().any(is_unique) {
            Self::Together
        } else {
            Self::Free
        }
    }
}

/// One command.
pub(super) struct Group {
    pub(super) namespace: Namespace,
    pub(super) run: Run,
    command: Command,
    bytes: usize,
}

/// What is applied at once.
pub(super) struct Window {
    /// What each transaction takes; they may run at the same time.
    pub(super) shares: Vec<Share>,
    /// How many events.
    pub(super) events: usize,
    /// Whether a document is updated twice.
    repeats: bool,
}

/// What one transaction takes.
#[derive(Default)]
pub(super) struct Share {
    /// In the order of their execution.
    pub(super) groups: Vec<Group>,
    /// Which of the events that were offered, in the order of the tape.
    pub(super) events: Vec<usize>,
}

impl Window {
    /// Whether it is no more than one command, which may be executed by itself (see [`run`](super::run)).
    pub(super) fn is_one_run(&self) -> bool {
        let groups = self.shares.iter().map(|share| share.groups.len()).sum::<usize>();
        groups < 2 && !self.repeats
    }
}

impl Share {
    /// The first command from `after` on that takes so many more statements; a new one at the end
    /// if there is none.
    fn place(
        &mut self,
        ns: &Namespace,
        command: Command,
        statements: usize,
        bytes: usize,
        after: usize,
    ) -> usize {
        let takes = |group: &Group| {
            group.command == command
                && group.run.planned().len() + statements <= MAX_STATEMENTS
                && group.bytes + bytes <= MAX_BYTES
                && group.namespace == *ns
        };
        if let Some(at) = self.groups.iter().skip(after).position(takes) {
            return after + at;
        }
        let run = Run::begin(command, ns);
        self.groups.push(Group { namespace: ns.clone(), run, command, bytes: 0 });
        self.groups.len() - 1
    }
}

#[cfg(test)]
mod tests;
