//! `Page`: events made ready to leave: selected, under their new names, with their place in
//! time.
//!
//! A page owns its events' bytes in one buffer, so that any run of them can be handed to a
//! sink without looking for where they begin, and so that what was not selected takes no
//! memory.

use changetape_core::{ChangeEvent, Seq, WallTime};

use crate::{Error, Offset};

/// Events that are ready to leave.
#[derive(Debug, Default)]
pub(crate) struct Page {
    bytes: Vec<u8>,
    items: Vec<Item>,
}

/// Where an event is in its page, on the tape and in time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    pub(crate) seq: Seq,
    pub(crate) offset: Offset,
    pub(crate) time: WallTime,
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
}

impl Page {
    pub(crate) fn with_capacity(events: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), items: Vec::with_capacity(events) }
    }

    pub(crate) fn push(&mut self, seq: Seq, offset: Offset, time: WallTime, event: &[u8]) {
        self.bytes.extend_from_slice(event);
        self.items.push(Item { seq, offset, time, end: self.bytes.len() });
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

    /// The event at `index`.
    ///
    /// # Errors
    /// [`Error::Event`] never in practice: the bytes were an event's when they were pushed.
    pub(crate) fn outgoing(&self, index: usize) -> Result<Outgoing<'_>, Error> {
        let item = self.items.get(index).copied();
        let (seq, end) = item.map_or((Seq::ZERO, 0), |item| (item.seq, item.end));
        let bytes = self.bytes.get(self.start_of(index)..end).unwrap_or_default();
        let event = ChangeEvent::from_bytes(bytes).map_err(Error::event(seq))?;
        Ok(Outgoing { seq, event })
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
        let mut page = Page::default();
        for (n, event) in (0..).zip(&events) {
            page.push(
                Seq::new(n),
                Offset::from_nanos(n),
                WallTime::from_millis(0),
                event.as_bytes(),
            );
        }
        for (n, event) in events.iter().enumerate() {
            let outgoing = page.outgoing(n).unwrap();
            assert_eq!(outgoing.event.as_bytes(), event.as_bytes());
            assert_eq!(outgoing.seq, page.items()[n].seq);
            assert_eq!(page.event_len(n), event.as_bytes().len());
        }
        assert!(page.outgoing(3).is_err());
    }
}
