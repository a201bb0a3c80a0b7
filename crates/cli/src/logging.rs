//! Messages: on stderr, above a progress line if one is shown.

use std::io::{self, IsTerminal as _, Write};

use clap::ColorChoice;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::args::OutputArgs;
use crate::progress;

/// Starts showing messages: ours from `info` up, others' from `warn`; `RUST_LOG` wins.
pub(crate) fn start(output: &OutputArgs) {
    let ours = match (output.quiet, output.verbose) {
        (true, _) => "warn",
        (_, true) => "debug",
        _ => "info",
    };
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("warn,changetape={ours}")));
    let terminal = io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(output.verbose)
        .with_ansi(colours(output.color, terminal))
        // Nobody can be told if stderr is closed, and trying to would panic.
        .log_internal_errors(false)
        .with_writer(Stderr);
    // A log that is kept needs times; a person watching does not.
    if terminal {
        builder.without_time().init();
    } else {
        builder.init();
    }
}

/// Whether stderr is to be coloured; `NO_COLOR` is honoured (<https://no-color.org>).
fn colours(choice: ColorChoice, terminal: bool) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => terminal && std::env::var_os("NO_COLOR").is_none(),
    }
}

/// Stderr, with the progress line out of the way while a message is written.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        progress::aside(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}
