//! Sinks for consumers: events one after the other, into a file, a pipe or a socket.
//!
//! ```text
//! due events ─► encode ─► one write ─► file, standard output,
//!              (bytes)                 a consumer (tcp://, unix:)
//! ```
//! What is written:
//!
//! | [`Encoding`] | an event is |
//! | --- | --- |
//! | `Canonical` | the public event as canonical Extended JSON, and a line feed |
//! | `Relaxed` | the same, as relaxed Extended JSON |
//! | `Bson` | the event's document, every byte of it as it was recorded, under the names that it is to have. It begins with its own length (an int32, little-endian), and nothing stands between two |
//!
//! The *public* event is what `watch()` would have delivered, derived from what was recorded
//! ([`changetape_core::public_event`]); one that a `watch()` does not show is left out and counted.
//! As BSON nothing is hidden. In an [`Envelope`] each line or document is
//!
//! ```text
//! {"seq": 41, "due": 1772366400000000000, "sent": 1772366400000012345, "event": { … }}
//! ```
//! all three numbers 64-bit integers. `due` and `sent` are nanoseconds since the Unix epoch on one
//! clock: the host's monotonic one, whose distance from the epoch is taken once, when the sink is
//! opened. So they differ by exactly how late the event left, whatever is done to the host's clock
//! meanwhile. `sent` is taken right before the events of a write are encoded.
//!
//! Events that are offered together are written together, and nothing is kept back, so a consumer
//! sees each when it is due. Bytes that are written are done with; whether a consumer has read them
//! nobody knows. Who a consumer is, and what becomes of one that goes away, [`consumers`] says: a
//! reader of standard output or of a pipe that goes away (`| head`) ends the replay, which is no
//! error.

mod consumers;
mod encode;
mod outlet;
mod socket;
mod wall;

use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use changetape_tape::Metadata;

use super::{Sink, Taken};
use crate::page::Outgoing;
use crate::summary::Tally;
use crate::{Error, Overwrite, Stop, file};
use encode::Encoder;
use outlet::{Outlet, Ready, Written};

pub use consumers::{Consumers, MAX_OUTAGE, OnDisconnect, Role};
pub use encode::{Encoding, Envelope, Form, Shown};
pub use socket::SocketAddress;

/// Writes events one after the other.
#[derive(Debug)]
pub struct StreamSink {
    encoder: Encoder,
    outlet: Outlet,
    /// Ends the wait for the first consumer.
    stop: Stop,
}

impl StreamSink {
    /// Writes to standard output.
    ///
    /// # Errors
    /// [`Error::Write`] if there is none.
    pub fn stdout(form: Form) -> Result<Self, Error> {
        const NAME: &str = "standard output";
        // Not by way of the buffer that `print!` has: what is written is counted.
        let out = io::stdout().as_fd().try_clone_to_owned();
        let out = out.map_err(|source| Error::Write { to: NAME.to_owned(), source })?;
        Ok(Self::new(form, Outlet::file(out.into(), NAME)))
    }

    /// Writes to a file, which is created.
    ///
    /// # Errors
    /// [`Error::FileExists`], or [`Error::Write`] if it cannot be created.
    pub fn create(path: &Path, overwrite: Overwrite, form: Form) -> Result<Self, Error> {
        let file = file::create(path, overwrite)?;
        Ok(Self::new(form, Outlet::file(file, path.display().to_string())))
    }

    /// Writes to consumers. The first is waited for when the replay begins, until `stop`.
    #[must_use]
    pub fn to(consumers: Consumers, form: Form, stop: Stop) -> Self {
        Self { stop, ..Self::new(form, Outlet::Consumers(consumers)) }
    }

    /// Writes nowhere.
    #[must_use]
    pub fn nowhere(form: Form) -> Self {
        Self::new(form, Outlet::Nowhere)
    }

    fn new(form: Form, outlet: Outlet) -> Self {
        Self { encoder: Encoder::new(form), outlet, stop: Stop::default() }
    }
}

impl Sink for StreamSink {
    fn begin(&mut self, tape: &Metadata) -> Result<(), Error> {
        self.encoder.begin(tape);
        // Before the clock of the replay is started: what waits for a consumer is not late. If a stop
        // is requested meanwhile, the replay that follows notices it before its first event.
        self.outlet.ready(None, &self.stop).map(|_| ())
    }

    fn deliver(
        &mut self,
        due: &[Outgoing<'_>],
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<Taken, Error> {
        loop {
            match self.outlet.ready(due.first().map(|first| first.seq), stop)? {
                Ready::Yes => {}
                Ready::Closed => return Ok(Taken::Closed),
                Ready::Stopped => return Ok(Taken::Stopped),
            }
            self.encoder.encode(due)?;
            let (bytes, ends) = (self.encoder.bytes(), self.encoder.ends());
            let Written { bytes: written, stopped } = self.outlet.write(bytes, ends, stop)?;
            let done = self.encoder.done(written);
            if done.events > 0 {
                tally.hide(done.hidden);
                return Ok(Taken::Events(done.events));
            }
            if stopped {
                return Ok(Taken::Stopped);
            }
            // Whoever was there went away before one event was written.
        }
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.outlet.finish();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
