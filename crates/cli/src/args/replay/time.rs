//! When events leave.

use std::path::PathBuf;
use std::time::Duration;

use changetape_replayer::clock::Timer;
use changetape_replayer::{
    Laps, LatenessLog, OnLate, Overwrite, Rate, SinkAddress, Speed, Spread, TimeSource,
    TimelineOptions,
};
use clap::{Args, ValueEnum};

use crate::args::parse;
use crate::exit::Usage;

/// How late an event may leave unless told, where that is the end.
const MAX_LATENESS: Duration = Duration::from_secs(1);

/// When events leave, and how that is told.
#[derive(Debug, Args)]
#[command(next_help_heading = "Time")]
pub(super) struct TimeArgs {
    /// How fast recorded time passes: 1x, 0.5x, 10x, or max (no waiting) [default: 1x]
    #[arg(long, value_name = "SPEED", allow_hyphen_values = true, env = "CHANGETAPE_SPEED")]
    speed: Option<Speed>,
    /// Instead: let so many events leave in a second, whenever they were recorded: 1000/s
    #[arg(long, value_name = "RATE", allow_hyphen_values = true, env = "CHANGETAPE_RATE")]
    rate: Option<Rate>,
    /// Which clock says when events were recorded
    #[arg(long, value_name = "CLOCK", value_enum, default_value_t, env = "CHANGETAPE_TIMELINE")]
    timeline: TimelineArg,
    /// What becomes of events that their clock puts in one place (a millisecond, or a second with
    /// --timeline cluster)
    #[arg(long, value_name = "HOW", value_enum, default_value_t, env = "CHANGETAPE_SPREAD")]
    spread: SpreadArg,
    /// The most recorded time between an event and the next; longer gaps are cut
    #[arg(long, value_name = "TIME", value_parser = parse::duration, env = "CHANGETAPE_MAX_GAP")]
    max_gap: Option<Duration>,
    /// What to do where the sink is slower than the schedule
    #[arg(long, value_name = "WHAT", value_enum, default_value_t, env = "CHANGETAPE_ON_LATE")]
    on_late: OnLateArg,
    /// With --on-late stop: how late an event may leave [default: 1s]
    #[arg(
        long,
        value_name = "TIME",
        value_parser = parse::duration,
        env = "CHANGETAPE_MAX_LATENESS"
    )]
    max_lateness: Option<Duration>,
    /// How often to play it, one time after the other: a number, or inf
    #[arg(long = "loop", value_name = "N", default_value = "1", env = "CHANGETAPE_LOOP")]
    pub(super) laps: Laps,
    /// How precisely to wait
    #[arg(long, value_name = "HOW", value_enum, default_value_t, env = "CHANGETAPE_TIMER")]
    pub(super) timer: TimerArg,
    /// Write every event's due and sent time to a new file, as CSV in nanoseconds. A file that
    /// cannot be written (a full disk) does not disturb the replay; at the end it exits with 1
    #[arg(long, value_name = "FILE", env = "CHANGETAPE_LATENESS")]
    lateness: Option<PathBuf>,
}

/// See [`TimeSource`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum TimelineArg {
    /// The server's wall clock, to the millisecond
    #[default]
    Wall,
    /// The cluster's clock, to the second
    Cluster,
    /// When the recorder got them; those of a batch leave together
    Arrival,
}

/// See [`Spread`].
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum SpreadArg {
    /// They are spread over it evenly
    #[default]
    Even,
    /// They leave together
    Burst,
}

/// See [`OnLate`].
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum OnLateArg {
    /// Late events leave at once, and the others when they are due
    #[default]
    CatchUp,
    /// The schedule waits: the distances between events stay as they are
    Shift,
    /// End when an event is later than --max-lateness, with exit code 4
    Stop,
}

/// See [`Timer`].
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum TimerArg {
    /// To some microseconds: sleep until shortly before an event is due, then watch the clock. At
    /// 1000 events a second that takes up to a fifth of a core
    #[default]
    Precise,
    /// To a tenth of a millisecond or so: only sleep. For laptops and shared hosts
    Coarse,
}

impl From<TimerArg> for Timer {
    fn from(timer: TimerArg) -> Self {
        match timer {
            TimerArg::Precise => Self::Precise,
            TimerArg::Coarse => Self::Coarse,
        }
    }
}

/// A file for when events were due and when they left.
#[derive(Debug)]
pub(crate) struct LatenessFile {
    pub(crate) path: PathBuf,
    pub(crate) overwrite: Overwrite,
}

impl TimeArgs {
    /// How fast recorded time passes.
    pub(super) fn speed(&self) -> Speed {
        self.speed.unwrap_or(Speed::ORIGINAL)
    }

    /// Where events lie in recorded time.
    pub(super) fn timeline(&self) -> anyhow::Result<TimelineOptions> {
        let clock = match self.timeline {
            TimelineArg::Wall => TimeSource::Wall,
            TimelineArg::Cluster => TimeSource::Cluster,
            TimelineArg::Arrival => TimeSource::Arrival,
        };
        let spread = match self.spread {
            SpreadArg::Even => Spread::Even,
            SpreadArg::Burst => Spread::Burst,
        };
        let source = match self.rate {
            Some(_) if self.speed.is_some() => {
                let sentence =
                    "--rate says how fast events leave, and so does --speed: give one of them";
                return Err(Usage::new(sentence).into());
            }
            Some(_) if self.timeline != TimelineArg::Wall || self.max_gap.is_some() => {
                let sentence = "at a --rate it does not matter when events were recorded: leave out \
                                --timeline and --max-gap";
                return Err(Usage::new(sentence).into());
            }
            Some(rate) => TimeSource::Rate(rate),
            None => clock,
        };
        Ok(TimelineOptions { source, max_gap: self.max_gap, spread })
    }

    /// What is done about events that leave late.
    pub(super) fn on_late(&self) -> anyhow::Result<OnLate> {
        Ok(match (self.on_late, self.max_lateness) {
            (OnLateArg::Stop, bound) => OnLate::Stop(bound.unwrap_or(MAX_LATENESS)),
            (_, Some(_)) => {
                let sentence = "--max-lateness ends nothing by itself: add --on-late stop, or leave \
                                it out";
                return Err(Usage::new(sentence).into());
            }
            (OnLateArg::CatchUp, None) => OnLate::CatchUp,
            (OnLateArg::Shift, None) => OnLate::Shift,
        })
    }

    /// Where it is written when events were due and when they left; nothing is created yet.
    pub(super) fn lateness(
        &self,
        sink: &SinkAddress,
        overwrite: Overwrite,
    ) -> anyhow::Result<Option<LatenessFile>> {
        let Some(path) = self.lateness.clone() else { return Ok(None) };
        if self.speed() == Speed::Max {
            let sentence = "--lateness tells how late events leave, and at --speed max none is ever \
                            due: give a speed such as 1x, or leave it out";
            return Err(Usage::new(sentence).into());
        }
        if matches!(sink, SinkAddress::File(events) if *events == path) {
            let sentence = "--lateness names the file that the events go to: give two files";
            return Err(Usage::new(sentence).into());
        }
        LatenessLog::check(&path, overwrite)?;
        Ok(Some(LatenessFile { path, overwrite }))
    }
}
