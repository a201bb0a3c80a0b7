//! A writer that does not stop for a failover: numbered documents, each acknowledged.

use std::time::Duration;

use bson::doc;
use mongodb::Client;
use mongodb::options::WriteConcern;
use tokio::sync::watch;

/// Inserts 0, 1, 2, … until told to stop; returns the last that was acknowledged.
pub(crate) async fn write_numbers(
    client: Client,
    written: watch::Sender<i64>,
    stopped: watch::Receiver<bool>,
) -> i64 {
    /// `DuplicateKey`: a write that looked lost had come through.
    const DUPLICATE_KEY: &str = "11000";
    let numbers = client.database("failover").collection("numbers");
    for n in 0_i64.. {
        loop {
            let insert =
                numbers.insert_one(doc! {"_id": n}).write_concern(WriteConcern::majority());
            match insert.await {
                Ok(_) => break,
                Err(error) if format!("{error:?}").contains(DUPLICATE_KEY) => break,
                // Between two primaries; the pause only keeps the log readable.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        written.send_replace(n);
        if *stopped.borrow() {
            return n;
        }
    }
    unreachable!("numbers do not end")
}
