//! Plays tapes.
//!
//! ```text
//!           reader thread                          player thread
//! tape ──► selection ──► map ──► timeline ──► pages ──► pacer ──► sink
//!          (which)       (names) (when, on    (ready,   (when,    (mongod, stdout,
//!                                 the tape)    bounded)  here)     file, tcp, …)
//! ```
//! A tape's base goes into the sink before the first event, if asked for: [`Restoration`].
//!
//! What decides is pure and tested with values: [`Selection`], [`NamespaceMap`],
//! [`Timeline`], [`Pacer`]. What touches the world is short: [`clock`], the [`sink`]s. Whether a
//! database is what a tape says is another path, [`verify`].

// The whole of it.
mod replay;
mod resume;
mod stop;

// What is played, and under which names.
mod namespace_map;
mod selection;

// What comes before the first event.
mod base;

// When.
pub mod clock;
mod control;
mod pacer;
mod speed;
mod timeline;

// From the tape to the sink.
mod conversion;
mod missing;
mod page;
mod player;
mod read_ahead;
pub mod sink;

// Whether a database is what a tape says.
pub mod verify;

// What is told about it.
mod delays;
mod error;
mod expiry;
mod fidelity;
mod file;
mod host;
mod lateness_log;
mod progress;
mod summary;

pub use base::{Existing, Extent, Restoration, Restored};
pub use control::{Answer, Command, Control, NotDone, SeekTo};
pub use delays::Lag;
pub use error::Error;
pub use expiry::{Completion, Expiries, Expiry, LeftHeld};
pub use fidelity::{Fidelity, Lateness, OwnLateness};
pub use file::Overwrite;
pub use host::HostLoad;
pub use lateness_log::{LatenessLog, LatenessRows};
pub use missing::{AtDamage, AtGap, Missing};
pub use namespace_map::NamespaceMap;
pub use pacer::Pacer;
pub use page::{LongTransaction, Outgoing, Transaction};
pub use progress::{BaseProgress, Progress};
pub use replay::{Replay, ReplayOptions, Resume};
pub use resume::Coverage;
pub use selection::{Selection, leave_out_kept};
pub use sink::{Sink, SinkAddress, SinkOptions};
pub use speed::{Laps, OnLate, Rate, Speed};
pub use stop::Stop;
pub use summary::{Divergence, Ended, InexactEvent, Skipped, Summary, Tally};
pub use timeline::{Offset, Placed, Spread, TimeSource, Timeline, TimelineOptions, Times};
