//! The arguments of `changetape replay` and `changetape cat`.

mod applying;
mod consumer;
mod control;
mod time;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use changetape_core::Position;
use changetape_replayer::sink::mongod;
use changetape_replayer::verify::{MEMORY, VerifyOptions};
use changetape_replayer::{
    AtDamage, AtGap, Existing, Laps, Missing, NamespaceMap, ReplayOptions, Resume, Selection,
    SinkAddress, SinkOptions, Speed, leave_out_kept,
};
use clap::Args;

use super::verify::LISTED;
use super::{NamespaceArgs, TapeArg, parse, uri};
use crate::exit::Usage;
pub(crate) use applying::OnErrorArg;
use applying::{OrderArg, TransactionsArg};
use consumer::{ConsumerArgs, FormArgs};
pub(crate) use control::ControlArgs;
pub(crate) use time::LatenessFile;
use time::TimeArgs;

/// Play a tape into a sink
///
/// Every event leaves when it is due: as long after the first one as it was recorded, divided by
/// the speed. An event that cannot leave in time leaves at once, is counted as late, and moves
/// no other.
#[derive(Debug, Args)]
#[command(after_help = "\
Sinks:
  mongodb://…  mongodb+srv://…   apply the events to that deployment
  -                              print them, one a line, as watch() would deliver them
                                 (canonical Extended JSON, unless --encode says otherwise)
  file:PATH                      the same, to a file
  tcp://HOST:PORT  unix:PATH     the same, to a consumer that listens there, or that
                                 connects there (--listen)
  null:                          read and pace them, deliver them nowhere

Examples:
  changetape replay orders.tape mongodb://localhost:27018 --speed 10x
  changetape replay orders.tape mongodb://localhost:27018 --base --speed max
  changetape replay orders.tape - --speed max --include shop.orders
  changetape replay orders.tape tcp://127.0.0.1:9000 --listen --encode relaxed --envelope
  changetape replay orders.tape mongodb://localhost:27018 --map-ns shop=shop_test --start '#1000'
  changetape replay orders.tape mongodb://localhost:27018 --speed 10x --dry-run
  changetape replay orders.tape mongodb://localhost:27018 --speed 10x --verify

Exits with 3 if an event was skipped, or refused and left out, or met a target in another state than
the tape tells, or, with --verify, if the target is not what the tape says; with 4 if --on-late stop
ended it.

On a terminal, while it runs: space pauses, . steps, + and - change the speed, → and ← seek, q ends
it; ? shows the keys.")]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    pub(crate) tape: TapeArg,
    /// Where to deliver; see below
    #[arg(value_name = "SINK", env = "CHANGETAPE_SINK", hide_env_values = true)]
    sink: Option<String>,
    /// Read the sink's connection string from a file, so that no password stands on the command
    /// line
    #[arg(long, value_name = "FILE", env = "CHANGETAPE_SINK_URI_FILE")]
    uri_file: Option<PathBuf>,

    #[command(flatten)]
    which: SelectionArgs,
    /// Go on where the last replay with --resume ended, whatever ended it. A database that is
    /// replayed into with it keeps how far that came, in changetape.progress
    #[arg(long, env = "CHANGETAPE_RESUME", value_parser = parse::switch, help_heading = "Selection")]
    resume: bool,

    #[command(flatten)]
    base: BaseArgs,

    #[command(flatten)]
    time: TimeArgs,
    #[command(flatten)]
    pub(crate) control: ControlArgs,

    /// Play a namespace under another name: shop.orders=test.orders, or shop=test for a whole
    /// database; repeatable
    #[arg(
        long,
        value_name = "FROM=TO",
        value_delimiter = ',',
        env = "CHANGETAPE_MAP_NS",
        help_heading = "Delivery"
    )]
    map_ns: Vec<String>,
    /// How long to wait for a target, or a consumer, that goes away before giving up
    #[arg(
        long,
        value_name = "TIME",
        value_parser = parse::duration,
        default_value = "60s",
        env = "CHANGETAPE_MAX_OUTAGE",
        help_heading = "Delivery"
    )]
    max_outage: Duration,
    /// Which events a database gets in the order of the tape: those of each document, those of
    /// each collection, or all
    #[arg(
        long,
        value_name = "ORDER",
        value_enum,
        default_value_t,
        env = "CHANGETAPE_ORDER",
        help_heading = "Delivery"
    )]
    order: OrderArg,
    /// What a database makes of recorded transactions: each a transaction of its own, each as a whole
    /// but perhaps together with what lies around it (quicker), or nothing of the kind
    #[arg(
        long,
        value_name = "HOW",
        value_enum,
        default_value_t,
        env = "CHANGETAPE_TRANSACTIONS",
        help_heading = "Delivery"
    )]
    transactions: TransactionsArg,
    /// How many transactions apply events to a database at the same time; with --resume always one
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=64),
        default_value_t = mongod::WORKERS,
        env = "CHANGETAPE_WORKERS",
        help_heading = "Delivery"
    )]
    workers: u16,
    /// What to do about an event that the target refuses
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        default_value_t,
        env = "CHANGETAPE_ON_ERROR",
        help_heading = "Delivery"
    )]
    pub(crate) on_error: OnErrorArg,
    #[command(flatten)]
    pub(crate) proof: ProofArgs,
    #[command(flatten)]
    form: FormArgs,
    #[command(flatten)]
    consumer: ConsumerArgs,
}

/// Print the events of a tape, one a line
///
/// Prints each event as watch() would have delivered it, as canonical Extended JSON unless --encode
/// says otherwise, without waiting: a replay to standard output at --speed max.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  changetape cat orders.tape | head
  changetape cat orders.tape --op delete --start 2026-03-01T12:00:00Z --end 2026-03-01T13:00:00Z
  changetape cat orders.tape --include shop.orders | jq .documentKey")]
pub(crate) struct CatArgs {
    #[command(flatten)]
    pub(crate) tape: TapeArg,
    #[command(flatten)]
    which: SelectionArgs,
    #[command(flatten)]
    form: FormArgs,
}

/// Which events of a tape take part.
#[derive(Debug, Args)]
struct SelectionArgs {
    #[command(flatten)]
    namespaces: NamespaceArgs,
    /// Begin with the first event at or after this place: a time (2026-03-01T12:00:00Z), a
    /// cluster time (1772366400:1) or a sequence number (#42)
    #[arg(long, value_name = "PLACE", env = "CHANGETAPE_START", help_heading = "Selection")]
    start: Option<Position>,
    /// End before the first event at or after this place
    #[arg(long, value_name = "PLACE", env = "CHANGETAPE_END", help_heading = "Selection")]
    end: Option<Position>,
    /// Play on where events are known to be missing, instead of not beginning
    #[arg(long, env = "CHANGETAPE_CROSS_GAPS", value_parser = parse::switch, help_heading = "Selection")]
    cross_gaps: bool,
    /// Leave out events that cannot be read because the tape is damaged, instead of ending there
    #[arg(long, env = "CHANGETAPE_SKIP_DAMAGE", value_parser = parse::switch, help_heading = "Selection")]
    skip_damage: bool,
}

/// What goes before the events.
#[derive(Debug, Args)]
struct BaseArgs {
    /// Restore the tape's base first (record --snapshot): collections with their options,
    /// documents, then indexes, and views; not where anything has their names already
    #[arg(long, env = "CHANGETAPE_BASE", value_parser = parse::switch, help_heading = "Base")]
    base: bool,
    /// With --base, drop first what has the names of the base's collections and views
    #[arg(long, env = "CHANGETAPE_DROP", value_parser = parse::switch, help_heading = "Base")]
    drop: bool,
}

/// What is made sure of.
#[derive(Debug, Args)]
pub(crate) struct ProofArgs {
    /// Deliver nothing, and tell what would be delivered, and how long it would take. No connection
    /// is made and no file
    #[arg(
        long,
        env = "CHANGETAPE_DRY_RUN",
        value_parser = parse::switch,
        help_heading = "Delivery"
    )]
    pub(crate) dry_run: bool,
    /// Compare the target with the tape at the end, as verify --against does
    #[arg(long, env = "CHANGETAPE_VERIFY", value_parser = parse::switch, help_heading = "Delivery")]
    verify: bool,
}

impl SelectionArgs {
    fn selection(&self) -> Selection {
        Selection {
            namespaces: self.namespaces.filter(),
            operations: self.namespaces.operations.clone(),
            start: self.start,
            end: self.end,
        }
    }

    fn missing(&self) -> Missing {
        Missing {
            gaps: if self.cross_gaps { AtGap::Cross } else { AtGap::Refuse },
            damage: if self.skip_damage { AtDamage::Skip } else { AtDamage::Stop },
        }
    }
}

impl ReplayArgs {
    pub(crate) fn sink(&self) -> anyhow::Result<SinkAddress> {
        // Read here and not by clap, which would show a sink that it cannot read.
        let address =
            uri::choose(self.sink.as_deref(), self.uri_file.as_deref(), "CHANGETAPE_SINK");
        Ok(address?.parse()?)
    }

    pub(crate) fn options(&self, sink: &SinkAddress) -> anyhow::Result<ReplayOptions> {
        let map = NamespaceMap::parse(&self.map_ns);
        let mut selection = self.which.selection();
        if matches!(sink, SinkAddress::Mongodb(_)) {
            leave_out_kept(&mut selection.namespaces);
        }
        Ok(ReplayOptions {
            selection,
            speed: self.time.speed(),
            timeline: self.time.timeline()?,
            on_late: self.time.on_late()?,
            laps: self.laps()?,
            timer: self.time.timer.into(),
            missing: self.which.missing(),
            map: map.map_err(|error| Usage::new(error.to_string()))?,
            resume: if self.resume { Resume::WhereItEnded } else { Resume::No },
        })
    }

    /// How often the tape is played.
    fn laps(&self) -> anyhow::Result<Laps> {
        let laps = self.time.laps;
        let refused = match laps {
            Laps::ONCE => return Ok(laps),
            _ if self.resume => {
                "--resume goes on where a replay ended, and with --loop there is no such place"
            }
            _ if self.proof.verify => {
                "--verify cannot tell what a database must be after the same events twice: leave out \
                 --loop, or --verify"
            }
            _ => return Ok(laps),
        };
        Err(Usage::new(refused).into())
    }

    /// Whether the base is restored first, and over what.
    pub(crate) fn base(&self) -> anyhow::Result<Option<Existing>> {
        match (self.base.base, self.base.drop) {
            (false, false) => Ok(None),
            (true, false) => Ok(Some(Existing::Refuse)),
            (true, true) => Ok(Some(Existing::Drop)),
            (false, true) => Err(Usage::new("--drop goes with --base alone").into()),
        }
    }

    /// How the sink is to be compared with the tape at the end, if it is.
    pub(crate) fn verification(&self, sink: &SinkAddress) -> anyhow::Result<Option<VerifyOptions>> {
        if !self.proof.verify {
            return Ok(None);
        }
        let refused = if !matches!(sink, SinkAddress::Mongodb(_)) {
            "--verify compares a database with the tape: give a mongodb:// sink, or leave it out"
        } else if !self.which.namespaces.operations.is_empty() {
            "--verify cannot tell what a database must be after some kinds of event only: leave \
             out --op, or --verify"
        } else if self.which.skip_damage {
            "--verify cannot tell what a database must be after events that cannot be read: leave \
             out --skip-damage, or --verify"
        } else {
            let ReplayOptions { selection, map, missing, .. } = self.options(sink)?;
            let Selection { namespaces, start, end, .. } = selection;
            let (limit, memory) = (LISTED, MEMORY);
            return Ok(Some(VerifyOptions { start, end, namespaces, map, missing, limit, memory }));
        };
        Err(Usage::new(refused).into())
    }

    /// Where it is logged when events were due and when they left.
    pub(crate) fn lateness(&self, sink: &SinkAddress) -> anyhow::Result<Option<LatenessFile>> {
        self.time.lateness(sink, self.consumer.overwrite())
    }

    pub(crate) fn sink_options(&self) -> SinkOptions {
        SinkOptions {
            max_outage: Some(self.max_outage),
            order: self.order.into(),
            transactions: self.transactions.into(),
            workers: NonZeroUsize::new(self.workers.into()),
            ..self.consumer.sink_options(self.form.form())
        }
    }
}

impl CatArgs {
    pub(crate) fn sink_options(&self) -> SinkOptions {
        SinkOptions { form: self.form.form(), ..SinkOptions::default() }
    }

    pub(crate) fn options(&self) -> ReplayOptions {
        ReplayOptions {
            selection: self.which.selection(),
            speed: Speed::Max,
            missing: self.which.missing(),
            ..ReplayOptions::default()
        }
    }
}
