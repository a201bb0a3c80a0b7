//! How far a deployment is.

use std::time::Duration;

use bson::doc;
use changetape_core::ClusterTime;
use mongodb::Client;

use crate::Error;

/// The deployment's present cluster time: everything that happens from now on comes after it.
///
/// # Errors
/// [`Error::Mongo`] if the server refuses to tell it.
pub async fn present(client: &Client) -> Result<ClusterTime, Error> {
    const POLL: Duration = Duration::from_millis(100);
    loop {
        let ping = client.database("admin").run_command(doc! {"ping": 1}).await;
        // A set with authentication tells no time until it has made its signing keys.
        match ping.map_err(Error::mongo("asking for the time"))?.get_timestamp("operationTime") {
            Ok(time) => return Ok(time.into()),
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}
