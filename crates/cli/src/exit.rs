//! Exit codes, and the one sentence that a failure gets.

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use changetape_deployment::redact;

use crate::terminal;

/// How the process ends. Scripts depend on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// The user's mistake in the arguments.
    Usage = 2,
    /// Finished, but something was lost or differs.
    Loss = 3,
    /// Ended because a threshold that the user set was missed.
    Missed = 4,
    /// Interrupted before it was done.
    Interrupted = 130,
}

impl Exit {
    /// Ends the process there and then, with the terminal as it was.
    pub(crate) fn at_once(self) -> ! {
        terminal::give_back();
        std::process::exit(self as i32)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A mistake in the arguments that only became clear after they were read.
#[derive(Debug)]
pub(crate) struct Usage(String);

impl Usage {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Prints what clap has to say of the arguments: help, or a mistake. It quotes what it does not
/// expect, which may be a connection string in the wrong place.
pub(crate) fn usage(error: &clap::Error) -> Exit {
    let secrets = || std::env::args().filter(|arg| redact(arg) != *arg);
    if !error.use_stderr() || secrets().next().is_none() {
        // Nobody can be told if stdout or stderr is closed.
        let _ = error.print();
    } else {
        let message = error.render().to_string();
        let message = secrets().fold(message, |text, arg| text.replace(&arg, &redact(&arg)));
        let _ = write!(io::stderr(), "{message}");
    }
    if error.use_stderr() { Exit::Usage } else { Exit::Done }
}

/// Prints the error and its causes as one sentence, and chooses the exit code.
pub(crate) fn report(error: &anyhow::Error) -> Exit {
    let exit = exit_for(error);
    // Nobody can be told if stderr is closed.
    let _ = writeln!(io::stderr(), "error: {error:#}");
    exit
}

/// The exit code that a failure gets.
pub(crate) fn exit_for(error: &anyhow::Error) -> Exit {
    use changetape_deployment::Error as Deployment;
    use changetape_recorder::Error as Record;
    use changetape_replayer::Error as Replay;

    for cause in error.chain() {
        let known = if cause.is::<Usage>() {
            Some(Exit::Usage)
        } else if let Some(error) = cause.downcast_ref::<Deployment>() {
            matches!(error, Deployment::BadUri { .. }).then_some(Exit::Usage)
        } else if let Some(error) = cause.downcast_ref::<Replay>() {
            error.is_usage().then_some(Exit::Usage)
        } else if let Some(error) = cause.downcast_ref::<Record>() {
            match error {
                _ if error.is_usage() => Some(Exit::Usage),
                _ if error.is_interruption() => Some(Exit::Interrupted),
                _ => error.is_loss().then_some(Exit::Loss),
            }
        } else {
            None
        };
        if let Some(exit) = known {
            return exit;
        }
    }
    Exit::Failed
}
