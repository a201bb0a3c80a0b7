//! What can be wrong with a tape.

/// A tape that cannot be made, opened, written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {}
