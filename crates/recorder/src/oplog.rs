//! How far back the source's oplog reaches, looked up now and then.
//!
//! It is what a recording that stops may be away for without losing anything. Reading it takes the
//! privilege `find` on `local.oplog.rs` (role `clusterMonitor`, or `read` on `local`), which a
//! recorder need not have, and a mongos has none: then it is not known.

use std::convert::Infallible;
use std::time::Duration;

use bson::{Document, doc};
use changetape_core::ClusterTime;
use changetape_deployment::Deployment;

use crate::Progress;

/// How often. Oplogs hold hours, and each look costs the source one document.
const INTERVAL: Duration = Duration::from_secs(30);

/// Keeps `progress` informed, until it is dropped.
pub async fn watch_oplog(source: &Deployment, progress: &Progress) -> Infallible {
    loop {
        let oldest = oldest(source).await.unwrap_or_else(|error| {
            let reason = source.explain(error, "read local.oplog.rs");
            tracing::debug!("how far the oplog reaches back is not known: {reason}");
            None
        });
        progress.oplog_begins(oldest);
        tokio::time::sleep(INTERVAL).await;
    }
}

/// The cluster time of the oldest entry: the first in natural order, which needs no index.
pub(crate) async fn oldest(
    source: &Deployment,
) -> Result<Option<ClusterTime>, mongodb::error::Error> {
    let oplog = source.client().database("local").collection::<Document>("oplog.rs");
    let entry = oplog.find_one(doc! {}).projection(doc! {"_id": 0, "ts": 1});
    let entry = source.answer(entry).await?;
    Ok(entry.and_then(|entry| entry.get_timestamp("ts").ok()).map(Into::into))
}
