//! Workloads: seeded runs of writes, the same every time for one seed.
//!
//! | workload | is |
//! | --- | --- |
//! | [`OrderShop`] | a small shop, with every kind of operation that a change stream reports |
//! | [`RandomDocuments`] | documents of every BSON type under awkward names, changed at random |
//! | [`random_updates`] | documents and updates of every shape, for a caller who runs them |
//! | [`Bursts`] | inserts in bursts, with quiet spells between them |
//!
//! Each says in a [`Tally`] which change events a stream over the whole deployment, opened
//! with `showExpandedEvents`, delivers for what it did. What a workload writes depends on
//! its seed only, not on the time it runs at, except for a few fields that the server's
//! clock sets because such updates exist.

mod bursts;
mod order_shop;
mod pace;
mod random_documents;
pub mod random_updates;
mod tally;

pub use bursts::{Burst, Bursts};
pub use order_shop::OrderShop;
pub use pace::Pace;
pub use random_documents::{RandomDocuments, random_document, random_name, random_value};
pub use tally::Tally;
