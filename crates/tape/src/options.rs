//! `TapeOptions`: how a tape is written.

use std::path::Path;
use std::time::Duration;

use crate::merge::Limits;
use crate::{Error, Metadata, Retain, TapeWriter, create, opening};

/// How a tape is written.
///
/// As with a file's options: [`create`](Self::create) and [`open`](Self::open) begin writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TapeOptions {
    /// About how large segments become, in bytes on disk.
    pub segment_size: u64,
    /// What has been appended is sealed with the next append after this time, however little it
    /// is: whoever reads a tape while it is recorded sees no more than what is sealed.
    pub seal_after: Duration,
    /// When events count as recorded.
    pub durability: Durability,
    /// How much of the tape is kept. Segments are smaller and sealed sooner where that is little.
    pub retain: Retain,
}

impl Default for TapeOptions {
    fn default() -> Self {
        Self {
            segment_size: Self::DEFAULT_SEGMENT_SIZE,
            seal_after: Self::DEFAULT_SEAL_AFTER,
            durability: Durability::default(),
            retain: Retain::default(),
        }
    }
}

/// When what is appended is made durable. Nothing is acknowledged before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// With every append.
    #[default]
    Block,
    /// At most this long after it: so much may be lost with the machine's power, and has to be
    /// read again from the source.
    Interval(Duration),
}

impl TapeOptions {
    /// 256 MiB: few files, and not much that is dropped at once.
    pub const DEFAULT_SEGMENT_SIZE: u64 = 256 << 20;

    /// 5 minutes: seldom enough to cost nothing.
    pub const DEFAULT_SEAL_AFTER: Duration = Duration::from_secs(5 * 60);

    /// How large segments become.
    pub(crate) fn limits(&self) -> Limits {
        self.retain.limits(self.segment_size)
    }

    /// Makes a new tape at `path`, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Exists`] if anything is there already; [`Error::InUse`] if another process is
    /// making it; see [`Error`].
    pub fn create(self, path: &Path, metadata: Metadata) -> Result<TapeWriter, Error> {
        TapeWriter::new(create::create(path, metadata)?, self)
    }

    /// Opens a tape to continue it. After a crash, what was not sealed is sealed first.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::Damaged`], [`Error::TooNew`] and others; see [`Error`].
    pub fn open(self, path: &Path) -> Result<TapeWriter, Error> {
        TapeWriter::new(opening::open(path)?, self)
    }
}
