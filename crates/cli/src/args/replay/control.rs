//! The arguments that say who may ask a replay while it runs.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::args::parse;

/// Who may ask a replay, besides whoever sits at the terminal.
#[derive(Debug, Args)]
pub(crate) struct ControlArgs {
    /// Control the replay over HTTP while it runs (GET /status, POST /pause, /resume, /step, /speed,
    /// /seek, /stop): a port, opened on loopback only, or HOST:PORT; with port 0 the system chooses one
    #[arg(
        long,
        value_name = "ADDR",
        value_parser = parse::listen_address,
        env = "CHANGETAPE_CONTROL",
        help_heading = "Control"
    )]
    control: Option<String>,
    /// With --control, do nothing without the token in this file (Authorization: Bearer TOKEN);
    /// needed wherever it is not on loopback
    #[arg(
        long,
        value_name = "FILE",
        requires = "control",
        env = "CHANGETAPE_CONTROL_TOKEN_FILE",
        help_heading = "Control"
    )]
    control_token_file: Option<PathBuf>,
}

impl ControlArgs {
    /// Where to listen, if anywhere.
    pub(crate) fn address(&self) -> Option<&str> {
        self.control.as_deref()
    }

    /// What has the token, if one is needed.
    pub(crate) fn token_file(&self) -> Option<&Path> {
        self.control_token_file.as_deref()
    }
}
