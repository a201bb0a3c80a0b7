//! The sink that keeps nothing: for rehearsing a replay and for measuring the player alone.

use super::{Sink, Taken};
use crate::page::Outgoing;
use crate::summary::Tally;
use crate::{Error, Stop};

/// Takes everything and keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NullSink;

impl Sink for NullSink {
    fn deliver(
        &mut self,
        due: &[Outgoing<'_>],
        _tally: &mut Tally,
        _stop: &Stop,
    ) -> Result<Taken, Error> {
        Ok(Taken::Events(due.len()))
    }
}
