//! A tape of mixed events: half of them inserts, then 70 % updates, 15 % replacements and 15 %
//! deletes in random order, about 600 bytes each.
//!
//! Recorded once from a real server and kept under `target/bench-events/`. Delete it to have it
//! made again.

use std::path::PathBuf;
use std::sync::Arc;

use bson::{Document, doc};
use changetape_deployment::Deployment;
use changetape_recorder::{Limits, Progress, RecordOptions, Since, record};
use changetape_testkit::{ReplicaSet, present, target_directory};
use tokio_util::sync::CancellationToken;

use crate::Error;

/// Documents that are inserted together.
const BATCH: usize = 1000;

/// Those who change documents while the tape is made.
const CLIENTS: usize = 8;

const SEED: u64 = 4;

/// Where the tape of so many events is.
#[must_use]
pub fn tape(events: u64) -> PathBuf {
    target_directory().join("bench-events").join(format!("mixed-{SEED}-{events}.tape"))
}

/// Makes it, unless it is there: has a server changed as the tape is to tell, and records that.
///
/// # Errors
/// If there is no mongod to record from, or the tape cannot be written.
pub async fn make(events: u64) -> Result<(), Error> {
    if changetape_tape::tape_exists(&tape(events)) {
        return Ok(());
    }
    let source = ReplicaSet::single().start().await?;
    let client = source.client()?;
    let shop = client.database("shop");
    shop.create_collection("orders").await?;
    let begin = present(&client).await?;
    let (inserts, changes) = (events / 2, events - events / 2);
    let mut random = fastrand::Rng::with_seed(SEED);
    for first in (0..inserts).step_by(BATCH) {
        let ids = first..inserts.min(first + BATCH as u64);
        let orders: Vec<Document> = ids.map(|id| order(id, &mut random)).collect();
        shop.collection::<Document>("orders").insert_many(orders).await?;
    }
    // Each client has documents of its own, so that it knows which there are.
    let clients = (0..CLIENTS as u64).map(|client| {
        let orders = shop.collection::<Document>("orders");
        let mut random = random.fork();
        tokio::spawn(async move {
            let mut own: Vec<u64> = (client..inserts).step_by(CLIENTS).collect();
            for _ in 0..(changes + client) / CLIENTS as u64 {
                let at = random.usize(..own.len());
                let Some(&id) = own.get(at) else { break };
                let found = doc! {"_id": id.cast_signed()};
                match random.u32(..100) {
                    ..70 => {
                        let paid =
                            doc! {"status": "paid", "paid": {"by": "card", "n": random.i32(..)}};
                        orders.update_one(found, doc! {"$set": paid}).await?;
                    }
                    70..85 => {
                        orders.replace_one(found, order(id, &mut random)).await?;
                    }
                    _ => {
                        orders.delete_one(found).await?;
                        own.swap_remove(at);
                    }
                }
            }
            Ok::<_, mongodb::error::Error>(())
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await??;
    }
    let deployment = Deployment::connect(&source.uri()).await?;
    let tape = tape(events);
    std::fs::create_dir_all(tape.parent().ok_or("no parent")?)?;
    let options = RecordOptions {
        since: Since::Cluster(begin),
        limits: Limits { count: Some(events), ..Limits::default() },
        ..RecordOptions::default()
    };
    let never = CancellationToken::new();
    record(&deployment, &tape, &options, Arc::<Progress>::default(), &never).await?;
    Ok(())
}

/// About 400 bytes, of which an event has some more.
fn order(id: u64, random: &mut fastrand::Rng) -> Document {
    let words: Vec<String> = (0..24).map(|_| random.u32(..).to_string()).collect();
    doc! {
        "_id": id.cast_signed(),
        "customer": random.i32(0..10_000),
        "note": words.join(" "),
        "status": "placed",
    }
}
