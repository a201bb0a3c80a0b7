//! The event model that every part of Changetape shares.
//!
//! ```text
//! mongod ──► source ──► recorder ──► tape ──► player ──► pacer ──► sink
//!            └───────────── ChangeEvent, on all of the way ────────────┘
//! ```
//! Pure: no I/O, no runtime, no driver. A program that only reads tapes needs nothing else
//! of MongoDB's.

// An event and its fields.
mod event;
mod namespace;
mod operation;
mod token;

// An update, as the server applies it and as `watch()` shows it.
mod diff;
mod public;

// Where and when an event is.
mod clock;
mod position;
mod seq;

// BSON as bytes, never decoded.
pub mod raw;

// What can be wrong with them.
mod error;

// Anything given to what reads.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;

pub use clock::{Arrival, ClusterTime, WallTime};
pub use diff::{DisambiguatedPaths, UpdateDiff};
pub use error::Error;
pub use event::ChangeEvent;
pub use namespace::{Namespace, NamespaceFilter, NamespacePattern, glob_to_regex};
pub use operation::OperationType;
pub use position::Position;
pub use public::{PublicOptions, Recorded, public_event};
pub use seq::Seq;
pub use token::ResumeToken;
