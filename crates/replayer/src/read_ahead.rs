//! Reading ahead: from the tape's blocks to pages that are ready to leave.
//!
//! ```text
//! reader thread: block ─► select ─► map ─► place in time ─► together ─► spread ─► queue ─► player thread
//!                  ▲                                                               │
//!                  └────────────────────── another place, another lap ─────────────┘
//! ```
//! The queue between the two threads is bounded in bytes, so memory does not grow with the
//! tape or with the sink's slowness. What the reader notices (events left out, repaired
//! times) it hands over at the end.

mod queue;
mod spread;
mod transactions;

use std::ops::Range;

use changetape_core::{Position, Seq};
use changetape_tape::{Block, TapeReader};

pub(crate) use queue::{AFTER_SEEK, EndOnDrop, FIRST_FILL, Queue, Taken, Wanted};

use crate::clock::Instant;
use crate::namespace_map::Mapped;
use crate::page::{Outgoing, Page, ReadAgain};
use crate::summary::Tally;
use crate::{
    Error, Laps, Missing, NamespaceMap, Progress, ReplayOptions, Selection, Timeline,
    TimelineOptions, Times,
};
use spread::Spreading;
use transactions::Together;

/// What the reader makes of the tape, and what it noticed.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) selection: &'a Selection,
    pub(crate) map: &'a NamespaceMap,
    pub(crate) missing: Missing,
    pub(crate) laps: Laps,
    pub(crate) progress: &'a Progress,
    options: TimelineOptions,
    pub(crate) timeline: Timeline,
    pub(crate) tally: Tally,
    /// Events inside the range, selected or not, over all laps.
    pub(crate) read: u64,
    /// Events that took part.
    pub(crate) selected: u64,
    /// Whether a transaction is left out that has not ended where the range does.
    pub(crate) holds_back: bool,
    /// Where such a one begins.
    pub(crate) held_back: Option<Seq>,
}

/// A tape that is read once more, as a replay reads it.
pub(crate) struct Again<'a> {
    pub(crate) tape: &'a TapeReader,
    pub(crate) options: &'a ReplayOptions,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(options: &'a ReplayOptions, progress: &'a Progress) -> Self {
        let ReplayOptions { selection, map, missing, laps, timeline: options, .. } = options;
        let (timeline, tally) = (Timeline::new(*options), Tally::default());
        Self {
            selection,
            map,
            missing: *missing,
            laps: *laps,
            progress,
            options: *options,
            timeline,
            tally,
            read: 0,
            selected: 0,
            holds_back: false,
            held_back: None,
        }
    }

    /// Fills the queue with the events of a range, as often as it is played, until nobody takes any
    /// more; from another place on where somebody wants that.
    pub(crate) fn run(&mut self, tape: &TapeReader, range: &Range<Seq>, queue: &Queue) {
        let _end = EndOnDrop(queue);
        let (mut from, mut lap) = (range.start, 1);
        loop {
            let selected = self.selected;
            let result = self.lap(lap, tape, &(from..range.end), queue);
            // Where nothing is selected in all of it, nothing would be for ever.
            let may_be_more = self.selected > selected || from > range.start;
            let is_next = result.is_ok() && may_be_more && self.laps.go_on_after(lap);
            (from, lap) = match queue.wanted() {
                Wanted::More if is_next => (range.start, lap + 1),
                Wanted::More => {
                    queue.end(result);
                    let Wanted::From { seq, lap } = queue.wait_wanted() else { return };
                    (seq, lap)
                }
                Wanted::From { seq, lap } => (seq, lap),
                Wanted::Nothing => return,
            };
            self.timeline.begin_again();
        }
    }

    /// Fills the queue with the events of a part, until its end or until they are not wanted.
    fn lap(
        &mut self,
        lap: u64,
        tape: &TapeReader,
        range: &Range<Seq>,
        queue: &Queue,
    ) -> Result<(), Error> {
        let push = |page: Page| queue.push(page.in_lap(lap));
        let (mut together, mut spreading) =
            (Together::default(), Spreading::new(self.options.spread));
        let read = std::mem::take(&mut self.read);
        let filled = self.fill(tape, range, &mut together, &mut |pages| {
            spreading.add(pages).into_iter().all(push) && queue.wants_more()
        });
        self.read += read;
        // What was made ready before an error is delivered before it.
        spreading.end().into_iter().all(push);
        filled
    }

    fn fill(
        &mut self,
        tape: &TapeReader,
        range: &Range<Seq>,
        together: &mut Together,
        push: &mut dyn FnMut(Vec<Page>) -> bool,
    ) -> Result<(), Error> {
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
                    // What was made ready before an error is delivered before it.
                    let added = self.add(&block, range, together);
                    let is_wanted = push(together.take());
                    added?;
                    if !is_wanted {
                        self.reached(from.position(), range);
                        return Ok(());
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
        self.held_back = together.begun().filter(|_| self.holds_back);
        if self.held_back.is_none() {
            push(together.end());
        }
        Ok(())
    }

    fn reached(&mut self, position: Seq, range: &Range<Seq>) {
        let position = position.min(range.end);
        self.read = position.since(range.start);
        self.progress.reading(position);
    }

    /// Makes the events of a block ready.
    fn add(
        &mut self,
        block: &Block,
        range: &Range<Seq>,
        together: &mut Together,
    ) -> Result<(), Error> {
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
            let transaction = event.transaction().map_err(&bad)?;
            let placed = if let Some(placed) = together.place(transaction) {
                self.timeline.goes_along();
                placed
            } else {
                let wall = event.wall_time().map_err(&bad)?;
                let cluster = event.cluster_time().map_err(&bad)?;
                self.timeline.place(Times { wall, cluster, arrival: recorded.arrival })
            };
            match self.map.apply(seq, &event)? {
                Mapped::Unchanged => together.push(seq, placed, transaction, event.as_bytes()),
                Mapped::Changed(event) => {
                    together.push(seq, placed, transaction, event.as_bytes());
                }
                Mapped::Impossible(reason) => self.tally.skip(seq, reason),
            }
        }
        Ok(())
    }
}

impl ReadAgain for Again<'_> {
    fn find(&self, place: Position) -> Result<Seq, Error> {
        self.tape.seek(place).map_err(Error::tape)
    }

    fn each(
        &self,
        range: &Range<Seq>,
        due: Instant,
        take: &mut dyn FnMut(&[Outgoing<'_>]) -> bool,
    ) -> Result<(), Error> {
        // What there is to notice has been noticed.
        let progress = Progress::default();
        let mut reader = Reader::new(self.options, &progress);
        let mut failed = Ok(());
        reader.fill(self.tape, range, &mut Together::in_parts(), &mut |pages| {
            pages.iter().all(|page| {
                let events = (0..page.items().len()).map(|index| page.outgoing(index, due));
                match events.collect::<Result<Vec<_>, _>>() {
                    Ok(events) => take(&events),
                    Err(error) => {
                        failed = Err(error);
                        false
                    }
                }
            })
        })?;
        failed
    }
}
