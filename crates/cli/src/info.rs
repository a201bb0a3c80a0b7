//! `changetape info`.

use crate::args::{InfoArgs, OutputArgs};
use crate::exit::Exit;

/// Runs the command.
pub(crate) fn run(_args: &InfoArgs, _output: &OutputArgs) -> anyhow::Result<Exit> {
    Ok(Exit::Done)
}
