//! The tape: a durable log of change events in a directory.
//!
//! ```text
//! Batch ──► block ──► log (sled) ──► durable ──► acknowledged
//!           codec     one atomic      synced,
//!                     batch with the  watermark
//!                     checkpoint
//!
//! path ──► format, lock ──► opening ──► log ──► scan, seek, summary ──► Block
//!          what it is,      closed cleanly, crashed
//!          who has it       or damaged
//! ```
//! `docs/tape-format.md` specifies everything on disk. Blocking throughout: an append
//! returns when it is durable. Nothing of sled's appears in a public type.

// What moves: events in blocks, and what surrounds them.
mod block;
mod bytes;
mod checkpoint;
mod codec;
mod metadata;

// The directory: what is where, what it is, who has it open.
mod create;
mod disk;
mod format;
mod layout;
mod lock;

// The live end: sled, and what makes it durable.
mod log;
mod quiet;

// What outlives a crash, and what tells damage from one.
mod closed;
mod opening;
mod survey;
mod watermark;

// Recording.
mod append;

// Playing.
mod scan;
mod seek;
mod summary;

// What can be wrong.
mod error;

#[cfg(test)]
mod format_document;
#[cfg(test)]
mod samples;

pub use append::{Batch, TapeWriter};
pub use block::{Block, Events, RecordedEvent};
pub use checkpoint::Checkpoint;
pub use codec::Codec;
pub use error::{Damage, Error, Mismatch};
pub use format::{FORMAT_VERSION, tape_exists};
pub use lock::Holder;
pub use metadata::{Metadata, SourceIdentity, StreamOptions, UpdateForm};
pub use scan::{Blocks, TapeReader};
pub use summary::Summary;
