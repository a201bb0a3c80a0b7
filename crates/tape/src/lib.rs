//! The tape: a durable log of change events.

mod block;
mod error;
mod metadata;
mod reader;
mod summary;
mod writer;

pub use block::{Block, RecordedEvent};
pub use error::Error;
pub use metadata::{Metadata, SourceIdentity, StreamOptions, UpdateForm};
pub use reader::{Blocks, TapeReader};
pub use summary::Summary;
pub use writer::{Batch, Checkpoint, TapeWriter, tape_exists};
