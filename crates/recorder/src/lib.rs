//! From a deployment's change stream onto a tape.
//!
//! ```text
//! Deployment ──► source ──────► read ─────────► append ──────► TapeWriter
//!                (pipeline,     (the loop:      (own thread,
//!                 raw batches)   resume, limits, durable before it counts)
//!                                fragments)
//! ```
//! The recorder owns resuming: the stream is read in raw batches, which the driver does not
//! resume by itself, and each batch goes onto the tape together with the token that follows
//! it. So wherever a recording stops, the next one goes on exactly there. A tape may begin with
//! a base: what the deployment holds at the time after which its events follow.

// What to record.
mod options;

// Where to begin, and with which stream.
mod opening;
mod pipeline;
mod resume;

// What there is before the first event.
mod base;

// From the server to the tape, in the order of the data.
mod patience;
mod source;

mod past;

mod read;
mod reassemble;

mod append;

// The session around them.
mod end;
mod record;

// What it is doing, and what went wrong.
mod error;
mod failure;
pub mod metrics;
mod oplog;
mod progress;

pub use error::Error;
pub use oplog::watch_oplog;
pub use options::{
    Continues, Fetch, Limits, OnGap, RecordOptions, Request, Since, TakeBase, Updates,
};
pub use progress::{BaseProgress, Progress, Snapshot, State};
pub use record::{Ending, Summary, record};
