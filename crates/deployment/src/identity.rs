//! Who a deployment is, so that a tape is never continued from another one.

use bson::doc;
use bson::oid::ObjectId;

use crate::{Deployment, Error, Topology};

/// What tells one deployment from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The replica set's name; `sharded` for a sharded cluster.
    pub replica_set: String,
    /// The id that the set was given when it was initiated. Reading it takes the privilege
    /// `replSetGetConfig` (role `clusterMonitor`), which a recorder need not have.
    pub replica_set_id: Option<ObjectId>,
    /// As in `buildInfo`, for example `6.0.5`.
    pub server_version: String,
}

impl Deployment {
    /// Asks the deployment who it is.
    ///
    /// # Errors
    /// [`Error::Standalone`] if it has no replica set, and so no change streams; otherwise
    /// what stood in the way.
    pub async fn identity(&self) -> Result<Identity, Error> {
        let replica_set = match self.topology() {
            Topology::ReplicaSet(name) => name,
            Topology::Sharded => "sharded".to_owned(),
            Topology::Standalone => {
                return Err(Error::Standalone { hosts: self.hosts().to_owned() });
            }
        };
        let build = self.admin(doc! {"buildInfo": 1}, "ask for its version").await?;
        let server_version = build.get_str("version").unwrap_or("unknown").to_owned();
        let config = doc! {"replSetGetConfig": 1};
        let replica_set_id = match self.admin(config, "ask for its configuration").await {
            Ok(reply) => {
                let config = reply.get_document("config");
                let settings = config.and_then(|config| config.get_document("settings"));
                settings.and_then(|settings| settings.get_object_id("replicaSetId")).ok()
            }
            Err(Error::Refused { .. }) => None,
            // Whoever may read it would have another identity for a connection that broke.
            Err(error) => return Err(error),
        };
        Ok(Identity { replica_set, replica_set_id, server_version })
    }
}
