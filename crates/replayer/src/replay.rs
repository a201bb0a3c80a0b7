//! `Replay`: one tape played into one sink.

use std::ops::Range;
use std::thread;
use std::time::Duration;

use changetape_core::{ClusterTime, Seq, WallTime};
use changetape_tape::{Tail, TapeReader};

use crate::clock::{HostClock, Timer};
use crate::player::{Plan, Played, Player, Ready, Watched};
use crate::read_ahead::{Again, Queue, Reader};
use crate::sink::Sink;
use crate::summary::{Ended, Summary};
use crate::{
    Completion, Control, Coverage, Error, Expiries, Extent, Laps, LatenessRows, Missing,
    NamespaceMap, OnLate, Progress, Restoration, Selection, Speed, Stop, Timeline, TimelineOptions,
    Times,
};

/// What to play and how.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// Which events take part.
    pub selection: Selection,
    /// How fast recorded time passes.
    pub speed: Speed,
    /// Where events lie in recorded time.
    pub timeline: TimelineOptions,
    /// What is done about events that leave late.
    pub on_late: OnLate,
    /// How often it is played.
    pub laps: Laps,
    /// How precisely it is waited for.
    pub timer: Timer,
    /// Under which names.
    pub map: NamespaceMap,
    /// What to do where events are missing.
    pub missing: Missing,
    /// Whether to go on where the sink says that a replay of the same part has ended.
    pub resume: Resume,
}

/// Where a replay begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Resume {
    /// At the beginning of what was selected.
    #[default]
    No,
    /// Where the last one ended, which the sink keeps.
    WhereItEnded,
}

impl Default for ReplayOptions {
    /// The whole tape, in its own rhythm, under its own names.
    fn default() -> Self {
        Self {
            selection: Selection::default(),
            speed: Speed::ORIGINAL,
            timeline: TimelineOptions::default(),
            on_late: OnLate::default(),
            laps: Laps::ONCE,
            timer: Timer::default(),
            map: NamespaceMap::default(),
            missing: Missing::default(),
            resume: Resume::default(),
        }
    }
}

/// One tape played into one sink.
pub struct Replay {
    tape: TapeReader,
    options: ReplayOptions,
    sink: Box<dyn Sink>,
    base: Option<Restoration>,
    control: Control,
    rows: Option<LatenessRows>,
}

impl Replay {
    /// A replay that has not begun.
    #[must_use]
    pub fn new(tape: TapeReader, options: ReplayOptions, sink: Box<dyn Sink>) -> Self {
        let (base, rows, control) = (None, None, Control::default());
        Self { tape, options, sink, base, control, rows }
    }

    /// Restores a base first.
    #[must_use]
    pub fn with_base(mut self, base: Option<Restoration>) -> Self {
        self.base = base;
        self
    }

    /// Does what is asked for there while it plays.
    #[must_use]
    pub fn with_control(mut self, control: Control) -> Self {
        self.control = control;
        self
    }

    /// Logs when each event was due and when it left; see [`LatenessLog`](crate::LatenessLog).
    #[must_use]
    pub fn with_lateness(mut self, rows: Option<LatenessRows>) -> Self {
        self.rows = rows;
        self
    }

    /// Plays to the end, until a stop is requested or until something fails, on two threads
    /// of its own. Blocks: from asynchronous code, call it where blocking is allowed
    /// (`spawn_blocking`).
    ///
    /// # Errors
    /// See [`Error`]. `progress` then tells how far the replay came.
    pub fn run(mut self, progress: &Progress, stop: &Stop) -> Result<Summary, Error> {
        let played = self.play(progress, stop);
        let completion = match &played {
            Ok(summary) if summary.ended == Ended::AtTheEnd => Completion::Whole,
            Ok(_) | Err(_) => Completion::Part,
        };
        let expiries = self.sink.release(completion, stop);
        match played {
            Ok(summary) => Ok(Summary { expiries, ..summary }),
            Err(error) => {
                for sentence in expiries.sentences() {
                    if expiries.left.is_empty() {
                        tracing::info!("{sentence}");
                    } else {
                        tracing::warn!("{sentence}");
                    }
                }
                Err(error)
            }
        }
    }

    fn play(&mut self, progress: &Progress, stop: &Stop) -> Result<Summary, Error> {
        let mut range = self.options.selection.range(&self.tape)?;
        let coverage = Coverage::of(self.tape.metadata(), &self.options);
        let resumes = self.options.resume == Resume::WhereItEnded;
        if resumes && let Some(next) = self.sink.resume(&coverage)? {
            tracing::info!("going on at {next}: everything before it was applied earlier");
            if next < self.tape.start() {
                return Err(Error::NotFollowed { next, start: self.tape.start() });
            }
            range.start = next.clamp(range.start, range.end);
            if self.base.take().is_some() {
                tracing::info!("the base is there already, and left as it is");
            }
        }
        if let Some(dropped) = self.tape.dropped().filter(|_| self.base.is_some()) {
            return Err(Error::BaseNotFollowed { start: dropped.end });
        }
        let base = self.base.as_ref();
        let gaps = self.options.missing.crossed(&self.tape, base.is_some(), &range)?;
        progress.begin(range.start, range.end, last_time(&self.tape, &range));
        self.sink.begin(self.tape.metadata())?;
        self.sink.look_ahead(&self.tape)?;
        if !resumes && base.is_none() && !range.is_empty() {
            self.sink.start_over(&coverage, range.start, stop)?;
        }

        let base = base.map(|base| self.sink.restore(base, progress, stop)).transpose()?;
        let queue = Queue::default();
        let mut reader = Reader::new(&self.options, progress);
        // Whoever goes on later gets it whole.
        let is_growing = *self.tape.tail() != Tail::Nothing && range.end == self.tape.end();
        reader.holds_back = resumes && is_growing && may_go_on(&self.tape);
        // Events follow a whole base, or nothing.
        if base.is_some_and(|base| base.extent != Extent::Whole) {
            let (start, nothing) = (range.start, Played::default());
            return Ok(Summary { base, ..summary(Ended::Stopped, range, start, nothing, reader) });
        }
        let (sink, tape, options) = (self.sink.as_mut(), &self.tape, &self.options);
        let plan = Plan {
            speed: options.speed,
            on_late: options.on_late,
            range: range.clone(),
            tells_end: options.timeline.is_as_recorded() && options.laps == Laps::ONCE,
            may_seek: !resumes,
        };
        let watched = Watched { progress, stop, control: &self.control };
        let rows = self.rows.take();
        let again = Again { tape, options };
        let (result, played) = thread::scope(|scope| {
            let (queue, reader, range) = (&queue, &mut reader, &range);
            let reading = thread::Builder::new()
                .name("changetape-reader".to_owned())
                .spawn_scoped(scope, move || reader.run(tape, range, queue))
                .map_err(Error::Thread)?;
            let playing = thread::Builder::new()
                .name("changetape-player".to_owned())
                .spawn_scoped(scope, move || {
                    // While the first events are read.
                    let clock = match options.speed {
                        Speed::Factor(_) => HostClock::calibrated(options.timer),
                        Speed::Max => HostClock::usual(options.timer),
                    };
                    let from = Ready { queue, tape: &again };
                    let player = Player::new(from, sink, clock, plan, watched);
                    player.with_lateness(rows).play()
                })
                .map_err(|error| {
                    queue.close();
                    Error::Thread(error)
                })?;
            let played = playing.join();
            // Without anybody to take pages the reader would wait for ever.
            queue.close();
            let read = reading.join();
            match (played, read) {
                (Ok(played), Ok(())) => Ok(played),
                (Err(panic), _) | (_, Err(panic)) => std::panic::resume_unwind(panic),
            }
        })?;
        let ended = result?;
        if let Some(held_back) = reader.held_back {
            tracing::info!(
                "the transaction at {held_back} may go on where the tape ends; --resume applies it \
                 when that is known"
            );
            range.end = held_back;
        }
        if resumes && ended == Ended::AtTheEnd {
            self.sink.reach(range.end, stop)?;
        }
        let reached = match ended {
            Ended::AtTheEnd => range.end,
            Ended::Stopped | Ended::SinkClosed | Ended::Late(_) => {
                played.reached.unwrap_or(range.start)
            }
        };
        progress.passed(reached);
        Ok(Summary { base, gaps, ..summary(ended, range, reached, played, reader) })
    }
}

/// When a range's last event was recorded, selected or not. A tape that cannot be read there says so
/// when the replay comes to it.
fn last_times(
    tape: &TapeReader,
    range: &Range<Seq>,
) -> Option<(Option<WallTime>, Option<ClusterTime>)> {
    let last = range.end.get().checked_sub(1).map(Seq::new).filter(|last| range.contains(last))?;
    let block = tape.blocks(last).next()?.ok()?;
    let event = block.events().find(|recorded| recorded.seq == last)?.event;
    Some((event.wall_time().ok()?, event.cluster_time().ok()?))
}

fn last_time(tape: &TapeReader, range: &Range<Seq>) -> Option<WallTime> {
    let (wall, cluster) = last_times(tape, range)?;
    let times = Times { wall, cluster, ..Times::default() };
    (wall.is_some() || cluster.is_some()).then(|| Timeline::default().place(times).time)
}

/// Whether more events of a tape's last moment may be recorded later: all of a transaction have the
/// same cluster time, and its stream has not come beyond that.
fn may_go_on(tape: &TapeReader) -> bool {
    let last = last_times(tape, &(tape.start()..tape.end())).and_then(|(_, cluster)| cluster);
    let reached = tape.checkpoint().and_then(|checkpoint| checkpoint.token.cluster_time());
    !matches!((last, reached), (Some(last), Some(reached)) if last < reached)
}

fn summary(
    ended: Ended,
    range: Range<Seq>,
    reached: Seq,
    played: Played,
    reader: Reader<'_>,
) -> Summary {
    let mut tally = played.tally;
    tally.merge(reader.tally);
    Summary {
        ended,
        base: None,
        range,
        reached,
        read: reader.read,
        selected: reader.selected,
        delivered: played.delivered,
        bytes: played.bytes,
        gaps: Vec::new(),
        hidden: tally.hidden,
        skipped: tally.skipped,
        refused: tally.refused,
        refusals: tally.refusals,
        adapted: tally.adapted,
        inexact: tally.inexact,
        inexact_events: tally.inexact_events,
        divergent: tally.divergent,
        divergences: tally.divergences,
        transactions: tally.transactions,
        torn: tally.torn,
        first_torn: tally.first_torn,
        expiries: Expiries::default(),
        repaired_times: reader.timeline.repaired(),
        untimed: reader.timeline.untimed(),
        fidelity: played.fidelity.and_then(|recorder| recorder.summary()),
        lag: played.lag.and_then(|recorder| recorder.summary()),
        elapsed: played.elapsed,
        paused: played.paused,
        seeks: played.seeks,
        shifted: played.shifted,
        tape_time: played.tape_time,
        scheduled: played
            .span
            .map_or(Duration::ZERO, |(first, last)| Duration::from_nanos(last.nanos_since(first))),
    }
}
