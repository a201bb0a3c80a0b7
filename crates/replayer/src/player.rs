//! The player: hands events to the sink when they are due.
//!
//! Runs on a thread of its own. In a loop: wait until the next event is due; gather whatever
//! else is due by then, in order, up to a bound; offer it to the sink until it has taken all
//! of it. So events of one instant leave in one write, and when the sink is slower than the
//! schedule, what has fallen due in the meantime leaves together, at once. Nothing is
//! dropped, and being late moves no due time, unless [`OnLate`] says so. No offer ends within a
//! transaction. What is asked for meanwhile is carried out between two offers (see [`obey`]).

mod obey;
mod played;

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use changetape_core::Seq;

use crate::clock::{Clock, Instant, Interrupts, Waited};
use crate::control::Asked;
use crate::delays::LagRecorder;
use crate::fidelity::FidelityRecorder;
use crate::page::{Item, LongTransaction, Outgoing, Page, ReadAgain, Transaction};
use crate::read_ahead::{FIRST_FILL, Queue, Taken as Pages};
use crate::sink::{Sink, Taken};
use crate::summary::Ended;
use crate::{Control, Error, LatenessRows, Offset, OnLate, Pacer, Progress, Speed, Stop};
pub(crate) use played::Played;
use played::{Due, Moments};

/// The most events that are offered to a sink at once.
const MAX_OFFER_EVENTS: usize = 4096;

/// The most bytes that are offered at once; a single event may have more.
const MAX_OFFER_BYTES: usize = 8 * 1024 * 1024;

/// How late an event may leave before a schedule that waits is moved: recorded times are no finer.
const ON_TIME: Duration = Duration::from_millis(1);

/// Where a player gets its events from.
#[derive(Clone, Copy)]
pub(crate) struct Ready<'a> {
    pub(crate) queue: &'a Queue,
    /// Reads what the queue only names.
    pub(crate) tape: &'a dyn ReadAgain,
}

/// How a player plays.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) speed: Speed,
    pub(crate) on_late: OnLate,
    /// What is played of the tape.
    pub(crate) range: Range<Seq>,
    /// Whether the time of the last event says when it is due.
    pub(crate) tells_end: bool,
    /// Whether somebody may go to another place.
    pub(crate) may_seek: bool,
}

/// Who looks at a player and asks it for something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watched<'a> {
    pub(crate) progress: &'a Progress,
    pub(crate) stop: &'a Stop,
    pub(crate) control: &'a Control,
}

/// Hands events to a sink when they are due.
pub(crate) struct Player<'a, C> {
    from: Ready<'a>,
    sink: &'a mut dyn Sink,
    clock: C,
    plan: Plan,
    progress: &'a Progress,
    stop: &'a Stop,
    control: &'a Control,
    pacer: Pacer,
    /// How many more events leave while the schedule stands still, because that was asked for.
    steps: u64,
    /// By whom: that is answered when the last of them has left.
    stepping: Option<Asked>,
    /// Pages with events still to leave.
    pages: VecDeque<Page>,
    /// Which event of the first page is the next to leave.
    next: usize,
    played: Played,
}

/// What comes next.
enum Next {
    /// An event.
    At(Item),
    /// Nothing; why.
    None(Ended),
}

impl<'a, C: Clock> Player<'a, C> {
    pub(crate) fn new(
        from: Ready<'a>,
        sink: &'a mut dyn Sink,
        clock: C,
        plan: Plan,
        watched: Watched<'a>,
    ) -> Self {
        let Watched { progress, stop, control } = watched;
        // Until there is a first event.
        let pacer = Pacer::new(plan.speed, Instant::default(), Offset::default());
        let (pages, played) = (VecDeque::new(), Played::default());
        let (steps, stepping, next) = (0, None, 0);
        Self {
            from,
            sink,
            clock,
            plan,
            progress,
            stop,
            control,
            pacer,
            steps,
            stepping,
            pages,
            next,
            played,
        }
    }

    /// Logs when each event was due and when it left.
    pub(crate) fn with_lateness(mut self, rows: Option<LatenessRows>) -> Self {
        self.played.rows = rows;
        self
    }

    /// Plays until the end, a stop or an error. What was done until then is told either way.
    pub(crate) fn play(mut self) -> (Result<Ended, Error>, Played) {
        let result = self.run();
        self.control.close();
        (result, self.played)
    }

    fn run(&mut self) -> Result<Ended, Error> {
        self.from.queue.wait_filled(FIRST_FILL, self.stop);
        let first = match self.next()? {
            Next::At(item) => item,
            Next::None(ended) => return self.end(ended),
        };
        // Which takes its time, so before the clock is started.
        let (lag, fidelity) = (LagRecorder::new(), FidelityRecorder::new());
        let started = self.clock.now();
        self.pacer = Pacer::new(self.plan.speed, started, first.offset);
        (self.played.lag, self.played.fidelity) = (lag, fidelity);
        self.progress.begins_with(first.time);
        self.tell_schedule(&first);
        let ended = loop {
            let item = match self.next()? {
                Next::At(item) => item,
                Next::None(ended) => break ended,
            };
            match self.wait(&item) {
                Waited::Due => {}
                Waited::Asked => {
                    self.obey(&item)?;
                    continue;
                }
                Waited::Stopped => break Ended::Stopped,
            }
            let late = self.lateness(&item);
            if let OnLate::Stop(bound) = self.plan.on_late
                && late > bound
            {
                break Ended::Late(late);
            }
            let events = match self.deliver(late)? {
                Ok(events) => events,
                Err(ended) => break ended,
            };
            self.played.elapsed = self.clock.now().since(started);
            self.leave_behind(events);
            self.answer_steps();
        };
        self.played.stop_pausing(self.clock.now());
        self.end(ended)
    }

    /// Waits until the next event is due, or is to leave all the same.
    fn wait(&mut self, item: &Item) -> Waited {
        let interrupts = Interrupts { stop: self.stop, control: self.control };
        let waited = match (self.pacer.is_paused(), self.steps) {
            (false, _) => self.clock.wait_until(self.pacer.due(item.offset), interrupts),
            (true, 0) => self.clock.wait_until(Instant::NEVER, interrupts),
            // What is asked for meanwhile is done behind the steps.
            (true, _) if self.stop.is_requested() => Waited::Stopped,
            (true, _) => Waited::Due,
        };
        if waited == Waited::Due && self.pacer.is_paused() {
            self.steps = self.steps.saturating_sub(1);
            self.pacer.begin_anew(self.clock.now(), item.offset);
            self.played.begin_stretch();
        }
        waited
    }

    /// How late an event is that leaves now.
    fn lateness(&self, item: &Item) -> Duration {
        if self.pacer.is_paced() {
            self.clock.now().since(self.pacer.due(item.offset))
        } else {
            Duration::ZERO
        }
    }

    /// Delivers what is due now, the first of which is so `late`: how many items of pages, or why the
    /// replay ends.
    fn deliver(&mut self, late: Duration) -> Result<Result<usize, Ended>, Error> {
        let shift = if self.plan.on_late == OnLate::Shift && late > ON_TIME {
            self.pacer.shift(late);
            self.played.shifted += late;
            late
        } else {
            Duration::ZERO
        };
        let (events, ended) = if let Some(due) = self.on_tape(shift) {
            (1, self.offer_from_tape(due)?)
        } else {
            let due = self.gather(shift)?;
            (due.len(), self.offer(&due)?)
        };
        if shift > Duration::ZERO
            && let Next::At(item) = self.next()?
        {
            self.begin_stretch(&item);
        }
        Ok(ended.map_or(Ok(events), Err))
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
    fn on_tape(&self, shift: Duration) -> Option<Due> {
        let page = self.pages.front()?;
        let (transaction, item) = page.transaction().zip(page.items().first())?;
        let seq = Seq::new(transaction.range.end.get().saturating_sub(1));
        let (events, bytes) = (transaction.events, transaction.bytes);
        let at = self.pacer.due(item.offset).before(shift);
        Some(Due { seq, at, time: item.time, offset: item.offset, events, bytes })
    }

    /// The events that are due now, at least the first, and no part of a transaction. They were due
    /// before the schedule was shifted. While it stands still there is one.
    fn gather(&mut self, shift: Duration) -> Result<Vec<Due>, Error> {
        let now = self.clock.now();
        let most = if self.pacer.is_paused() { 1 } else { MAX_OFFER_EVENTS };
        let mut due = Vec::new();
        let mut gathered = 0;
        let mut continues = false;
        let (mut page, mut index) = (0, self.next);
        while continues || due.len() < most {
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
            let at = self.pacer.due(item.offset);
            let bytes = ready.event_len(index);
            let fits = at <= now && gathered + bytes <= MAX_OFFER_BYTES;
            if !fits && !continues && !due.is_empty() {
                break;
            }
            gathered += bytes;
            continues = item.transaction == Transaction::Continues;
            let at = at.before(shift);
            let Item { seq, time, offset, .. } = *item;
            due.push(Due { seq, at, time, offset, events: 1, bytes });
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
            self.played.record(done, left_out, &at, self.pacer.is_paced(), self.progress);
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
        self.played.record(&[due], left_out, &at, self.pacer.is_paced(), self.progress);
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
