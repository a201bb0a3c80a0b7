//! `Filling`: the log that is being filled, when it is full, and the room that sealing it takes.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::merge::Limits;
use crate::sealer::{self, Prepared};
use crate::{Error, Gap};

/// A log is sealed once its blocks take this much. sled's memory grows with its database, so
/// this bounds it; what is sealed is merged up to the segment size. Measured:
/// `docs/decisions/0002-…`.
const LOG_LEN: u64 = 32 << 20;

/// A log that is full takes more as long as no other is ready, up to this much.
const MAX_LOG_LEN: u64 = 2 * LOG_LEN;

/// Room for sealing is set aside in steps of this much.
const RESERVE_STEP: u64 = 4 << 20;

/// What sealing needs besides the blocks and a list of kinds: their index, and what merging small
/// blocks may take more.
const RESERVE_SLACK: u64 = 1 << 20;

/// A log that is being filled.
pub(crate) struct Filling {
    pub(crate) prepared: Prepared,
    /// Gaps in it.
    pub(crate) gaps: Vec<Gap>,
    /// Whether the log that follows has been asked for.
    pub(crate) next_asked: bool,
    /// After a failed append nothing more goes into it.
    pub(crate) broken: bool,
    /// The blocks' bytes in it.
    len: u64,
    /// When the first of them came.
    begun: Option<Instant>,
    /// How much room is set aside.
    reserved: u64,
    /// How much sealing needs besides the blocks.
    slack: u64,
}

/// How full a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fullness {
    Empty,
    /// The next one should be made.
    Half,
    /// The next one is to be used if it is ready.
    Full,
    /// The next one has to be waited for.
    Overfull,
}

impl Filling {
    /// Begins to fill a log of a tape whose catalog takes so many bytes.
    pub(crate) fn new(prepared: Prepared, catalog_len: u64) -> Self {
        // Once as the catalog that is written beside the old one, once as the segment's totals.
        Self {
            prepared,
            gaps: Vec::new(),
            next_asked: false,
            broken: false,
            len: 0,
            begun: None,
            reserved: 0,
            slack: RESERVE_SLACK + 2 * catalog_len,
        }
    }

    /// So many bytes of blocks are in it now.
    pub(crate) fn add(&mut self, len: u64) {
        self.len += len;
        if len > 0 {
            self.begun.get_or_insert_with(Instant::now);
        }
    }

    /// Whether it takes nothing more.
    pub(crate) fn is_overfull(&self) -> bool {
        self.len >= MAX_LOG_LEN
    }

    /// How full it is where segments do not grow beyond some limits, and what is in a log is sealed
    /// after some time.
    pub(crate) fn fullness(&self, limits: Limits, seal_after: Duration) -> Fullness {
        let limit = LOG_LEN.min(limits.len);
        let seal_after = limits.span.map_or(seal_after, |span| span.min(seal_after));
        let is_old = self.begun.is_some_and(|begun| begun.elapsed() >= seal_after);
        match self.len {
            _ if self.is_overfull() => Fullness::Overfull,
            len if len >= limit || is_old => Fullness::Full,
            len if len >= limit / 2 => Fullness::Half,
            _ => Fullness::Empty,
        }
    }

    /// Sets the room aside that sealing will take with so many more bytes of blocks, before they
    /// are written: on a full disk a recording then ends cleanly, with everything sealed.
    pub(crate) fn reserve(&mut self, more: u64, tape: &Path) -> Result<(), Error> {
        let needed = self.len + more + self.slack;
        if needed > self.reserved {
            let reserved = needed.next_multiple_of(RESERVE_STEP);
            sealer::reserve(&self.prepared, tape, reserved)?;
            self.reserved = reserved;
        }
        Ok(())
    }
}
