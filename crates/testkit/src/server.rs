//! One `mongod` on one port, with one data directory, for as long as it is owned.
//!
//! A server keeps its port for life: clients find it again after a restart. That it is ready
//! is read from its own log, not found out by connecting, because on a port that was lost to
//! another process it is the other who would answer.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use crate::process::{Process, end_of_log};
use crate::{Error, ports};

/// How long anything may take that a server does by itself. Seconds on an idle machine;
/// the rest is for machines that are not.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How often a condition is looked at while it is waited for.
pub(crate) const POLL: Duration = Duration::from_millis(20);

/// "Waiting for connections": the address is bound.
const LISTENING: &str = r#""id":23016"#;

/// The exit code of a mongod whose address is in use.
const ADDRESS_IN_USE: i32 = 48;

#[derive(Debug)]
pub(crate) struct Server {
    mongod: PathBuf,
    flags: Vec<OsString>,
    directory: PathBuf,
    port: u16,
    process: Option<Process>,
    /// Where in the log the present run begins.
    log_start: u64,
}

impl Server {
    /// Starts a server on a free port. It is not [listening](Self::listening_somewhere)
    /// yet.
    pub(crate) fn start(
        mongod: PathBuf,
        directory: PathBuf,
        flags: Vec<OsString>,
    ) -> Result<Self, Error> {
        let data = directory.join("data");
        fs::create_dir_all(&data).map_err(|source| Error::file("create", &data, source))?;
        let port = ports::choose()?;
        let mut server = Self { mongod, flags, directory, port, process: None, log_start: 0 };
        server.spawn()?;
        Ok(server)
    }

    /// Waits until the server accepts connections; moves it to another port if it lost its
    /// first one to another process before it could bind it.
    pub(crate) async fn listening_somewhere(&mut self) -> Result<(), Error> {
        loop {
            match self.wait_until_listening().await? {
                Ok(()) => return Ok(()),
                Err(status) if status.code() == Some(ADDRESS_IN_USE) => {
                    self.port = ports::choose()?;
                    self.spawn()?;
                }
                Err(status) => return Err(self.ended(status)),
            }
        }
    }

    /// Starts the server again on its port and waits until it accepts connections. Does
    /// nothing if it runs.
    pub(crate) async fn restart(&mut self) -> Result<(), Error> {
        if self.is_running() {
            return Ok(());
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.spawn()?;
            match self.wait_until_listening().await? {
                Ok(()) => return Ok(()),
                // Somebody's for a moment, such as another test trying out ports.
                Err(status)
                    if status.code() == Some(ADDRESS_IN_USE) && Instant::now() < deadline =>
                {
                    tokio::time::sleep(POLL).await;
                }
                Err(status) => return Err(self.ended(status)),
            }
        }
    }

    /// Kills the server (SIGKILL). It has ended when this returns.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Ends the server in order (SIGTERM) and waits until it has.
    pub(crate) async fn stop(&mut self) -> Result<(), Error> {
        let Some(process) = &mut self.process else { return Ok(()) };
        process.terminate();
        let deadline = Instant::now() + PATIENCE;
        while process.ended().is_none() {
            if Instant::now() > deadline {
                return Err(self.too_late("the server did not stop"));
            }
            tokio::time::sleep(POLL).await;
        }
        self.process = None;
        Ok(())
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.ended().is_none())
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// As URIs have it.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// An error that says what did not happen, with the end of this server's log.
    pub(crate) fn too_late(&self, what: &'static str) -> Error {
        let (seconds, port) = (PATIENCE.as_secs(), self.port);
        Error::TooLate { what, seconds, port, log: end_of_log(&self.log()) }
    }

    fn ended(&self, status: ExitStatus) -> Error {
        let (port, status) = (self.port, status.to_string());
        Error::ServerEnded { port, status, log: end_of_log(&self.log()) }
    }

    fn log(&self) -> PathBuf {
        self.directory.join("mongod.log")
    }

    fn spawn(&mut self) -> Result<(), Error> {
        let mut arguments: Vec<OsString> =
            vec!["--dbpath".into(), self.directory.join("data").into()];
        arguments.extend(["--port".into(), self.port.to_string().into()]);
        // Loopback only; tests need no more cache than this, and many may run side by side.
        for flag in ["--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"]
        {
            arguments.push(flag.into());
        }
        arguments
            .extend(["--setParameter", "diagnosticDataCollectionEnabled=false"].map(Into::into));
        arguments.extend(self.flags.iter().cloned());
        let log = self.log();
        self.log_start = fs::metadata(&log).map_or(0, |metadata| metadata.len());
        self.process = Some(Process::start(&self.mongod, &arguments, &log)?);
        Ok(())
    }

    /// The inner result is how the server ended if it did not come to listen.
    async fn wait_until_listening(&mut self) -> Result<Result<(), ExitStatus>, Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.log_of_this_run()?.contains(LISTENING) {
                return Ok(Ok(()));
            }
            if let Some(status) = self.process.as_mut().and_then(Process::ended) {
                return Ok(Err(status));
            }
            if Instant::now() > deadline {
                return Err(self.too_late("the server did not come up"));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn log_of_this_run(&self) -> Result<String, Error> {
        let log = self.log();
        let bytes = fs::read(&log).map_err(|source| Error::file("read", &log, source))?;
        let start = usize::try_from(self.log_start).unwrap_or(usize::MAX);
        Ok(String::from_utf8_lossy(bytes.get(start..).unwrap_or_default()).into_owned())
    }
}
