//! What a replay did: counted while it runs ([`Tally`]), told at the end ([`Summary`]).
//!
//! Nothing is left out in silence. Each selected event is exactly one of *delivered*,
//! *hidden* or *skipped* (or comes after where the replay ended). Of those delivered, some
//! may have been *adapted*, *inexact* or *divergent*, which only a database as a sink can
//! tell.

use std::borrow::Cow;
use std::ops::Range;
use std::time::Duration;

use changetape_core::{Namespace, Seq, WallTime};
use changetape_tape::Gap;
use hdrhistogram::Histogram;

use crate::{Expiries, Restored};

/// How many divergences are listed one by one; the rest are only counted.
const LISTED: usize = 10;

/// Why events are skipped that cannot be read.
const DAMAGED: &str = "the tape is damaged there";

/// Lateness beyond which an event is counted as late: recorded times are no finer.
const LATE: Duration = Duration::from_millis(1);

/// Why a replay ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything was played.
    AtTheEnd,
    /// A stop was requested.
    Stopped,
    /// Whoever read the sink went away, as `head` does.
    SinkClosed,
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

/// How late events left, where they had a time to leave at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lateness {
    /// Half of the events were no later.
    pub p50: Duration,
    /// 99 of 100 events were no later.
    pub p99: Duration,
    /// The latest event.
    pub max: Duration,
    /// Events that were more than a millisecond late; all were delivered.
    pub late: u64,
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
    /// Events whose effect was there already, in whole or in part: a document inserted that
    /// was there (it was replaced), deleted that was gone, replaced that was missing; a
    /// collection or an index that was already so. The result is as recorded.
    pub adapted: u64,
    /// Updates applied from their public description, which does not say everything.
    pub inexact: u64,
    /// The first of them.
    pub first_inexact: Option<Seq>,
    /// Events that could not have their recorded effect: what they change is not there.
    pub divergent: u64,
    /// The first of them.
    pub divergences: Vec<Divergence>,
    /// What was kept from expiring while the replay lasted.
    pub expiries: Expiries,
    /// Recorded times that went backwards, were zero or negative, and were moved.
    pub repaired_times: u64,
    /// Events without any recorded time, which left with the event before.
    pub untimed: u64,
    /// Of paced replays.
    pub lateness: Option<Lateness>,
    /// From the moment the clock was started to the last acknowledgement.
    pub elapsed: Duration,
    /// Recorded times of the first and the last event delivered.
    pub tape_time: Option<(WallTime, WallTime)>,
}

impl Summary {
    /// Whether every selected event had its recorded effect, and none was missing, as far as it
    /// was played; and whether what was held back for it is put right.
    #[must_use]
    pub fn is_faithful(&self) -> bool {
        self.skipped.is_empty()
            && self.divergent == 0
            && self.inexact == 0
            && self.expiries.left.is_empty()
            && self.crossed().next().is_none()
    }

    /// The gaps that were crossed.
    pub fn crossed(&self) -> impl Iterator<Item = &Gap> {
        self.gaps.iter().filter(|gap| gap.at < self.reached)
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
    /// See [`Summary::adapted`].
    pub adapted: u64,
    /// See [`Summary::inexact`].
    pub inexact: u64,
    /// See [`Summary::first_inexact`].
    pub first_inexact: Option<Seq>,
    /// See [`Summary::divergent`].
    pub divergent: u64,
    /// See [`Summary::divergences`].
    pub divergences: Vec<Divergence>,
}

impl Tally {
    /// A `watch()` does not show the event.
    pub fn hide(&mut self) {
        self.hidden += 1;
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

    /// The effect of so many events was there already.
    pub fn adapt(&mut self, events: u64) {
        self.adapted += events;
    }

    /// The event was applied from a description that does not say everything.
    pub fn inexact(&mut self, seq: Seq) {
        self.inexact += 1;
        self.first_inexact.get_or_insert(seq);
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

    pub(crate) fn skipped_events(&self) -> u64 {
        self.skipped.iter().map(|skipped| skipped.events).sum()
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.hidden += other.hidden;
        self.adapted += other.adapted;
        self.inexact += other.inexact;
        self.first_inexact = self.first_inexact.into_iter().chain(other.first_inexact).min();
        self.divergent += other.divergent;
        other.skipped.into_iter().for_each(|skipped| self.add_skipped(skipped));
        other.divergences.into_iter().for_each(|divergence| self.list(divergence));
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

/// Collects how late events left.
#[derive(Debug)]
pub(crate) struct LatenessRecorder {
    /// Nanoseconds, to three digits; of fixed size, so that counting never allocates.
    histogram: Histogram<u64>,
    max: Duration,
    late: u64,
}

/// A day in nanoseconds. What is later still counts as a day in the percentiles.
const MOST: u64 = 24 * 60 * 60 * 1_000_000_000;

impl LatenessRecorder {
    pub(crate) fn new() -> Option<Self> {
        // These bounds are always accepted.
        let histogram = Histogram::new_with_bounds(1, MOST, 3).ok()?;
        Some(Self { histogram, max: Duration::ZERO, late: 0 })
    }

    pub(crate) fn record(&mut self, lateness: Duration) {
        let nanos = u64::try_from(lateness.as_nanos()).unwrap_or(u64::MAX);
        self.histogram.saturating_record(nanos);
        self.max = self.max.max(lateness);
        self.late += u64::from(lateness > LATE);
    }

    pub(crate) fn summary(&self) -> Option<Lateness> {
        let at = |quantile| {
            // A percentile is the upper end of its step, which may lie beyond the maximum.
            Duration::from_nanos(self.histogram.value_at_quantile(quantile)).min(self.max)
        };
        (!self.histogram.is_empty()).then(|| Lateness {
            p50: at(0.5),
            p99: at(0.99),
            max: self.max,
            late: self.late,
        })
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
        assert_eq!(tally.skipped_events(), 3);
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

    #[test]
    fn lateness_is_told_in_percentiles() {
        let mut recorder = LatenessRecorder::new().unwrap();
        assert_eq!(recorder.summary(), None);
        for _ in 0..98 {
            recorder.record(Duration::from_micros(10));
        }
        recorder.record(Duration::from_millis(3));
        recorder.record(Duration::from_millis(3));
        let lateness = recorder.summary().unwrap();
        assert!((9..=11).contains(&lateness.p50.as_micros()), "{lateness:?}");
        assert!((2_990..=3_010).contains(&lateness.p99.as_micros()), "{lateness:?}");
        assert_eq!((lateness.late, lateness.max), (2, Duration::from_millis(3)));
    }
}
