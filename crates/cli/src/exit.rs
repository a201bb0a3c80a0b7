//! Exit codes, and the one sentence that a failure gets.

use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

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
    /// Interrupted before it was done.
    Interrupted = 130,
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

/// Prints the error and its causes as one sentence, and chooses the exit code.
pub(crate) fn report(error: &anyhow::Error) -> Exit {
    let exit = exit_for(error);
    // A reader that closed the pipe has what it wanted.
    if exit != Exit::Done {
        // Nobody can be told if stderr is closed too.
        let _ = writeln!(std::io::stderr(), "error: {error:#}");
    }
    exit
}

fn exit_for(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        if cause.is::<Usage>() {
            return Exit::Usage;
        }
        if let Some(changetape_deployment::Error::BadUri { .. }) = cause.downcast_ref() {
            return Exit::Usage;
        }
        if let Some(changetape_recorder::Error::Deployment(
            changetape_deployment::Error::BadUri { .. },
        )) = cause.downcast_ref()
        {
            return Exit::Usage;
        }
        if let Some(error) = cause.downcast_ref::<changetape_recorder::Error>()
            && error.is_loss()
        {
            return Exit::Loss;
        }
        if let Some(error) = cause.downcast_ref::<std::io::Error>()
            && error.kind() == std::io::ErrorKind::BrokenPipe
        {
            return Exit::Done;
        }
    }
    Exit::Failed
}
