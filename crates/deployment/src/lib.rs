//! Reaching a MongoDB deployment, and saying in one sentence why that failed.
//!
//! ```text
//! URI ──► Deployment ──► a driver client, who the deployment is, what went wrong
//! ```
//! Both ends of the data path use it: the recorder to reach its source, the replayer to
//! reach its target.

// From a connection string to a client.
mod connect;
mod uri;

// What the deployment says of itself.
mod clock;
mod identity;

// How long it may take for that.
mod patience;

// From a driver's error to a sentence.
mod error;
mod explain;
mod monitor;

pub use connect::{Deployment, Topology};
pub use error::{Error, Refusal};
pub use explain::{error_code, is_transient};
pub use identity::Identity;
pub use patience::{PATIENCE, is_no_answer, within};
pub use uri::{check_uri, redact};
