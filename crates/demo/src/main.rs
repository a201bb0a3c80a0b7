//! `cargo xtask demo`: the whole path, on throw-away servers, in under a minute.
//!
//! ```text
//! a shop's trade ──► source ──► changetape record ──► tape ──► changetape replay ──► target
//!                      └────────────────────── compared, byte for byte ──────────────────┘
//! ```
//! The program is run as a user runs it; only the servers, the shop and the comparison are
//! ours. The tape stays in `target/demo/`.

mod program;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bson::doc;
use changetape_testkit::compare::Dump;
use changetape_testkit::workload::{OrderShop, Pace};
use changetape_testkit::{
    Deployment, changetape_binary, present, target_directory, workspace_directory,
};
use mongodb::Client;

use crate::program::Program;
use crate::report::Report;

/// How long the shop is open, and how much it trades.
const OPEN_FOR: Duration = Duration::from_secs(8);
const STEPS: u32 = 600;

#[tokio::main]
async fn main() -> ExitCode {
    match demo().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the demo; whether source and target came out identical.
async fn demo() -> Result<bool> {
    let tape = empty_tape()?;
    let program = Program::new(below_workspace(&changetape_binary()?));
    let started = Instant::now();
    println!("Changetape: a shop's changes, recorded from one MongoDB, replayed into another.\n");

    let (source, target) = tokio::try_join!(Deployment::source(), Deployment::target())?;
    let (source_client, target_client) = (source.client().await?, target.client().await?);
    println!("source    MongoDB {}, a replica set of one node", version(&source_client).await?);
    println!("target    MongoDB {}, empty", version(&target_client).await?);
    println!("shop      open for {} s\n", OPEN_FOR.as_secs());

    // So that the recording begins before the shop opens.
    let since = present(&source_client).await?.to_string();
    let running = program.start_record(&source.uri(), &tape, &since)?;
    let database = database(&source);
    let shop = OrderShop::new(fastrand::u64(..)).database(&database).steps(STEPS);
    let traded = shop.pace(Pace::Over(OPEN_FOR)).run(&source_client).await?;
    let recorded = running.finish().context("the recording failed")?;
    let replayed = program.replay(&tape, &target.uri(), "10x").context("the replay failed")?;

    let ours = |dump: Dump| dump.filtered(|ns| ns.db.starts_with(&database));
    let expected = ours(Dump::take(&source_client).await?);
    let found = ours(Dump::take(&target_client).await?);
    let differences = expected.differences(&found);
    let report = Report { traded, recorded, replayed, expected: &expected, differences };
    report.print(&tape, program.path(), started.elapsed())?;
    Ok(report.is_identical())
}

/// Where the tape goes, as one would type it; one of an earlier run is removed.
fn empty_tape() -> Result<PathBuf> {
    std::env::set_current_dir(workspace_directory())?;
    let tape = below_workspace(&target_directory()).join("demo").join("shop.tape");
    if tape.exists() {
        std::fs::remove_dir_all(&tape)
            .with_context(|| format!("cannot remove the last demo's tape {}", tape.display()))?;
    }
    if let Some(directory) = tape.parent() {
        std::fs::create_dir_all(directory)?;
    }
    Ok(tape)
}

/// The shop's database. On a deployment that is not ours there may be one of that name.
fn database(source: &Deployment) -> String {
    match source {
        Deployment::Own(_) => "shop".to_owned(),
        Deployment::External(_) => format!("shop_{:08x}", fastrand::u32(..)),
    }
}

/// A path as one types it in the workspace.
fn below_workspace(path: &Path) -> PathBuf {
    path.strip_prefix(workspace_directory()).unwrap_or(path).to_owned()
}

async fn version(client: &Client) -> Result<String> {
    let build = client.database("admin").run_command(doc! {"buildInfo": 1}).await?;
    Ok(build.get_str("version")?.to_owned())
}
