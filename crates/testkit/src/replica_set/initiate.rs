//! From servers that listen to a set that works: members, primary, root user.

use std::time::Instant;

use bson::{Document, doc};

use super::{Access, PASSWORD, ReplicaSet, USER, direct_client};
use crate::Error;
use crate::server::{PATIENCE, POLL};

/// How long the others wait for a silent primary before they elect another, in
/// milliseconds. The default of 10 000 would be most of a failover test's time; much less
/// would make an overloaded machine elect for no reason.
const ELECTION_TIMEOUT: i32 = 4_000;
/// Between heartbeats, in milliseconds; several must fit in the election timeout.
const HEARTBEAT_INTERVAL: i32 = 500;

/// Initiates the set, waits until it is healthy and makes the root user.
pub(super) async fn initiate(set: &mut ReplicaSet) -> Result<(), Error> {
    let first = direct_client(set.node(0), &set.transport, None).await?;
    first
        .database("admin")
        .run_command(doc! {"replSetInitiate": configuration(set)})
        .await
        .map_err(Error::mongo("initiating the test set"))?;
    set.wait_until_healthy().await?;
    if set.access == Access::KeyFile {
        create_root(set).await?;
    }
    wait_for_cluster_time(set).await
}

/// Until a set with authentication has made the keys that it signs its clock with, which it
/// does some time after it has a primary, replies carry neither `operationTime` nor
/// `$clusterTime`, on which clients rely.
async fn wait_for_cluster_time(set: &ReplicaSet) -> Result<(), Error> {
    let admin = set.client()?.database("admin");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reply = admin.run_command(doc! {"ping": 1}).await.map_err(Error::mongo("ping"))?;
        if reply.contains_key("operationTime") {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(set.node(0).too_late("the set did not come to sign its clock"));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn configuration(set: &ReplicaSet) -> Document {
    let members: Vec<_> = (0_i32..)
        .zip(0..set.nodes())
        .map(|(id, node)| doc! {"_id": id, "host": set.host(node)})
        .collect();
    let settings = doc! {
        "electionTimeoutMillis": ELECTION_TIMEOUT,
        "heartbeatIntervalMillis": HEARTBEAT_INTERVAL,
    };
    doc! {"_id": &set.name, "members": members, "settings": settings}
}

/// Possible without logging in as long as there is no user: the localhost exception.
async fn create_root(set: &mut ReplicaSet) -> Result<(), Error> {
    let primary = set.primary().await?;
    let client = direct_client(set.node(primary), &set.transport, None).await?;
    client
        .database("admin")
        .run_command(doc! {"createUser": USER, "pwd": PASSWORD, "roles": ["root"]})
        .await
        .map_err(Error::mongo("creating the root user"))?;
    Ok(())
}
