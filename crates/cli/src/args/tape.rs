//! The tape, which every command takes.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::exit::Usage;

/// A tape on the command line.
#[derive(Debug, Clone, Args)]
pub(crate) struct TapeArg {
    /// The tape, a directory
    #[arg(value_name = "TAPE", required = true)]
    tape: PathBuf,
}

impl TapeArg {
    /// The tape's path. Arguments in the wrong order are noticed here, before a connection
    /// string with a password is shown as if it were a path.
    pub(crate) fn path(&self) -> anyhow::Result<&Path> {
        if self.tape.to_string_lossy().contains("://") {
            return Err(Usage::new(
                "the tape must be a directory, and what stands in its place is a connection \
                 string; record takes the connection string first, replay the tape",
            )
            .into());
        }
        Ok(&self.tape)
    }
}
