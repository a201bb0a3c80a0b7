//! What a player has done so far.

use std::time::Duration;

use changetape_core::{Seq, WallTime};

use crate::clock::Instant;
use crate::delays::LagRecorder;
use crate::fidelity::{Cause, FidelityRecorder};
use crate::summary::Tally;
use crate::{LatenessRows, Offset, Progress};

/// What a player has done so far.
#[derive(Debug, Default)]
pub(crate) struct Played {
    pub(crate) delivered: u64,
    pub(crate) bytes: u64,
    pub(crate) reached: Option<Seq>,
    pub(crate) tape_time: Option<(WallTime, WallTime)>,
    /// Where the first event lay on the timeline, and the last.
    pub(crate) span: Option<(Offset, Offset)>,
    pub(crate) elapsed: Duration,
    pub(crate) fidelity: Option<FidelityRecorder>,
    pub(super) rows: Option<LatenessRows>,
    pub(crate) lag: Option<LagRecorder>,
    /// When the sink had taken what it was offered last.
    free_from: Option<Instant>,
    pub(crate) tally: Tally,
    /// How often somebody went to another place.
    pub(crate) seeks: u64,
    /// How long it stood still because somebody asked for that.
    pub(crate) paused: Duration,
    /// Since when it does.
    paused_since: Option<Instant>,
    /// By how much the schedule was moved for a slow sink.
    pub(crate) shifted: Duration,
}

/// An event that is due, or a transaction on the tape, and what is to be told about it.
pub(super) struct Due {
    /// The last event of it.
    pub(super) seq: Seq,
    pub(super) at: Instant,
    pub(super) time: WallTime,
    pub(super) offset: Offset,
    pub(super) events: u64,
    pub(super) bytes: usize,
}

/// When the sink got events for the first time and the last, and when it had taken them.
pub(super) struct Moments {
    pub(super) handed: Instant,
    pub(super) sent: Instant,
    pub(super) acknowledged: Instant,
}

impl Played {
    pub(super) fn begin_pausing(&mut self, now: Instant) {
        self.paused_since.get_or_insert(now);
    }

    pub(super) fn stop_pausing(&mut self, now: Instant) {
        self.paused += self.paused_since.take().map_or(Duration::ZERO, |since| now.since(since));
    }

    /// From here on events are due by another beginning.
    pub(super) fn begin_stretch(&mut self) {
        if let Some(recorder) = &mut self.fidelity {
            recorder.begin_stretch();
        }
    }

    pub(super) fn record(
        &mut self,
        done: &[Due],
        left_out: u64,
        at: &Moments,
        is_paced: bool,
        to: &Progress,
    ) {
        let (Some(first), Some(last)) = (done.first(), done.last()) else { return };
        let events: u64 = done.iter().map(|due| due.events).sum();
        let delivered = events.saturating_sub(left_out);
        let bytes: u64 = done.iter().map(|due| due.bytes as u64).sum();
        self.delivered += delivered;
        self.bytes += bytes;
        self.reached = Some(last.seq.next());
        let begin = self.tape_time.map_or(first.time, |(begin, _)| begin);
        self.tape_time = Some((begin, last.time));
        self.span = Some((self.span.map_or(first.offset, |(begin, _)| begin), last.offset));
        if let Some(recorder) = self.fidelity.as_mut().filter(|_| is_paced) {
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
