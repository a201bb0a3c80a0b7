//! Reading ahead: from the tape's blocks to pages that are ready to leave.
//!
//! ```text
//! reader thread: block ─► select ─► map ─► place in time ─► ReadAhead ─► player thread
//! ```
//! The queue between the two threads is bounded in bytes, so memory does not grow with the
//! tape or with the sink's slowness. What the reader notices (events left out, repaired
//! times) it hands over at the end.

mod queue;

use std::ops::Range;

use changetape_core::Seq;
use changetape_tape::{Block, TapeReader};

pub(crate) use queue::{EndOnDrop, Queue, Taken};

use crate::namespace_map::Mapped;
use crate::page::Page;
use crate::summary::Tally;
use crate::{Error, Missing, NamespaceMap, Progress, Selection, Timeline};

/// What the reader makes of the tape, and what it noticed.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) selection: &'a Selection,
    pub(crate) map: &'a NamespaceMap,
    pub(crate) missing: Missing,
    pub(crate) progress: &'a Progress,
    pub(crate) timeline: Timeline,
    pub(crate) tally: Tally,
    /// Events inside the range, selected or not.
    pub(crate) read: u64,
    /// Events that took part.
    pub(crate) selected: u64,
}

impl Reader<'_> {
    /// Fills the queue with the events of a range, until its end, an error, or until nobody
    /// takes any more.
    pub(crate) fn run(&mut self, tape: &TapeReader, range: &Range<Seq>, queue: &Queue) {
        let _end = EndOnDrop(queue);
        let result = self.fill(tape, range, queue);
        queue.end(result);
    }

    fn fill(&mut self, tape: &TapeReader, range: &Range<Seq>, queue: &Queue) -> Result<(), Error> {
        if range.is_empty() {
            return Ok(());
        }
        let selection = self.selection;
        let blocks = |from| {
            tape.blocks(from).until(range.end).keeping(|ns, op| selection.covers_kind(ns, op))
        };
        let mut from = blocks(range.start);
        // Blocks that were left out count as read.
        while let Some(block) = from.next() {
            match block {
                Ok(block) => {
                    let page = self.page(&block, range)?;
                    if queue.is_closed() || (!page.is_empty() && !queue.push(page)) {
                        break;
                    }
                }
                Err(error) => {
                    let Some(lost) = self.missing.skips(&error) else {
                        return Err(Error::tape(error));
                    };
                    let lost = lost.start.max(range.start)..lost.end.min(range.end);
                    if !lost.is_empty() {
                        self.tally.skip_damaged(&lost);
                    }
                    from = blocks(lost.end.max(from.position()));
                }
            }
            self.reached(from.position(), range);
        }
        self.reached(from.position(), range);
        Ok(())
    }

    fn reached(&mut self, position: Seq, range: &Range<Seq>) {
        let position = position.min(range.end);
        self.read = position.since(range.start);
        self.progress.reading(position);
    }

    fn page(&mut self, block: &Block, range: &Range<Seq>) -> Result<Page, Error> {
        let mut page = Page::with_capacity(block.len(), 0);
        for recorded in block.events() {
            if !range.contains(&recorded.seq) {
                continue;
            }
            let (seq, event) = (recorded.seq, recorded.event);
            let bad = Error::event(seq);
            if !self.selection.covers(&event).map_err(&bad)? {
                continue;
            }
            self.selected += 1;
            let wall = event.wall_time().map_err(&bad)?;
            let cluster = event.cluster_time().map_err(&bad)?;
            let placed = self.timeline.place(wall, cluster);
            match self.map.apply(seq, &event)? {
                Mapped::Unchanged => page.push(seq, placed.offset, placed.time, event.as_bytes()),
                Mapped::Changed(event) => {
                    page.push(seq, placed.offset, placed.time, event.as_bytes());
                }
                Mapped::Impossible(reason) => self.tally.skip(seq, reason),
            }
        }
        Ok(page)
    }
}
