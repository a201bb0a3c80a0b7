//! A server whose changes are recorded: a shop trades, and large documents come.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use bson::{Document, doc};
use changetape_testkit::samples::letters;
use changetape_testkit::workload::OrderShop;
use changetape_testkit::{Deployment, changetape_binary, present};
use fastrand::Rng;
use mongodb::{Client, Database};

/// Bytes of documents that a base is taken of: some writes and syncs.
const BASE_BYTES: usize = 24 << 20;
const BASE_DOCUMENT: usize = 20_000;

/// Bytes of documents that do not compress, each time.
const BYTES: usize = 6 << 20;
const LONGEST: usize = 30_000;
const TRADE_STEPS: u32 = 150;

/// The server, and the program that records it.
pub(crate) struct Source {
    deployment: Deployment,
    client: Client,
    program: PathBuf,
    /// What the names of our databases begin with: on a deployment that is not ours there may be
    /// those of an earlier run.
    prefix: String,
    /// What a recording begins with, as flags.
    begin: Vec<String>,
}

/// What a recording begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// The first event that happens.
    Events,
    /// What is there.
    Base,
}

impl Source {
    pub(crate) async fn start(begin: Begin) -> Result<Self> {
        let program = changetape_binary()?;
        let deployment = Deployment::source().await?;
        let client = deployment.client().await?;
        let prefix = format!("power_loss_{:08x}", fastrand::u32(..));
        let begin = match begin {
            Begin::Events => {
                vec!["--since".to_owned(), present(&client).await?.to_string()]
            }
            Begin::Base => vec!["--snapshot".into(), "--include".into(), format!("{prefix}_*")],
        };
        Ok(Self { deployment, client, program, prefix, begin })
    }

    /// A database of ours.
    fn database(&self, name: impl Display) -> Database {
        self.client.database(&format!("{}_{name}", self.prefix))
    }

    /// Puts documents there for a base to be taken of.
    pub(crate) async fn fill(&self) -> Result<()> {
        let documents = self.database("base").collection::<Document>("documents");
        let mut random = Rng::new();
        for _ in 0..BASE_BYTES / BASE_DOCUMENT {
            let text = letters(&mut random, BASE_DOCUMENT);
            documents.insert_one(doc! {"attempt": 1, "text": text}).await?;
        }
        Ok(())
    }

    /// Changes each of them: no base holds what another did.
    pub(crate) async fn change_all(&self) -> Result<()> {
        let documents = self.database("base").collection::<Document>("documents");
        documents.update_many(doc! {}, doc! {"$set": {"attempt": 2}}).await?;
        Ok(())
    }

    /// `changetape record`.
    pub(crate) fn record(&self, tape: &Path, flags: &[&str]) -> Command {
        let mut record = Command::new(&self.program);
        record.arg("record").arg(tape).args(&self.begin).args(flags);
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
        let database = self.database(time);
        let shop = OrderShop::new(time).database(database.name()).steps(TRADE_STEPS);
        let large = database.collection::<Document>("large");
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
