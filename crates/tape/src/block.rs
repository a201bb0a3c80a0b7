//! `Block`: a run of events that arrived together.

use changetape_core::{Arrival, ChangeEvent, Seq};

/// A run of events, decoded and checked.
#[derive(Debug, Clone)]
pub struct Block {
    first: Seq,
}

/// One event with its place on the tape.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedEvent<'a> {
    /// Its place.
    pub seq: Seq,
    /// When its batch reached the recorder.
    pub arrival: Arrival,
    /// The event.
    pub event: ChangeEvent<'a>,
}

impl Block {
    /// The first event's place.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.first
    }

    /// One past the last event's place.
    #[must_use]
    pub fn end(&self) -> Seq {
        todo!()
    }

    /// How many events it holds; never 0.
    #[must_use]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        todo!()
    }

    /// The events in order.
    pub fn events(&self) -> impl Iterator<Item = RecordedEvent<'_>> {
        std::iter::empty()
    }
}
