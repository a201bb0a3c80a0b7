//! What a replay did: counted while it runs ([`Tally`]), told at the end ([`Summary`]).
//!
//! Nothing is left out in silence. Each selected event is exactly one of *delivered*,
//! *hidden*, *skipped* or *refused* (or comes after where the replay ended). Of those delivered,
//! some may have been *adapted*, *inexact* or *divergent*, which only a database as a sink can
//! tell.

use std::borrow::Cow;
use std::ops::Range;
use std::time::Duration;

use changetape_core::{Namespace, Seq, WallTime};
use changetape_tape::Gap;

use crate::sink::mongod::RefusedEvent;
use crate::{Expiries, Fidelity, Lag, Restored};

/// How many divergences, refusals and inexact updates are listed one by one; the rest are only
/// counted.
const LISTED: usize = 10;

/// Why events are skipped that cannot be read.
const DAMAGED: &str = "the tape is damaged there";

/// Why a replay ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything was played.
    AtTheEnd,
    /// A stop was requested.
    Stopped,
    /// Whoever read the sink went away, as `head` does.
    SinkClosed,
    /// An event would have left so much later than it was due, more than was allowed.
    Late(Duration),
}

/// Events that could not be delivered, for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The reason.
    pub reason: Cow<'static, str>,
    /// How many.
    pub events: u64,
    /// The first of them.
    pub first: Seq,
}

/// An update that was applied from its public description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InexactEvent {
    /// The event.
    pub seq: Seq,
    /// Where it was applied.
    pub namespace: Namespace,
}

/// An event that met a target in another state than the tape tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// The event.
    pub seq: Seq,
    /// Where it was applied.
    pub namespace: Namespace,
    /// What was found.
    pub found: &'static str,
}

/// What a replay did.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Why it ended.
    pub ended: Ended,
    /// What came of the base, where it was to be restored first.
    pub base: Option<Restored>,
    /// The part of the tape that was asked for.
    pub range: Range<Seq>,
    /// One past the last event that was delivered, hidden or skipped.
    pub reached: Seq,
    /// Events of the range that were read.
    pub read: u64,
    /// Events that took part.
    pub selected: u64,
    /// Events that the sink took.
    pub delivered: u64,
    /// Bytes of the events that the sink took.
    pub bytes: u64,
    /// Gaps in the range that was asked for, which were crossed if the replay came that far.
    pub gaps: Vec<Gap>,
    /// Events left out because a `watch()` does not show them.
    pub hidden: u64,
    /// Events left out because they could not be delivered, by reason.
    pub skipped: Vec<Skipped>,
    /// Events left out because the target refused them, where that was chosen.
    pub refused: u64,
    /// The first of them, with the target's answers.
    pub refusals: Vec<RefusedEvent>,
    /// Events whose effect was there already, in whole or in part: a document inserted that
    /// was there (it was replaced), deleted that was gone, replaced that was missing; a
    /// collection or an index that was already so. The result is as recorded.
    pub adapted: u64,
    /// Updates applied from their public description, which does not say everything.
    pub inexact: u64,
    /// The first of them.
    pub inexact_events: Vec<InexactEvent>,
    /// Events that could not have their recorded effect: what they change is not there.
    pub divergent: u64,
    /// The first of them.
    pub divergences: Vec<Divergence>,
    /// Recorded transactions that were applied as one, each at once or several at once.
    pub transactions: u64,
    /// Recorded transactions of which a reader of the target may have seen a part.
    pub torn: u64,
    /// The first event of the first of them.
    pub first_torn: Option<Seq>,
    /// What was kept from expiring while the replay lasted.
    pub expiries: Expiries,
    /// Recorded times that went backwards, were zero or negative, and were moved.
    pub repaired_times: u64,
    /// Events without any recorded time, which left with the event before.
    pub untimed: u64,
    /// Of paced replays.
    pub fidelity: Option<Fidelity>,
    /// Of replays that delivered something.
    pub lag: Option<Lag>,
    /// From the moment the clock was started to the last acknowledgement.
    pub elapsed: Duration,
    /// How long recorded time stood still because somebody asked for that; also behind that moment.
    pub paused: Duration,
    /// How often somebody went to another place on the tape.
    pub seeks: u64,
    /// By how much the schedule was moved because the sink was slow.
    pub shifted: Duration,
    /// How much of the timeline lies between the first and the last event delivered: what it takes at
    /// 1x.
    pub scheduled: Duration,
    /// Recorded times of the first and the last event delivered.
    pub tape_time: Option<(WallTime, WallTime)>,
}

impl Summary {
    /// Whether every selected event had its recorded effect, and none was missing, as far as it
    /// was played; and whether what was held back for it is put right.
    #[must_use]
    pub fn is_faithful(&self) -> bool {
        self.skipped.is_empty()
            && self.refused == 0
            && self.divergent == 0
            && self.inexact == 0
            && self.expiries.left.is_empty()
            && self.crossed().next().is_none()
    }

    /// The gaps that were crossed.
    pub fn crossed(&self) -> impl Iterator<Item = &Gap> {
        self.gaps.iter().filter(|gap| gap.at < self.reached)
    }

    /// How much recorded time lies between the first and the last event delivered.
    #[must_use]
    pub fn recorded(&self) -> Duration {
        let span = self.tape_time.map(|(first, last)| last.as_millis().abs_diff(first.as_millis()));
        Duration::from_millis(span.unwrap_or(0))
    }

    /// How many events were skipped, whatever the reason.
    #[must_use]
    pub fn skipped_events(&self) -> u64 {
        self.skipped.iter().map(|skipped| skipped.events).sum()
    }

    /// Delivered events per second; 0 if it took no time.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // A rate for people.
    pub fn events_per_second(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.delivered as f64 / seconds } else { 0.0 }
    }
}

/// What is noticed about events while they are played. Sinks add to it.
#[derive(Debug, Default)]
pub struct Tally {
    /// See [`Summary::hidden`].
    pub hidden: u64,
    /// See [`Summary::skipped`].
    pub skipped: Vec<Skipped>,
    /// See [`Summary::refused`].
    pub refused: u64,
    /// See [`Summary::refusals`].
    pub refusals: Vec<RefusedEvent>,
    /// See [`Summary::adapted`].
    pub adapted: u64,
    /// See [`Summary::inexact`].
    pub inexact: u64,
    /// See [`Summary::inexact_events`].
    pub inexact_events: Vec<InexactEvent>,
    /// See [`Summary::divergent`].
    pub divergent: u64,
    /// See [`Summary::divergences`].
    pub divergences: Vec<Divergence>,
    /// See [`Summary::transactions`].
    pub transactions: u64,
    /// See [`Summary::torn`].
    pub torn: u64,
    /// See [`Summary::first_torn`].
    pub first_torn: Option<Seq>,
}

impl Tally {
    /// A `watch()` does not show so many events.
    pub fn hide(&mut self, events: u64) {
        self.hidden += events;
    }

    /// Events cannot be read.
    pub(crate) fn skip_damaged(&mut self, events: &Range<Seq>) {
        let (reason, first) = (DAMAGED.into(), events.start);
        self.add_skipped(Skipped { reason, events: events.end.since(first), first });
    }

    /// The event cannot be delivered.
    pub fn skip(&mut self, seq: Seq, reason: impl Into<Cow<'static, str>>) {
        self.add_skipped(Skipped { reason: reason.into(), events: 1, first: seq });
    }

    /// The target refused the event, and it is left out. Whether it is listed, too.
    pub fn refuse(&mut self, event: RefusedEvent) -> bool {
        self.refused += 1;
        self.list_refusal(event)
    }

    /// The effect of so many events was there already.
    pub fn adapt(&mut self, events: u64) {
        self.adapted += events;
    }

    /// The event was applied from a description that does not say everything.
    pub fn inexact(&mut self, seq: Seq, namespace: &Namespace) {
        self.inexact += 1;
        self.list_inexact(InexactEvent { seq, namespace: namespace.clone() });
    }

    fn list_inexact(&mut self, event: InexactEvent) {
        // They come in the order in which they are applied, not always in that of the tape.
        self.inexact_events.push(event);
        self.inexact_events.sort_unstable_by_key(|event| event.seq);
        self.inexact_events.truncate(LISTED);
    }

    /// So many transactions, the first of which begins there, were not applied as one.
    pub fn tear(&mut self, transactions: u64, first: Seq) {
        if transactions > 0 {
            self.torn += transactions;
            self.first_torn.get_or_insert(first);
        }
    }

    /// So many events could not have their effect; see [`list`](Self::list).
    pub fn diverge(&mut self, events: u64) {
        self.divergent += events;
    }

    /// Names one of the events that diverged.
    pub fn list(&mut self, divergence: Divergence) {
        if self.wants_divergences() {
            self.divergences.push(divergence);
        }
    }

    /// Whether divergences are still listed: if not, a sink need not look for which they are.
    #[must_use]
    pub fn wants_divergences(&self) -> bool {
        self.divergences.len() < LISTED
    }

    /// Events that the sink has dealt with and not delivered.
    pub(crate) fn left_out(&self) -> u64 {
        let skipped: u64 = self.skipped.iter().map(|skipped| skipped.events).sum();
        self.hidden + skipped + self.refused
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.hidden += other.hidden;
        self.adapted += other.adapted;
        self.inexact += other.inexact;
        other.inexact_events.into_iter().for_each(|event| self.list_inexact(event));
        self.divergent += other.divergent;
        self.transactions += other.transactions;
        self.torn += other.torn;
        self.first_torn = self.first_torn.into_iter().chain(other.first_torn).min();
        self.refused += other.refused;
        other.refusals.into_iter().for_each(|event| {
            self.list_refusal(event);
        });
        other.skipped.into_iter().for_each(|skipped| self.add_skipped(skipped));
        other.divergences.into_iter().for_each(|divergence| self.list(divergence));
    }

    fn list_refusal(&mut self, event: RefusedEvent) -> bool {
        let listed = self.refusals.len() < LISTED;
        if listed {
            self.refusals.push(event);
        }
        listed
    }

    fn add_skipped(&mut self, more: Skipped) {
        match self.skipped.iter_mut().find(|known| known.reason == more.reason) {
            Some(known) => {
                known.events += more.events;
                known.first = known.first.min(more.first);
            }
            None => self.skipped.push(more),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_events_are_counted_by_reason() {
        let mut tally = Tally::default();
        tally.skip(Seq::new(5), "unknown");
        tally.skip(Seq::new(6), "sharding");
        let mut other = Tally::default();
        other.skip(Seq::new(2), "unknown".to_owned());
        tally.merge(other);
        assert_eq!(tally.skipped.len(), 2);
        assert_eq!(
            tally.skipped[0],
            Skipped { reason: "unknown".into(), events: 2, first: Seq::new(2) }
        );
        assert_eq!(tally.left_out(), 3);
    }

    #[test]
    fn the_first_inexact_updates_are_listed_in_whichever_order_they_come() {
        let namespace = Namespace::collection("a", "b");
        let (mut tally, mut other) = (Tally::default(), Tally::default());
        (5..30).rev().for_each(|n| tally.inexact(Seq::new(n), &namespace));
        (0..5).for_each(|n| other.inexact(Seq::new(n), &namespace));
        tally.merge(other);
        let listed: Vec<_> = tally.inexact_events.iter().map(|event| event.seq.get()).collect();
        assert_eq!((tally.inexact, listed), (30, (0..10).collect()));
    }

    #[test]
    fn only_the_first_divergences_are_listed() {
        let mut tally = Tally::default();
        for n in 0..50 {
            tally.diverge(1);
            tally.list(Divergence {
                seq: Seq::new(n),
                namespace: Namespace::collection("a", "b"),
                found: "nothing",
            });
        }
        assert_eq!((tally.divergent, tally.divergences.len()), (50, LISTED));
    }
}
