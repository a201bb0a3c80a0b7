//! `Together`: the events of a transaction, kept together on their way from blocks to pages.
//!
//! Pure: events in, pages out.
//!
//! A change stream does not mark where a transaction ends. Its events have its session and number and
//! follow one another, so it has ended when an event comes that has another, or none, or when the tape
//! ends; the end of a block says nothing. Until then its events are held back, up to a bound in bytes.
//! One that has more is let go of: it is on the tape already, and is read from there again when it is
//! its turn.
//!
//! All of a transaction became visible in one moment, so all of it lies where its first event does.

use std::ops::Range;

use bson::raw::{RawDocument, RawDocumentBuf};
use changetape_core::Seq;

use crate::Placed;
use crate::page::{OnTape, Page, Transaction};

/// The most bytes of a transaction that are held in memory, unless a single event has more.
const LIMIT: usize = 8 * 1024 * 1024;

/// Makes pages that no transaction is cut by.
#[derive(Debug)]
pub(super) struct Together {
    limit: usize,
    /// Whether transactions are kept whole.
    is_whole: bool,
    /// What is ready to leave.
    ready: Vec<Page>,
    page: Page,
    open: Option<Open>,
}

/// A transaction whose end has not been seen.
#[derive(Debug)]
struct Open {
    session: RawDocumentBuf,
    number: i64,
    /// Its first event: on the page, and in time.
    at: usize,
    placed: Placed,
    range: Range<Seq>,
    events: u64,
    bytes: usize,
    is_held: bool,
}

impl Default for Together {
    fn default() -> Self {
        let (ready, page) = (Vec::new(), Page::default());
        Self { limit: LIMIT, is_whole: true, ready, page, open: None }
    }
}

impl Together {
    /// Whose pages may end anywhere: for events that are known to be of one transaction.
    pub(super) fn in_parts() -> Self {
        Self { is_whole: false, ..Self::default() }
    }

    /// Where an event lies in time if it is of the transaction that the one before it is of.
    pub(super) fn place(&self, transaction: Option<(&RawDocument, i64)>) -> Option<Placed> {
        let open = self.open.as_ref()?;
        open.is(transaction?).then_some(open.placed)
    }

    /// Adds the next event.
    pub(super) fn push(
        &mut self,
        seq: Seq,
        placed: Placed,
        transaction: Option<(&RawDocument, i64)>,
        event: &[u8],
    ) {
        let transaction = transaction.filter(|_| self.is_whole);
        let goes_on = self.open.as_ref().zip(transaction).is_some_and(|(open, id)| open.is(id));
        if !goes_on {
            self.close();
            let at = self.page.items().len();
            self.open = transaction.map(|id| Open::begin(id, at, seq, placed));
        }
        let Some(open) = &mut self.open else {
            self.page.push(seq, placed, Transaction::None, event);
            return;
        };
        open.range.end = seq.next();
        open.events += 1;
        open.bytes += event.len();
        if open.is_held {
            self.page.push(seq, placed, Transaction::Continues, event);
            if open.bytes > self.limit && open.events > 1 {
                open.is_held = false;
                drop(self.page.split_off(open.at));
                self.cut();
            }
        }
    }

    /// The pages that are ready once a block has been added.
    pub(super) fn take(&mut self) -> Vec<Page> {
        let held = self.open.as_mut().filter(|open| open.is_held).map(|open| {
            let held = self.page.split_off(open.at);
            open.at = 0;
            held
        });
        self.cut();
        self.page = held.unwrap_or_default();
        std::mem::take(&mut self.ready)
    }

    /// Where the transaction begins whose end has not been seen, if there is one.
    pub(super) fn begun(&self) -> Option<Seq> {
        self.open.as_ref().map(|open| open.range.start)
    }

    /// The pages that are left when no event follows.
    pub(super) fn end(&mut self) -> Vec<Page> {
        self.close();
        self.take()
    }

    /// No event of the open transaction follows.
    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        if open.is_held {
            let is_alone = open.events == 1;
            self.page.set_last(if is_alone { Transaction::None } else { Transaction::Ends });
        } else {
            let Open { range, events, bytes, placed, .. } = open;
            self.ready.push(Page::on_tape(OnTape { range, events, bytes }, placed));
        }
    }

    /// Ends the page.
    fn cut(&mut self) {
        let page = std::mem::take(&mut self.page);
        if !page.is_empty() {
            self.ready.push(page);
        }
    }
}

impl Open {
    fn begin((session, number): (&RawDocument, i64), at: usize, seq: Seq, placed: Placed) -> Self {
        let (session, range) = (session.to_owned(), seq..seq);
        Self { session, number, at, placed, range, events: 0, bytes: 0, is_held: true }
    }

    fn is(&self, (session, number): (&RawDocument, i64)) -> bool {
        self.number == number && self.session.as_bytes() == session.as_bytes()
    }
}

#[cfg(test)]
mod tests;
