//! For how long the server keeps what was there, to be read at a time.
//!
//! That is its parameter `minSnapshotHistoryWindowInSeconds`, each node's own. Asking for it takes
//! the privilege `getParameter` (role `clusterMonitor`), which a recorder need not have, and a
//! mongos has none: then it is not known. Nothing else tells beforehand that it is 0: the present
//! can be read then, until the next write (6.0.5, 6.0.27).

use std::fmt;

use bson::{Bson, doc};
use changetape_deployment::Deployment;

use crate::Error;

/// The server's name for it.
const PARAMETER: &str = "minSnapshotHistoryWindowInSeconds";

/// Seconds, where they are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window(Option<i64>);

impl Window {
    /// Asks a node of those that documents are read from.
    pub(super) async fn ask(deployment: &Deployment) -> Self {
        let command = doc! {"getParameter": 1, PARAMETER: 1};
        match deployment.admin(command, &format!("tell {PARAMETER}")).await {
            Ok(reply) => Self(reply.get(PARAMETER).and_then(seconds)),
            Err(reason) => {
                tracing::debug!("how long history is kept is not known: {reason}");
                Self(None)
            }
        }
    }

    /// Refuses a server from which no base can be read while anything is written to it.
    pub(super) fn refuse_none(self, hosts: &str) -> Result<(), Error> {
        match self.0 {
            Some(..=0) => Err(Error::NoHistory { hosts: hosts.to_owned() }),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(seconds) => write!(f, "for {seconds} s"),
            None => write!(f, "for as long as its {PARAMETER} says"),
        }
    }
}

/// A number, of whichever type the server sends.
fn seconds(value: &Bson) -> Option<i64> {
    value.as_i64().or_else(|| value.as_i32().map(i64::from))
}
