//! The arguments of `changetape calibrate`.

use std::time::Duration;

use clap::Args;

use super::parse;

/// Show how precisely this machine wakes whoever waits
///
/// Waits for instants that come at random, 1 000 a second, by each method in turn: tokio's timer;
/// std::thread::sleep; clock_nanosleep until an instant, as --timer coarse does; the same with the
/// least timer slack; the same with a short spin before the instant, as --timer precise does. Tells
/// how late each was in percentiles, how much of a core it took, and how long the spin would be with
/// which a replay would begin now. All of it takes five times --duration.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  changetape calibrate
  changetape calibrate --duration 10s --format json

Run it while the machine is as busy as it is when it replays: what else runs is what makes events
late.")]
pub(crate) struct CalibrateArgs {
    /// How long to measure each of the five methods
    #[arg(
        long,
        value_name = "TIME",
        value_parser = parse::measuring_time,
        default_value = "2s",
        env = "CHANGETAPE_DURATION"
    )]
    pub(crate) duration: Duration,
}
