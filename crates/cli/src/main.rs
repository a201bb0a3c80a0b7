//! `changetape`: the command line.
//!
//! ```text
//! args ──► record, replay, cat, info, verify, calibrate ──► report (stdout), progress and messages (stderr)
//! ```
//! Arguments, terminal output, progress and exit codes; what the commands do is in the crates
//! that they call.

// What the user asks for.
mod args;

// The commands.
mod calibrate;
mod info;
mod record;
mod replay;
mod verify;

// What the user sees, and who looks after a recording.
mod exit;
mod http;
mod logging;
mod metrics;
mod progress;
mod report;
mod signals;
mod terminal;

use std::process::ExitCode;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error).into(),
    };
    logging::start(&cli.output);
    let result = match &cli.command {
        Command::Record(args) => record::run(args, &cli.output),
        Command::Replay(args) => replay::run(args, &cli.output),
        Command::Cat(args) => replay::cat(args, &cli.output),
        Command::Info(args) => info::run(args, &cli.output),
        Command::Verify(args) => verify::run(args, &cli.output),
        Command::Calibrate(args) => calibrate::run(args, &cli.output),
    };
    match result {
        Ok(code) => code.into(),
        Err(error) => exit::report(&error).into(),
    }
}
