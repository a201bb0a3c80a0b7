//! When events leave.

use std::path::PathBuf;

use changetape_replayer::clock::Timer;
use changetape_replayer::sink::lines::Overwrite;
use changetape_replayer::{LatenessLog, Speed};
use clap::{Args, ValueEnum};

use crate::exit::Usage;

/// When events leave, and how that is told.
#[derive(Debug, Args)]
#[command(next_help_heading = "Time")]
pub(super) struct TimeArgs {
    /// How fast recorded time passes: 1x, 0.5x, 10x, or max (no waiting)
    #[arg(
        long,
        value_name = "SPEED",
        default_value = "1x",
        allow_hyphen_values = true,
        env = "CHANGETAPE_SPEED"
    )]
    pub(super) speed: Speed,
    /// How precisely to wait
    #[arg(long, value_name = "HOW", value_enum, default_value_t, env = "CHANGETAPE_TIMER")]
    pub(super) timer: TimerArg,
    /// Write every event's due and sent time to a new file, as CSV in nanoseconds. A file that
    /// cannot be written (a full disk) does not disturb the replay; at the end it exits with 1
    #[arg(long, value_name = "FILE", env = "CHANGETAPE_LATENESS")]
    lateness: Option<PathBuf>,
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
    /// Where it is written when events were due and when they left; nothing is created yet.
    pub(super) fn lateness(&self, overwrite: Overwrite) -> anyhow::Result<Option<LatenessFile>> {
        let Some(path) = self.lateness.clone() else { return Ok(None) };
        if self.speed == Speed::Max {
            let sentence = "--lateness tells how late events leave, and at --speed max none is ever \
                            due: give a speed such as 1x, or leave it out";
            return Err(Usage::new(sentence).into());
        }
        LatenessLog::check(&path, overwrite)?;
        Ok(Some(LatenessFile { path, overwrite }))
    }
}
