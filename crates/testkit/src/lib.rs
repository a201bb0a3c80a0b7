//! Real MongoDB deployments for tests and demonstrations.
//!
//! ```text
//! mongod::find ──► ReplicaSet ──► workload ──► (the code under test) ──► compare
//! ```
//! A test starts a deployment of its own, runs a seeded workload against it and compares
//! what came out with what should have. Nothing is left running, however the test ends;
//! data directories lie in `target/testkit/` and are swept by later runs.

// What must be there before a server can start: looked for, else fetched once.
mod cargo;
mod error;
mod fetch;
pub mod mongod;
pub mod programs;
pub mod python;
mod workspace;

// Servers of one's own.
#[cfg(feature = "deployments")]
mod certificate;
#[cfg(feature = "deployments")]
mod data_directory;
#[cfg(feature = "deployments")]
mod deployment;
#[cfg(feature = "deployments")]
mod ports;
#[cfg(feature = "deployments")]
mod process;
#[cfg(feature = "deployments")]
mod proxy;
#[cfg(feature = "deployments")]
mod replica_set;
#[cfg(feature = "deployments")]
mod server;
#[cfg(feature = "deployments")]
mod standalone;

// What is done to them.
#[cfg(feature = "deployments")]
mod present;
#[cfg(any(feature = "deployments", feature = "tapes"))]
mod seed;
#[cfg(feature = "deployments")]
pub mod workload;

// Without them.
#[cfg(feature = "tapes")]
pub mod samples;
#[cfg(feature = "tapes")]
mod scratch;

// What came of it.
#[cfg(feature = "deployments")]
pub mod compare;

pub use cargo::cargo;
#[cfg(feature = "deployments")]
pub use deployment::Deployment;
pub use error::Error;
#[cfg(feature = "deployments")]
pub use present::present;
pub use programs::changetape_binary;
#[cfg(feature = "deployments")]
pub use proxy::{Proxy, Silenced};
#[cfg(feature = "deployments")]
pub use replica_set::{ReplicaSet, ReplicaSetBuilder};
#[cfg(feature = "tapes")]
pub use scratch::in_memory_dir;
#[cfg(any(feature = "deployments", feature = "tapes"))]
pub use seed::{SEED, seed};
#[cfg(feature = "deployments")]
pub use standalone::Standalone;
pub use workspace::{target_directory, workspace_directory};
