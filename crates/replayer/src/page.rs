//! `Page`: events made ready to leave: selected, under their new names, with their place in
//! time.
//!
//! A page owns its events' bytes in one buffer, so that any run of them can be handed to a
//! sink without looking for where they begin, and so that what was not selected takes no
//! memory. No page ends within a transaction; one that is too large to be held in memory is a page
//! that says where on the tape it is.

use std::fmt;
use std::ops::Range;

use changetape_core::{ChangeEvent, Position, Seq, WallTime};

use crate::clock::Instant;
use crate::{Error, Offset, Placed};

/// Events that are ready to leave.
#[derive(Debug, Default)]
pub(crate) struct Page {
    bytes: Vec<u8>,
    items: Vec<Item>,
    on_tape: Option<OnTape>,
    /// The lap that it is of, from 1; 0 before that is known.
    lap: u64,
}

/// A transaction whose events are left on the tape until it is their turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OnTape {
    /// From its first event to its last; what lies between and was not selected does not count.
    pub(crate) range: Range<Seq>,
    /// How many events, and how many bytes.
    pub(crate) events: u64,
    pub(crate) bytes: usize,
}

/// Where an event is in the transaction that it was recorded in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transaction {
    /// It was in none, or alone in one.
    #[default]
    None,
    /// More events of its transaction follow.
    Continues,
    /// It is the last of its transaction.
    Ends,
}

/// Where an event is in its page, on the tape and in time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    pub(crate) seq: Seq,
    pub(crate) offset: Offset,
    pub(crate) time: WallTime,
    pub(crate) transaction: Transaction,
    /// See [`Placed::resolution`].
    pub(crate) resolution: u32,
    /// Where its bytes end; they begin where those of the item before end.
    end: usize,
}

/// An event on its way into a sink.
#[derive(Debug, Clone)]
pub struct Outgoing<'a> {
    /// Its place on the tape.
    pub seq: Seq,
    /// The event, under the names it is to have at the sink.
    pub event: ChangeEvent<'a>,
    /// Where it is in its transaction. Whoever is offered one is offered all of it.
    pub transaction: Transaction,
    /// When it is due: by now, or it would not be on its way.
    pub due: Instant,
}

/// A transaction that is too large to be held in memory: its events are on the tape.
pub struct LongTransaction<'a> {
    on_tape: &'a OnTape,
    tape: &'a dyn ReadAgain,
    due: Instant,
}

/// What reads the events of a range once more.
pub(crate) trait ReadAgain: Sync {
    /// The first event at or after a place.
    fn find(&self, place: Position) -> Result<Seq, Error>;

    /// Hands them out as they are to leave, all at the same time, a part after the other, until no
    /// more are wanted.
    fn each(
        &self,
        range: &Range<Seq>,
        due: Instant,
        take: &mut dyn FnMut(&[Outgoing<'_>]) -> bool,
    ) -> Result<(), Error>;
}

impl<'a> LongTransaction<'a> {
    pub(crate) fn new(on_tape: &'a OnTape, tape: &'a dyn ReadAgain, due: Instant) -> Self {
        Self { on_tape, tape, due }
    }

    /// Its first event.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.on_tape.range.start
    }

    /// How many events it has.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.on_tape.events
    }

    /// Reads its events, in order and a part at a time, as often as it is asked to. What takes them
    /// says whether it wants more.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn each(&self, take: &mut dyn FnMut(&[Outgoing<'_>]) -> bool) -> Result<(), Error> {
        self.tape.each(&self.on_tape.range, self.due, take)
    }
}

impl fmt::Debug for LongTransaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.on_tape.fmt(f)
    }
}

impl Page {
    /// One that stands for a transaction on the tape.
    pub(crate) fn on_tape(transaction: OnTape, placed: Placed) -> Self {
        let seq = transaction.range.start;
        let mut page = Self::default();
        page.push(seq, placed, Transaction::None, &[]);
        page.on_tape = Some(transaction);
        page
    }

    pub(crate) fn push(
        &mut self,
        seq: Seq,
        placed: Placed,
        transaction: Transaction,
        event: &[u8],
    ) {
        self.bytes.extend_from_slice(event);
        let Placed { offset, time, resolution } = placed;
        let end = self.bytes.len();
        self.items.push(Item { seq, offset, time, transaction, resolution, end });
    }

    /// Says where the last event is in its transaction.
    pub(crate) fn set_last(&mut self, transaction: Transaction) {
        if let Some(last) = self.items.last_mut() {
            last.transaction = transaction;
        }
    }

    /// Moves events in time.
    pub(crate) fn items_mut(&mut self) -> &mut [Item] {
        &mut self.items
    }

    /// Takes out the events from one on.
    pub(crate) fn split_off(&mut self, index: usize) -> Self {
        if index == 0 {
            return std::mem::take(self);
        }
        let at = self.start_of(index);
        let bytes = self.bytes.split_off(at);
        let mut items = self.items.split_off(index.min(self.items.len()));
        for item in &mut items {
            item.end -= at;
        }
        Self { bytes, items, ..Self::default() }
    }

    /// The same page, of a lap.
    pub(crate) fn in_lap(self, lap: u64) -> Self {
        Self { lap, ..self }
    }

    /// The lap that it is of.
    pub(crate) fn lap(&self) -> u64 {
        self.lap
    }

    /// The transaction that the page stands for, if it is one.
    pub(crate) fn transaction(&self) -> Option<&OnTape> {
        self.on_tape.as_ref()
    }

    pub(crate) fn items(&self) -> &[Item] {
        &self.items
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// What the page takes in memory.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity() + self.items.capacity() * size_of::<Item>()
    }

    /// How many bytes the event at `index` has.
    pub(crate) fn event_len(&self, index: usize) -> usize {
        self.items.get(index).map_or(0, |item| item.end - self.start_of(index))
    }

    /// The event at `index`, which leaves because it is `due`.
    ///
    /// # Errors
    /// [`Error::Event`] never in practice: the bytes were an event's when they were pushed.
    pub(crate) fn outgoing(&self, index: usize, due: Instant) -> Result<Outgoing<'_>, Error> {
        let item = self.items.get(index).copied();
        let (seq, end) = item.map_or((Seq::ZERO, 0), |item| (item.seq, item.end));
        let transaction = item.map(|item| item.transaction).unwrap_or_default();
        let bytes = self.bytes.get(self.start_of(index)..end).unwrap_or_default();
        let event = ChangeEvent::from_bytes(bytes).map_err(Error::event(seq))?;
        Ok(Outgoing { seq, event, transaction, due })
    }

    fn start_of(&self, index: usize) -> usize {
        let before = index.checked_sub(1).and_then(|before| self.items.get(before));
        before.map_or(0, |item| item.end)
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    #[test]
    fn events_come_out_as_they_went_in() {
        let events = [rawdoc! {"a": 1}, rawdoc! {}, rawdoc! {"b": "text"}];
        let (mut page, now) = (Page::default(), Instant::default());
        for (n, event) in (0..).zip(&events) {
            let placed = Placed {
                offset: Offset::from_nanos(n),
                time: WallTime::from_millis(0),
                resolution: 0,
            };
            page.push(Seq::new(n), placed, Transaction::None, event.as_bytes());
        }
        for (n, event) in events.iter().enumerate() {
            let outgoing = page.outgoing(n, now).unwrap();
            assert_eq!(outgoing.event.as_bytes(), event.as_bytes());
            assert_eq!(outgoing.seq, page.items()[n].seq);
            assert_eq!(page.event_len(n), event.as_bytes().len());
        }
        assert!(page.outgoing(3, now).is_err());

        let rest = page.split_off(1);
        assert_eq!((page.items().len(), rest.items().len()), (1, 2));
        assert_eq!(page.outgoing(0, now).unwrap().event.as_bytes(), events[0].as_bytes());
        assert_eq!(rest.outgoing(1, now).unwrap().event.as_bytes(), events[2].as_bytes());
        assert_eq!(rest.outgoing(0, now).unwrap().seq, Seq::new(1));
    }
}
