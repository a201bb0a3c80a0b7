//! The arguments of `changetape verify`.

use clap::Args;

use super::{TapeArg, parse};

/// Check that a tape is as it was written
///
/// Reads all of it and compares every checksum; what is damaged is named with the events that it
/// costs. Changes nothing, unless --repair is given.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  changetape verify orders.tape
  changetape verify orders.tape --repair

Exits with 3 if the tape is damaged, or, with --repair, if events were lost.")]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) tape: TapeArg,
    /// Keep all that can be read and note a gap where events are lost; damaged files stay beside
    /// what is kept, under another name
    #[arg(long, env = "CHANGETAPE_REPAIR", value_parser = parse::switch)]
    pub(crate) repair: bool,
}
