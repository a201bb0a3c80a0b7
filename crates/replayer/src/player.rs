//! The player: hands events to the sink when they are due.
//!
//! Runs on a thread of its own. In a loop: wait until the next event is due; gather whatever
//! else is due by then, in order, up to a bound; offer it to the sink until it has taken all
//! of it. So events of one instant leave in one write, and when the sink is slower than the
//! schedule, what has fallen due in the meantime leaves together, at once. Nothing is
//! dropped, and being late moves no due time. No offer ends within a transaction.

use std::collections::VecDeque;
use std::time::Duration;

use changetape_core::{Seq, WallTime};

use crate::clock::{Clock, Instant, Waited};
use crate::delays::LagRecorder;
use crate::fidelity::{Cause, FidelityRecorder};
use crate::page::{Item, LongTransaction, Outgoing, Page, ReadAgain, Transaction};
use crate::read_ahead::{Queue, Taken as Pages};
use crate::sink::{Sink, Taken};
use crate::summary::{Ended, Tally};
use crate::{Error, LatenessRows, Pacer, Progress, Speed, Stop};

/// The most events that are offered to a sink at once.
const MAX_OFFER_EVENTS: usize = 4096;

/// The most bytes that are offered at once; a single event may have more.
const MAX_OFFER_BYTES: usize = 8 * 1024 * 1024;

/// Where a player gets its events from.
#[derive(Clone, Copy)]
pub(crate) struct Ready<'a> {
    pub(crate) queue: &'a Queue,
    /// Reads what the queue only names.
    pub(crate) tape: &'a dyn ReadAgain,
}

/// Hands events to a sink when they are due.
pub(crate) struct Player<'a, C> {
    from: Ready<'a>,
    sink: &'a mut dyn Sink,
    clock: C,
    speed: Speed,
    progress: &'a Progress,
    stop: &'a Stop,
    /// Pages with events still to leave.
    pages: VecDeque<Page>,
    /// Which event of the first page is the next to leave.
    next: usize,
    played: Played,
}

/// What a player has done so far.
#[derive(Debug, Default)]
pub(crate) struct Played {
    pub(crate) delivered: u64,
    pub(crate) bytes: u64,
    pub(crate) reached: Option<Seq>,
    pub(crate) tape_time: Option<(WallTime, WallTime)>,
    pub(crate) elapsed: Duration,
    pub(crate) fidelity: Option<FidelityRecorder>,
    rows: Option<LatenessRows>,
    pub(crate) lag: Option<LagRecorder>,
    /// When the sink had taken what it was offered last.
    free_from: Option<Instant>,
    pub(crate) tally: Tally,
}

/// What comes next.
enum Next {
    /// An event.
    At(Item),
    /// Nothing; why.
    None(Ended),
}

/// An event that is due, or a transaction on the tape, and what is to be told about it.
struct Due {
    /// The last event of it.
    seq: Seq,
    at: Instant,
    time: WallTime,
    events: u64,
    bytes: usize,
}

/// When the sink got events for the first time and the last, and when it had taken them.
struct Moments {
    handed: Instant,
    sent: Instant,
    acknowledged: Instant,
}

impl<'a, C: Clock> Player<'a, C> {
    pub(crate) fn new(
        from: Ready<'a>,
        sink: &'a mut dyn Sink,
        clock: C,
        speed: Speed,
        progress: &'a Progress,
        stop: &'a Stop,
    ) -> Self {
        let played = Played::default();
        Self { from, sink, clock, speed, progress, stop, pages: VecDeque::new(), next: 0, played }
    }

    /// Logs when each event was due and when it left.
    pub(crate) fn with_lateness(mut self, rows: Option<LatenessRows>) -> Self {
        self.played.rows = rows;
        self
    }

    /// Plays until the end, a stop or an error. What was done until then is told either way.
    pub(crate) fn play(mut self) -> (Result<Ended, Error>, Played) {
        let result = self.run();
        (result, self.played)
    }

    fn run(&mut self) -> Result<Ended, Error> {
        self.from.queue.wait_filled(self.stop);
        let first = match self.next()? {
            Next::At(item) => item,
            Next::None(ended) => return self.end(ended),
        };
        // Which takes its time, so before the clock is started.
        let (lag, fidelity) = (LagRecorder::new(), FidelityRecorder::new());
        let started = self.clock.now();
        let pacer = Pacer::new(self.speed, started, first.offset);
        self.played.lag = lag;
        if pacer.is_paced() {
            self.played.fidelity = fidelity;
            self.progress.started(&pacer, first.offset, first.time);
        }
        let ended = loop {
            let item = match self.next()? {
                Next::At(item) => item,
                Next::None(ended) => break ended,
            };
            if self.clock.wait_until(pacer.due(item.offset), self.stop) == Waited::Stopped {
                break Ended::Stopped;
            }
            let (events, ended) = if let Some(due) = self.on_tape(&pacer) {
                (1, self.offer_from_tape(due)?)
            } else {
                let due = self.gather(&pacer)?;
                (due.len(), self.offer(&due)?)
            };
            self.played.elapsed = self.clock.now().since(started);
            if let Some(ended) = ended {
                break ended;
            }
            self.leave_behind(events);
        };
        self.end(ended)
    }

    fn end(&mut self, ended: Ended) -> Result<Ended, Error> {
        if ended != Ended::SinkClosed {
            self.sink.finish()?;
        }
        Ok(ended)
    }

    /// The next event, waiting for it to be read.
    fn next(&mut self) -> Result<Next, Error> {
        if self.pages.is_empty() {
            match self.from.queue.take(&mut self.pages, self.stop)? {
                Pages::Pages => {}
                Pages::End => return Ok(Next::None(Ended::AtTheEnd)),
                Pages::Stopped => return Ok(Next::None(Ended::Stopped)),
            }
        }
        let item = self.pages.front().and_then(|page| page.items().get(self.next));
        Ok(item.map_or(Next::None(Ended::AtTheEnd), |&item| Next::At(item)))
    }

    /// The next to leave, if it is a transaction on the tape.
    fn on_tape(&self, pacer: &Pacer) -> Option<Due> {
        let page = self.pages.front()?;
        let (transaction, item) = page.transaction().zip(page.items().first())?;
        let seq = Seq::new(transaction.range.end.get().saturating_sub(1));
        let (at, time) = (pacer.due(item.offset), item.time);
        Some(Due { seq, at, time, events: transaction.events, bytes: transaction.bytes })
    }

    /// The events that are due now, at least the first, and no part of a transaction.
    fn gather(&mut self, pacer: &Pacer) -> Result<Vec<Due>, Error> {
        let now = self.clock.now();
        let mut due = Vec::new();
        let mut gathered = 0;
        let mut continues = false;
        let (mut page, mut index) = (0, self.next);
        while continues || due.len() < MAX_OFFER_EVENTS {
            let Some(ready) = self.pages.get(page) else {
                // Everything at hand is due: look whether more has been read meanwhile.
                if self.from.queue.has_pages() {
                    self.from.queue.take(&mut self.pages, self.stop)?;
                    continue;
                }
                break;
            };
            if ready.transaction().is_some() {
                break;
            }
            let Some(item) = ready.items().get(index) else {
                (page, index) = (page + 1, 0);
                continue;
            };
            let at = pacer.due(item.offset);
            let bytes = ready.event_len(index);
            let fits = at <= now && gathered + bytes <= MAX_OFFER_BYTES;
            if !fits && !continues && !due.is_empty() {
                break;
            }
            gathered += bytes;
            continues = item.transaction == Transaction::Continues;
            due.push(Due { seq: item.seq, at, time: item.time, events: 1, bytes });
            index += 1;
        }
        Ok(due)
    }

    /// Offers events until the sink has taken all of them; otherwise why not.
    fn offer(&mut self, due: &[Due]) -> Result<Option<Ended>, Error> {
        let outgoing = outgoing(&self.pages, self.next, due)?;
        let (mut due, mut outgoing) = (due, outgoing.as_slice());
        let handed = self.clock.now();
        while !outgoing.is_empty() {
            let left_out_before = self.played.tally.left_out();
            let sent = self.clock.now();
            let taken = match self.sink.deliver(outgoing, &mut self.played.tally, self.stop)? {
                Taken::Events(taken) => taken.clamp(1, outgoing.len()),
                Taken::Closed => return Ok(Some(Ended::SinkClosed)),
                Taken::Stopped => return Ok(Some(Ended::Stopped)),
            };
            let left_out = self.played.tally.left_out() - left_out_before;
            let (done, rest) = due.split_at(taken);
            let at = Moments { handed, sent, acknowledged: self.clock.now() };
            self.played.record(done, left_out, &at, self.progress);
            due = rest;
            outgoing = outgoing.get(taken..).unwrap_or_default();
            if !outgoing.is_empty() && self.stop.is_requested() {
                return Ok(Some(Ended::Stopped));
            }
        }
        Ok(None)
    }

    /// Offers a transaction that is on the tape; otherwise why it is not taken.
    fn offer_from_tape(&mut self, due: Due) -> Result<Option<Ended>, Error> {
        let on_tape = self.pages.front().and_then(Page::transaction);
        let Some(on_tape) = on_tape else { return Ok(None) };
        let transaction = LongTransaction::new(on_tape, self.from.tape, due.at);
        let left_out_before = self.played.tally.left_out();
        let sent = self.clock.now();
        match self.sink.deliver_from_tape(&transaction, &mut self.played.tally, self.stop)? {
            Taken::Events(_) => {}
            Taken::Closed => return Ok(Some(Ended::SinkClosed)),
            Taken::Stopped => return Ok(Some(Ended::Stopped)),
        }
        let left_out = self.played.tally.left_out() - left_out_before;
        let at = Moments { handed: sent, sent, acknowledged: self.clock.now() };
        self.played.record(&[due], left_out, &at, self.progress);
        Ok(None)
    }

    /// Forgets so many events, and the pages that have no others.
    fn leave_behind(&mut self, events: usize) {
        self.next += events;
        while let Some(page) = self.pages.front() {
            let len = page.items().len();
            if self.next < len {
                break;
            }
            self.next -= len;
            self.pages.pop_front();
        }
    }
}

impl Played {
    fn record(&mut self, done: &[Due], left_out: u64, at: &Moments, to: &Progress) {
        let (Some(first), Some(last)) = (done.first(), done.last()) else { return };
        let events: u64 = done.iter().map(|due| due.events).sum();
        let delivered = events.saturating_sub(left_out);
        let bytes: u64 = done.iter().map(|due| due.bytes as u64).sum();
        self.delivered += delivered;
        self.bytes += bytes;
        self.reached = Some(last.seq.next());
        let begin = self.tape_time.map_or(first.time, |(begin, _)| begin);
        self.tape_time = Some((begin, last.time));
        let is_paced = self.fidelity.is_some();
        if let Some(recorder) = &mut self.fidelity {
            for due in done {
                let was_free = self.free_from.is_none_or(|from| from < due.at);
                let cause = if was_free { Cause::Player } else { Cause::Sink };
                recorder.record(due.at, at.sent, due.events, cause);
                if let Some(rows) = &mut self.rows {
                    rows.push(due.seq, due.at, at.sent);
                }
            }
            to.late(at.sent.since(last.at));
        }
        self.free_from = Some(at.acknowledged);
        let lag = |due: &Due| at.acknowledged.since(if is_paced { due.at } else { at.handed });
        if let Some(recorder) = &mut self.lag {
            for due in done {
                recorder.record(lag(due), due.events);
            }
            to.lagging(lag(last));
        }
        to.delivered(delivered, bytes, last.seq.next(), last.time);
    }
}

/// The events that are due, from the first page's `next` on, ready to be offered.
fn outgoing<'a>(
    pages: &'a VecDeque<Page>,
    next: usize,
    due: &[Due],
) -> Result<Vec<Outgoing<'a>>, Error> {
    let mut skip = next;
    let mut outgoing = Vec::with_capacity(due.len());
    for page in pages {
        let len = page.items().len();
        for index in skip..len {
            let Some(due) = due.get(outgoing.len()) else { return Ok(outgoing) };
            outgoing.push(page.outgoing(index, due.at)?);
        }
        skip = skip.saturating_sub(len);
    }
    Ok(outgoing)
}

#[cfg(test)]
mod tests;
