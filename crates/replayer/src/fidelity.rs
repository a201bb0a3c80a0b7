//! How faithfully a replay kept its schedule, as the player itself saw it.
//!
//! ```text
//! due ───────► sent        lateness, of each event
//!  │ the player was free, and woke late or had nothing read   ► its own
//!  │ the sink was still busy with the events before           ► the sink's
//! ```
//! Lateness is told in percentiles; what adds up over a run shows in its trend ([`Trend`]): a player
//! that sleeps from event to event falls behind by more and more, one that keeps to one beginning
//! does not. What comes from the host is told beside it.

mod trend;

use std::time::Duration;

use crate::HostLoad;
use crate::clock::Instant;
use crate::delays::Delays;
use trend::Trend;

/// Lateness beyond which an event is counted as late: recorded times are no finer.
const LATE: Duration = Duration::from_millis(1);

/// One of how many events may be late by the player's own doing before it has not kept the schedule.
const OF: u64 = 100;

/// Whose doing it was that an event did not leave when it was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The player woke late, or the event was not read in time.
    Player,
    /// The sink was still busy with the events before.
    Sink,
}

/// How late events left, where they had a time to leave at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lateness {
    /// Half of the events were no later.
    pub p50: Duration,
    /// 90 of 100 events were no later.
    pub p90: Duration,
    /// 99 of 100 events were no later.
    pub p99: Duration,
    /// 999 of 1000 events were no later.
    pub p999: Duration,
    /// The latest event.
    pub max: Duration,
    /// Events that were more than a millisecond late; all were delivered.
    pub late: u64,
    /// Events that left before they were due; there must be none.
    pub early: u64,
    /// What of it is not for the sink to answer for.
    pub own: OwnLateness,
}

/// How late events left that the player was free for when they fell due.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnLateness {
    /// 99 of 100 of them were no later.
    pub p99: Duration,
    /// How many of them were more than a millisecond late.
    pub late: u64,
}

/// How faithfully a replay kept its schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Fidelity {
    /// How many events left.
    pub events: u64,
    /// How late they left.
    pub lateness: Lateness,
    /// The rate at which they left ÷ the one at which they were due; `None` of events of one
    /// instant.
    pub rate: Option<f64>,
    /// By how much lateness grows over time, in millionths; `None` of events of one instant.
    pub drift_ppm: Option<f64>,
    /// What the host was busy with meanwhile.
    pub host: HostLoad,
}

impl Fidelity {
    /// Whether the schedule was kept as far as that is up to the player: it made no more than one
    /// of 100 events more than a millisecond late.
    #[must_use]
    pub fn kept_schedule(&self) -> bool {
        self.lateness.own.late <= self.events / OF
    }
}

/// Collects when events were due and when they left.
#[derive(Debug)]
pub(crate) struct FidelityRecorder {
    lateness: Delays,
    /// Of the events that the player was free for.
    own: Delays,
    events: u64,
    late: u64,
    own_late: u64,
    early: u64,
    trend: Trend,
    host: HostLoad,
}

impl FidelityRecorder {
    /// Begins now, as far as the host is concerned.
    pub(crate) fn new() -> Option<Self> {
        Some(Self {
            lateness: Delays::new()?,
            own: Delays::new()?,
            events: 0,
            late: 0,
            own_late: 0,
            early: 0,
            trend: Trend::default(),
            host: HostLoad::until_now(),
        })
    }

    /// So many events that were due left; if they were late, by whose doing.
    pub(crate) fn record(&mut self, due: Instant, sent: Instant, events: u64, cause: Cause) {
        let lateness = sent.since(due);
        let late = if lateness > LATE { events } else { 0 };
        self.events += events;
        self.lateness.record(lateness, events);
        self.late += late;
        if cause == Cause::Player {
            self.own.record(lateness, events);
            self.own_late += late;
        }
        self.early += if sent < due { events } else { 0 };
        self.trend.record(due, sent, events);
    }

    /// From here on events are due by another beginning, as after a pause.
    pub(crate) fn begin_stretch(&mut self) {
        self.trend.begin_stretch();
    }

    /// `None` if there was no event.
    pub(crate) fn summary(&self) -> Option<Fidelity> {
        let (lateness, own) = (&self.lateness, &self.own);
        (!lateness.is_empty()).then(|| Fidelity {
            events: self.events,
            lateness: Lateness {
                p50: lateness.at(0.5),
                p90: lateness.at(0.9),
                p99: lateness.at(0.99),
                p999: lateness.at(0.999),
                max: lateness.max(),
                late: self.late,
                early: self.early,
                own: OwnLateness { p99: own.at(0.99), late: self.own_late },
            },
            rate: self.trend.rate(),
            drift_ppm: self.trend.drift_ppm(),
            host: HostLoad::until_now().since(&self.host),
        })
    }
}

#[cfg(test)]
mod tests;
