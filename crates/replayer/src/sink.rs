//! `Sink`: where a replay delivers.
//!
//! | address | sink |
//! | --- | --- |
//! | `mongodb://…`, `mongodb+srv://…` | [`mongod`]: applies each event to a database |
//! | `-`, `file:PATH`, `tcp://HOST:PORT`, `unix:PATH` | [`stream`]: events one after the other, as JSON or BSON |
//! | `null:` | [`null`]: takes everything and keeps nothing |
//! | any, in a dry run | [`dry`]: takes and counts what that one would |

mod address;
pub mod dry;
pub mod json;
pub mod mongod;
pub mod null;
pub mod stream;

use changetape_core::Seq;
use changetape_tape::{Metadata, TapeReader};

use crate::page::{LongTransaction, Outgoing};
use crate::summary::Tally;
use crate::{Completion, Coverage, Error, Expiries, Progress, Restoration, Restored, Stop};

pub use address::{SinkAddress, SinkOptions};

/// What came of offering events to a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The sink is done with so many of them, from the first on; at least one. What they
    /// did is acknowledged by whatever the sink delivers to.
    Events(usize),
    /// Nobody reads the sink any more.
    Closed,
    /// A stop was requested while the sink waited for something.
    Stopped,
}

/// Where a replay delivers.
///
/// A sink is offered events that are due, in order, and says how many from the first on it
/// has dealt with. So it chooses what goes together into one write or one command, and what
/// it has not taken is offered again, perhaps with more.
pub trait Sink: Send {
    /// The tape that is about to be played.
    ///
    /// # Errors
    /// If the sink cannot play it.
    fn begin(&mut self, tape: &Metadata) -> Result<(), Error> {
        let _ = tape;
        Ok(())
    }

    /// All of the tape, for what has to be known before the first event is delivered.
    ///
    /// # Errors
    /// If the tape cannot be read.
    fn look_ahead(&mut self, tape: &TapeReader) -> Result<(), Error> {
        let _ = tape;
        Ok(())
    }

    /// Keeps from now on how far a replay of this coverage has come; tells where it goes on, if it has
    /// begun before.
    ///
    /// # Errors
    /// [`Error::KeepsNoProgress`] if the sink cannot; [`Error::OtherPart`] if what it keeps is of
    /// another.
    fn resume(&mut self, coverage: &Coverage) -> Result<Option<Seq>, Error> {
        let _ = coverage;
        Err(Error::KeepsNoProgress)
    }

    /// Plays the tape without regard to how far an earlier replay with this coverage had come, from a
    /// place on: what the sink has kept of that is no longer true, and forgotten.
    ///
    /// # Errors
    /// If the sink cannot.
    fn start_over(&mut self, coverage: &Coverage, from: Seq, stop: &Stop) -> Result<(), Error> {
        let _ = (coverage, from, stop);
        Ok(())
    }

    /// Everything before a place was dealt with, whether or not there was anything to deliver: a replay
    /// that goes on later need not look at it.
    ///
    /// # Errors
    /// If the sink cannot keep it.
    fn reach(&mut self, next: Seq, stop: &Stop) -> Result<(), Error> {
        let _ = (next, stop);
        Ok(())
    }

    /// Puts a tape's base in place, before the first event is delivered.
    ///
    /// # Errors
    /// [`Error::BaseNeedsDatabase`] unless the sink is a database; otherwise if the base cannot be
    /// put there.
    fn restore(
        &mut self,
        base: &Restoration,
        progress: &Progress,
        stop: &Stop,
    ) -> Result<Restored, Error> {
        let _ = (base, progress, stop);
        Err(Error::BaseNeedsDatabase)
    }

    /// Delivers one or more of `due`, which is never empty, from the first on. What is worth
    /// telling about them goes into `tally`.
    ///
    /// # Errors
    /// If the first of them cannot be delivered.
    fn deliver(
        &mut self,
        due: &[Outgoing<'_>],
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<Taken, Error>;

    /// Delivers a transaction whose events are on the tape, all of it. Unless a sink has another way,
    /// they are delivered a part at a time.
    ///
    /// # Errors
    /// If one of them cannot be delivered.
    fn deliver_from_tape(
        &mut self,
        transaction: &LongTransaction<'_>,
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<Taken, Error> {
        deliver_in_parts(self, transaction, tally, stop)
    }

    /// Nothing more follows: everything was delivered, or a stop was requested.
    ///
    /// # Errors
    /// If the sink cannot keep what it took.
    fn finish(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// The replay is over, however it ended. Puts right what was held back while it lasted.
    fn release(&mut self, completion: Completion, stop: &Stop) -> Expiries {
        let _ = (completion, stop);
        Expiries::default()
    }
}

/// Delivers a transaction whose events are on the tape a part at a time.
fn deliver_in_parts(
    sink: &mut (impl Sink + ?Sized),
    transaction: &LongTransaction<'_>,
    tally: &mut Tally,
    stop: &Stop,
) -> Result<Taken, Error> {
    let mut result = Ok(Taken::Events(1));
    transaction.each(&mut |mut events| {
        while !events.is_empty() {
            if stop.is_requested() {
                result = Ok(Taken::Stopped);
                return false;
            }
            match sink.deliver(events, tally, stop) {
                Ok(Taken::Events(taken)) => {
                    events = events.get(taken.max(1)..).unwrap_or_default();
                }
                ended => {
                    result = ended;
                    return false;
                }
            }
        }
        true
    })?;
    result
}
