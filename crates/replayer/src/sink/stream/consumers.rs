//! `Consumers`: programs that read events from a socket, one at a time.
//!
//! The replay connects to the consumer, or listens and takes the first that connects
//! ([`Role`]); further ones wait until that one has gone. It does not begin before one is there.
//!
//! A consumer that goes away ends the replay, or the next one is waited for: the same that is back, or
//! another ([`OnDisconnect`]). That one gets what follows from the first event on that was not written
//! as a whole to the connection that broke, so each event is written as a whole once. What lay in the
//! buffers of that connection, written and not read, is lost to whoever comes; nobody can know how much
//! that was. A consumer that has read all before it goes away misses nothing and gets nothing twice.
//!
//! A consumer has gone when the connection says so. Where the next is waited for, also when it has
//! ended its own direction: one that is to miss nothing does that, and reads to the end. Otherwise it may
//! do so and read on. What it sends nobody looks at.
//!
//! When a stop is requested, the event that is being written is written to its end, if the consumer
//! takes it within [`GRACE`].

use std::io::{self, ErrorKind};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use changetape_core::Seq;

use super::outlet::{Ready, Written};
use super::socket::{Listener, Socket, SocketAddress};
use crate::clock::SLICE;
use crate::{Error, Stop};

/// How long a consumer that has gone away is waited for, unless told otherwise: as long as a target.
pub const MAX_OUTAGE: Duration = Duration::from_secs(60);

/// How long a consumer has to take the rest of an event once a stop is requested.
const GRACE: Duration = Duration::from_secs(2);

/// Pauses between attempts to connect, from the first to the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Who connects to whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    /// The replay to the consumer.
    #[default]
    Connect,
    /// The consumer to the replay.
    Listen,
}

/// What is done when a consumer goes away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnDisconnect {
    /// The replay ends, which is no error; if nobody is there to begin with, that is one.
    #[default]
    Stop,
    /// The next is waited for, and goes on.
    Wait,
}

/// Whoever reads from a socket.
#[derive(Debug)]
pub struct Consumers {
    origin: Origin,
    on_disconnect: OnDisconnect,
    max_outage: Duration,
    /// See [`GRACE`].
    grace: Duration,
    at: Connection,
}

/// Where they come from.
#[derive(Debug)]
enum Origin {
    Connect(SocketAddress),
    Accept(Listener),
}

/// Whoever is there.
#[derive(Debug)]
enum Connection {
    /// Nobody yet.
    NotYet,
    There {
        socket: Socket,
        count: u64,
    },
    /// Nobody any more.
    Gone {
        count: u64,
    },
}

/// What came of waiting for somebody.
enum Met {
    Socket(Socket),
    Stopped,
    /// Nobody came; what stood in the way last.
    Nobody(Option<io::Error>),
}

impl Consumers {
    /// Consumers at an address. If they are to connect, it is listened for them from now on; where, is
    /// told.
    ///
    /// # Errors
    /// [`Error::Listen`], or [`Error::NotASocket`] if something else has the path of the socket.
    pub fn new(
        address: &SocketAddress,
        role: Role,
        on_disconnect: OnDisconnect,
        max_outage: Duration,
    ) -> Result<Self, Error> {
        let origin = match role {
            Role::Connect => Origin::Connect(address.clone()),
            Role::Listen => {
                let listener = address.listen()?;
                let at = listener.address().unwrap_or_else(|_| address.clone());
                tracing::info!("listening on {at}, waiting for a consumer");
                Origin::Accept(listener)
            }
        };
        let (grace, at) = (GRACE, Connection::NotYet);
        Ok(Self { origin, on_disconnect, max_outage, grace, at })
    }

    /// Waits until somebody is there, if anybody is waited for.
    ///
    /// # Errors
    /// [`Error::Connect`] if the first does not answer, [`Error::NoConsumer`] if nobody came in time.
    pub(super) fn ready(&mut self, next: Option<Seq>, stop: &Stop) -> Result<Ready, Error> {
        if let Connection::There { socket, .. } = &self.at {
            match socket.has_ended() {
                Ok(true) if self.on_disconnect == OnDisconnect::Wait => {
                    self.lose("it has closed the connection");
                }
                // What is wrong with the connection the next write says.
                Ok(_) | Err(_) => return Ok(Ready::Yes),
            }
        }
        let (count, is_first) = match &self.at {
            Connection::Gone { count } => (count + 1, false),
            _ => (1, true),
        };
        if !is_first && self.on_disconnect == OnDisconnect::Stop {
            return Ok(Ready::Closed);
        }
        let since = Instant::now();
        // Whoever starts a replay that listens starts the consumer afterwards, in their own time.
        let is_bounded = !(is_first && matches!(self.origin, Origin::Accept(_)));
        let until = since.checked_add(self.max_outage).filter(|_| is_bounded);
        match self.meet(until, stop)? {
            Met::Socket(socket) => {
                if is_first {
                    tracing::info!("a consumer is there ({})", self.name());
                } else if let Some(next) = next {
                    tracing::info!(
                        "a consumer is there again, after {:.1} s ({}, connection {count}); going on \
                         at {next}",
                        since.elapsed().as_secs_f64(),
                        self.name()
                    );
                }
                self.at = Connection::There { socket, count };
                Ok(Ready::Yes)
            }
            Met::Stopped => Ok(Ready::Stopped),
            Met::Nobody(source) => {
                let (at, max_outage) = (self.name(), self.max_outage);
                Err(match source {
                    Some(source) if self.on_disconnect == OnDisconnect::Stop => {
                        Error::Connect { at, source }
                    }
                    source => Error::NoConsumer { at, max_outage, next, source },
                })
            }
        }
    }

    /// Writes to whoever is there.
    ///
    /// # Errors
    /// [`Error::Write`] if the connection failed in another way than that its other end was closed,
    /// and nobody else is waited for.
    pub(super) fn write(
        &mut self,
        bytes: &[u8],
        ends: &[usize],
        stop: &Stop,
    ) -> Result<Written, Error> {
        let Connection::There { socket, .. } = &self.at else {
            return Ok(Written { bytes: 0, stopped: false });
        };
        let (mut written, mut until, mut patience) = (0, bytes.len(), None);
        let failed = loop {
            if stop.is_requested() {
                let under_way = || ends.iter().copied().find(|&end| end >= written);
                until = if written == 0 { 0 } else { under_way().unwrap_or(until) };
                let now = Instant::now();
                if written < until && now >= *patience.get_or_insert(now + self.grace) {
                    tracing::warn!("{} does not read on; stopped within an event", self.name());
                    until = written;
                }
            }
            let Some(rest) = bytes.get(written..until).filter(|rest| !rest.is_empty()) else {
                return Ok(Written { bytes: written, stopped: until < bytes.len() });
            };
            match socket.write(rest) {
                Ok(more) => written += more,
                Err(error) => break error,
            }
        };
        if self.on_disconnect == OnDisconnect::Stop && !is_closed(&failed) {
            return Err(Error::Write { to: self.name(), source: failed });
        }
        self.lose(&failed.to_string());
        Ok(Written { bytes: written, stopped: false })
    }

    /// Nothing more follows: the connection can be ended.
    pub(super) fn finish(&self) {
        if let Connection::There { socket, .. } = &self.at {
            // Whatever is wrong with it, nothing is written any more.
            let _ = socket.has_ended();
        }
    }

    /// Nobody is there any more.
    fn lose(&mut self, why: &str) {
        let Connection::There { count, .. } = self.at else { return };
        if self.on_disconnect == OnDisconnect::Wait {
            tracing::warn!(
                "the consumer has gone ({}): {why}; waiting for the next. What it had not read is \
                 lost to it",
                self.name()
            );
        }
        self.at = Connection::Gone { count };
    }

    /// Waits for somebody.
    fn meet(&self, until: Option<Instant>, stop: &Stop) -> Result<Met, Error> {
        let (mut pause, mut cause) = (PAUSES.0, None);
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if stop.is_requested() {
                return Ok(Met::Stopped);
            }
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(Met::Nobody(cause));
            }
            match &self.origin {
                Origin::Accept(listener) => {
                    let refused = |source| Error::Listen { at: self.name(), source };
                    if let Some(socket) = listener.accept().map_err(refused)? {
                        return Ok(Met::Socket(socket));
                    }
                }
                Origin::Connect(address) => match connect(address, until, stop)? {
                    Met::Nobody(refused) => {
                        if self.on_disconnect == OnDisconnect::Stop {
                            return Ok(Met::Nobody(refused));
                        }
                        let is_first = cause.is_none() && matches!(self.at, Connection::NotYet);
                        if let Some(refused) = refused.as_ref().filter(|_| is_first) {
                            tracing::info!("waiting for a consumer at {address}: {refused}");
                        }
                        cause = refused.or(cause);
                        stop.sleep(left.map_or(pause, |left| left.min(pause)));
                        pause = (pause * 2).min(PAUSES.1);
                    }
                    met => return Ok(met),
                },
            }
        }
    }

    /// For messages.
    fn name(&self) -> String {
        match &self.origin {
            Origin::Connect(address) => address.to_string(),
            Origin::Accept(listener) => {
                listener.address().map_or_else(|error| error.to_string(), |at| at.to_string())
            }
        }
    }
}

/// Tries once to connect, on another thread: neither looking up a name nor connecting would notice
/// that a stop is requested, or that the time is over.
fn connect(address: &SocketAddress, until: Option<Instant>, stop: &Stop) -> Result<Met, Error> {
    let (tell, told) = mpsc::sync_channel(1);
    let address = address.clone();
    let connecting = move || {
        // Whoever would have been told may be gone.
        let _ = tell.send(address.connect());
    };
    let thread = thread::Builder::new().name("changetape-connect".to_owned());
    thread.spawn(connecting).map_err(Error::Thread)?;
    loop {
        match told.recv_timeout(SLICE) {
            Ok(Ok(socket)) => return Ok(Met::Socket(socket)),
            Ok(Err(refused)) => return Ok(Met::Nobody(Some(refused))),
            Err(RecvTimeoutError::Disconnected) => return Ok(Met::Nobody(None)),
            Err(RecvTimeoutError::Timeout) if stop.is_requested() => return Ok(Met::Stopped),
            Err(RecvTimeoutError::Timeout) => {
                if until.is_some_and(|until| Instant::now() >= until) {
                    return Ok(Met::Nobody(None));
                }
            }
        }
    }
}

/// Whether the other end was closed, by whoever had it or because they ended.
fn is_closed(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
}

#[cfg(test)]
mod tests;
