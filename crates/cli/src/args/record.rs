//! The arguments of `changetape record`.

use std::path::PathBuf;
use std::time::Duration;

use changetape_recorder::{
    Continues, Fetch, Limits, OnGap, RecordOptions, Request, Since, TakeBase, Updates,
};
use clap::{Args, ValueEnum, builder::PossibleValuesParser};

use super::parse::{self, Pipeline};
use super::{KeepingArgs, NamespaceArgs, TapeArg, uri};

/// Record a deployment's change stream onto a tape
///
/// Records every change of the deployment until Ctrl-C or a limit. A new tape begins now, or
/// where --since says, or with a base (--snapshot); a tape that is there continues exactly where it ends. The source may go
/// away and come back, another node may become primary: recording goes on by itself.
#[derive(Debug, Args)]
#[command(
    allow_missing_positional = true,
    after_help = "\
Examples:
  changetape record mongodb://db1,db2/?replicaSet=rs0 orders.tape
  changetape record mongodb://localhost orders.tape --include 'shop.*' --duration 10m
  changetape record mongodb://localhost orders.tape --snapshot
  CHANGETAPE_SOURCE_URI=mongodb://… changetape record orders.tape --since 2026-03-01T12:00:00Z"
)]
pub(crate) struct RecordArgs {
    /// The deployment: a replica set or a sharded cluster
    #[arg(value_name = "MONGODB-URI", env = "CHANGETAPE_SOURCE_URI", hide_env_values = true)]
    uri: Option<String>,
    #[command(flatten)]
    pub(crate) tape: TapeArg,
    /// Read the connection string from a file, so that no password stands on the command line
    #[arg(long, value_name = "FILE", env = "CHANGETAPE_SOURCE_URI_FILE")]
    uri_file: Option<PathBuf>,

    #[command(flatten)]
    namespaces: NamespaceArgs,
    /// More aggregation stages for the server to run on the stream, as JSON
    #[arg(
        long,
        value_name = "JSON",
        value_parser = parse::pipeline,
        env = "CHANGETAPE_PIPELINE",
        help_heading = "Selection"
    )]
    pipeline: Option<Pipeline>,

    /// Where a new tape begins: now, a time (2026-03-01T12:00:00Z), a cluster time
    /// (1772366400:1) or a resume token
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "now",
        env = "CHANGETAPE_SINCE",
        help_heading = "Recording"
    )]
    since: Since,
    /// Continue a tape that is there where --since says, and not where it ends; what lies between
    /// is a gap on it. For one run: set in the environment, it leaves a gap with every start
    #[arg(
        long,
        conflicts_with = "snapshot",
        env = "CHANGETAPE_RESET",
        value_parser = parse::switch,
        help_heading = "Recording"
    )]
    reset: bool,
    /// Take a base first: documents, options and indexes of what is recorded, as they are at one
    /// cluster time, after which the events follow. A tape that has its base goes on as any other
    #[arg(
        long,
        conflicts_with = "since",
        env = "CHANGETAPE_SNAPSHOT",
        value_parser = parse::switch,
        help_heading = "Recording"
    )]
    snapshot: bool,
    /// The form of updates: the server's own diff (raw), which replays exactly, or what
    /// watch() shows (public); auto takes raw where the server gives it
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        default_value_t,
        env = "CHANGETAPE_UPDATES",
        help_heading = "Recording"
    )]
    updates: UpdatesArg,
    /// As in watch(): what updates carry of the whole document
    #[arg(
        long,
        value_name = "MODE",
        value_parser = PossibleValuesParser::new(["default", "updateLookup", "whenAvailable", "required"]),
        env = "CHANGETAPE_FULL_DOCUMENT",
        help_heading = "Recording"
    )]
    full_document: Option<String>,
    /// As in watch(): whether events carry the document as it was before
    #[arg(
        long,
        value_name = "MODE",
        value_parser = PossibleValuesParser::new(["off", "whenAvailable", "required"]),
        env = "CHANGETAPE_FULL_DOCUMENT_BEFORE_CHANGE",
        help_heading = "Recording"
    )]
    full_document_before_change: Option<String>,

    /// What to do when the source's oplog no longer reaches back to where the recording should
    /// go on, or when it cannot send an event: end (stop), or note a gap on the tape and go on
    /// where the source can (continue)
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        default_value_t,
        env = "CHANGETAPE_ON_GAP",
        help_heading = "Recording"
    )]
    on_gap: OnGapArg,
    #[command(flatten)]
    keeping: KeepingArgs,

    /// Events to ask for at a time; a reply also ends at 16 MB
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=100_000),
        default_value_t = Fetch::default().batch_size,
        env = "CHANGETAPE_BATCH_SIZE",
        help_heading = "Source"
    )]
    batch_size: u32,
    /// How long the server waits for a change before it answers that there is none; a change
    /// ends the wait
    #[arg(
        long,
        value_name = "TIME",
        value_parser = parse::await_time,
        default_value = "1s",
        env = "CHANGETAPE_MAX_AWAIT",
        help_heading = "Source"
    )]
    max_await: Duration,

    /// Serve /metrics (Prometheus) and /healthz while recording: a port, opened on loopback
    /// only, or HOST:PORT; with port 0 the system chooses one
    #[arg(
        long,
        value_name = "ADDR",
        value_parser = parse::listen_address,
        env = "CHANGETAPE_METRICS",
        help_heading = "Output"
    )]
    pub(crate) metrics: Option<String>,

    /// Stop after this many events
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..),
        env = "CHANGETAPE_COUNT",
        help_heading = "Ending"
    )]
    count: Option<u64>,
    /// Stop after this time (500ms, 2s, 10m), which begins when the stream is open
    #[arg(
        long,
        value_name = "TIME",
        value_parser = parse::duration,
        env = "CHANGETAPE_DURATION",
        help_heading = "Ending"
    )]
    duration: Option<Duration>,
    /// Stop when nothing has changed for this time
    #[arg(
        long,
        value_name = "TIME",
        value_parser = parse::duration,
        env = "CHANGETAPE_STOP_WHEN_IDLE",
        help_heading = "Ending"
    )]
    stop_when_idle: Option<Duration>,
}

/// The form in which updates are recorded.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum UpdatesArg {
    #[default]
    Auto,
    Raw,
    Public,
}

/// What to do where events are lost to the recording.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum OnGapArg {
    #[default]
    Stop,
    Continue,
}

impl RecordArgs {
    pub(crate) fn uri(&self) -> anyhow::Result<String> {
        uri::choose(self.uri.as_deref(), self.uri_file.as_deref(), "CHANGETAPE_SOURCE_URI")
    }

    pub(crate) fn options(&self) -> RecordOptions {
        RecordOptions {
            since: self.since.clone(),
            continues: if self.reset { Continues::Since } else { Continues::AtItsEnd },
            base: if self.snapshot { TakeBase::First } else { TakeBase::No },
            tape: self.keeping.options(),
            on_gap: match self.on_gap {
                OnGapArg::Stop => OnGap::Stop,
                OnGapArg::Continue => OnGap::Continue,
            },
            request: Request {
                filter: self.namespaces.filter(),
                operations: self.namespaces.operations.clone(),
                pipeline: self.pipeline.clone().unwrap_or_default().0,
                updates: match self.updates {
                    UpdatesArg::Auto => Updates::Auto,
                    UpdatesArg::Raw => Updates::Raw,
                    UpdatesArg::Public => Updates::Public,
                },
                full_document: self.full_document.clone(),
                full_document_before_change: self.full_document_before_change.clone(),
            },
            fetch: Fetch { batch_size: self.batch_size, max_await: self.max_await },
            limits: Limits {
                count: self.count,
                duration: self.duration,
                idle: self.stop_when_idle,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn fetch(flags: &[&str]) -> Fetch {
        let args = ["changetape", "record", "mongodb://127.0.0.1", "a.tape"];
        let cli = Cli::try_parse_from(args.iter().chain(flags)).unwrap();
        let Command::Record(args) = cli.command else { panic!("another command") };
        args.options().fetch
    }

    #[test]
    fn the_source_is_asked_as_the_flags_say() {
        assert_eq!(fetch(&[]), Fetch::default());
        assert_eq!(
            fetch(&["--batch-size", "50", "--max-await", "5s"]),
            Fetch { batch_size: 50, max_await: Duration::from_secs(5) }
        );
    }
}
