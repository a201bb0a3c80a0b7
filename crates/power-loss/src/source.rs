//! A server whose changes are recorded: a shop trades, and large documents come.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use bson::{Document, doc};
use changetape_testkit::samples::letters;
use changetape_testkit::workload::OrderShop;
use changetape_testkit::{Deployment, changetape_binary, present};
use fastrand::Rng;
use mongodb::Client;

/// Bytes of documents that do not compress, each time.
const BYTES: usize = 6 << 20;
const LONGEST: usize = 30_000;
const TRADE_STEPS: u32 = 150;

/// The server, and the program that records it.
pub(crate) struct Source {
    deployment: Deployment,
    client: Client,
    program: PathBuf,
    /// From where on everything is recorded.
    since: String,
}

impl Source {
    pub(crate) async fn start() -> Result<Self> {
        let program = changetape_binary()?;
        let deployment = Deployment::source().await?;
        let client = deployment.client().await?;
        let since = present(&client).await?.to_string();
        Ok(Self { deployment, client, program, since })
    }

    /// `changetape record`.
    pub(crate) fn record(&self, tape: &Path, flags: &[&str]) -> Command {
        let mut record = Command::new(&self.program);
        record.arg("record").arg(tape).args(["--since", &self.since]).args(flags);
        record.env("CHANGETAPE_SOURCE_URI", self.deployment.uri());
        record.stdin(Stdio::null()).stdout(Stdio::null());
        record
    }

    /// Records everything that has happened, undisturbed.
    pub(crate) fn record_all(&self, tape: &Path) -> Result<()> {
        let status = self.record(tape, &["--stop-when-idle", "2s"]).status();
        ensure!(status.context("cannot start changetape")?.success(), "it could not record");
        Ok(())
    }

    /// Changes things, otherwise each time; at least so many changes were made.
    pub(crate) async fn change(&self, time: u64) -> Result<u64> {
        let mut random = Rng::with_seed(time);
        // On a deployment that is not ours there may be those of an earlier run.
        let database = format!("power_loss_{:08x}", fastrand::u32(..));
        let shop = OrderShop::new(time).database(&database).steps(TRADE_STEPS);
        let large = self.client.database(&database).collection::<Document>("large");
        let documents = async {
            let (mut left, mut count) = (BYTES, 0);
            while left > 0 {
                // Small ones are the most, and large ones most of the bytes.
                let longest = random.usize(100..=LONGEST);
                let len = random.usize(100..=longest).min(left);
                let text = letters(&mut random, len);
                large.insert_one(doc! {"text": text}).await?;
                (left, count) = (left - len, count + 1);
            }
            Ok::<_, anyhow::Error>(count)
        };
        let (traded, count) = tokio::join!(shop.run(&self.client), documents);
        traded.map(drop)?;
        count
    }
}
