//! The tape: a durable log of change events in a directory.
//!
//! ```text
//! Batch ──► block ──► log (sled) ──► durable ──► acknowledged
//!           codec     one atomic      synced,
//!                     batch with the  watermark
//!                     checkpoint
//!
//! log ──► salvage ──► seal ──► segment ──► catalog ──► merge, retain
//!         its files'  (small   immutable   what there
//!         own bytes   merged)  file        is
//!
//! documents ──► base, before the first event
//!
//! path ──► format, catalog ──► scan, seek, summary ──► Block
//! ```
//! `docs/tape-format.md` specifies everything on disk. Blocking throughout: an append
//! returns when it is durable. Nothing of sled's appears in a public type.

// What moves: events in blocks, and what surrounds them.
mod block;
mod bytes;
mod checkpoint;
mod codec;
mod frame;
mod gap;
mod metadata;

// What was there before the first event.
mod base;

// The directory: what is where, what it is, who changes it.
mod create;
mod disk;
mod format;
mod layout;
mod lock;
mod output;

// The live end: sled, and what makes it durable.
mod log;
mod quiet;
mod watermark;

// From the live end to files that never change.
mod catalog;
mod merge;
mod retain;
mod salvage;
mod seal;
mod sealer;
mod segment;

// What a killed process left.
mod opening;

// What is wrong with it, and what can be kept.
mod rebuild;
mod repair;
mod verify;

// Recording.
mod options;

mod append;
mod filling;
mod live;

// Playing.
mod scan;
mod seek;
mod summary;

// What can be wrong.
mod error;

// Anything given to what reads.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;

#[cfg(test)]
mod crash_points;
#[cfg(test)]
mod format_document;
#[cfg(test)]
mod samples;

pub use append::{Batch, TapeWriter};
pub use base::{Base, BaseBlock, BaseBlocks, BaseCollection, BaseSummary, BaseWriter, Definition};
pub use block::{Block, Events, RecordedEvent};
pub use catalog::Dropped;
pub use checkpoint::Checkpoint;
pub use codec::Codec;
pub use create::TapeDraft;
pub use disk::allocated as disk_bytes;
pub use error::{Damage, Error, Mismatch};
pub use format::{FORMAT_VERSION, tape_exists};
pub use gap::{Edge, Gap, GapCause};
pub use live::Sealed;
pub use lock::Holder;
pub use metadata::{Metadata, SourceIdentity, StreamOptions, UpdateForm};
pub use options::{Durability, TapeOptions};
pub use repair::{Repaired, repair};
pub use retain::Retain;
pub use scan::{Blocks, Keep, Tail, TapeReader};
pub use summary::Summary;
pub use verify::{Verified, verify};
