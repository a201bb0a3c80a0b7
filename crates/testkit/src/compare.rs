//! Whether two deployments hold the same, byte for byte.
//!
//! A [`Dump`] is everything that users can put into a deployment: every database but
//! `admin`, `config` and `local`; of each collection its documents, options and indexes; of
//! each view its definition. What is not compared: UUIDs, the order in which indexes are
//! listed, and the order of documents except in capped collections, where it is part of
//! what a user sees.
//!
//! The deployment must be at rest while it is dumped, and what is in it must fit in memory.

mod difference;
mod dump;

pub use difference::Differences;
pub use dump::{Contents, DocumentKey, Dump};
