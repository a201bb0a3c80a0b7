//! The arguments of `changetape verify`.

use std::path::PathBuf;

use changetape_core::Position;
use changetape_replayer::verify::{MEMORY, VerifyOptions};
use changetape_replayer::{AtDamage, AtGap, Missing, NamespaceMap, leave_out_kept};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command};

use super::{FilterArgs, TapeArg, parse, uri};
use crate::exit::Usage;

/// How many differences are listed, unless told otherwise.
pub(super) const LISTED: usize = 50;

/// Under which headings the flags stand that are of use only with a database to compare with.
const AGAINST: [&str; 2] = ["Against a database", "Selection"];

/// Check that a tape is as it was written, or that a database is as the tape says
///
/// Reads all of it and compares every checksum; what is damaged is named with the events that it
/// costs. Changes nothing, unless --repair is given.
///
/// With --against, computes from the tape what every document that it tells of has to be after its
/// last event, and compares a database with that, byte for byte; collections, options and indexes
/// too. Of a document that the tape tells of in part only, that it is there is compared. Nobody may
/// write to the database meanwhile.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  changetape verify orders.tape
  changetape verify orders.tape --repair
  changetape verify orders.tape --against mongodb://localhost:27018
  changetape verify orders.tape --against mongodb://localhost:27018 --map-ns shop=shop_test
  changetape verify orders.tape --against mongodb://localhost:27018 --end '#1000'

Exits with 3 if the tape is damaged, or, with --repair, if events were lost, or, with --against,
if anything differs.")]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) tape: TapeArg,
    /// Keep all that can be read and note a gap where events are lost; damaged files stay beside
    /// what is kept, under another name
    #[arg(long, env = "CHANGETAPE_REPAIR", value_parser = parse::switch)]
    pub(crate) repair: bool,
    /// Compare this deployment with what the tape says
    #[arg(
        long,
        value_name = "URI",
        env = "CHANGETAPE_AGAINST",
        hide_env_values = true,
        help_heading = "Against a database"
    )]
    against: Option<String>,
    /// Read its connection string from a file, so that no password stands on the command line
    #[arg(
        long,
        value_name = "FILE",
        env = "CHANGETAPE_AGAINST_URI_FILE",
        help_heading = "Against a database"
    )]
    uri_file: Option<PathBuf>,
    /// The tape was played under these other names: shop.orders=test.orders, or shop=test for a
    /// whole database; repeatable
    #[arg(
        long,
        value_name = "FROM=TO",
        value_delimiter = ',',
        env = "CHANGETAPE_MAP_NS",
        help_heading = "Against a database"
    )]
    map_ns: Vec<String>,
    /// How many differences to list; all are counted
    #[arg(
        long,
        value_name = "N",
        default_value_t = LISTED,
        env = "CHANGETAPE_LIMIT",
        help_heading = "Against a database"
    )]
    limit: usize,
    #[command(flatten)]
    namespaces: FilterArgs,
    /// Compare with what the tape says from here on: a time (2026-03-01T12:00:00Z), a cluster time
    /// (1772366400:1) or a sequence number (#42)
    #[arg(long, value_name = "PLACE", env = "CHANGETAPE_START", help_heading = "Selection")]
    start: Option<Position>,
    /// Compare with what it says before the first event at or after this place
    #[arg(long, value_name = "PLACE", env = "CHANGETAPE_END", help_heading = "Selection")]
    end: Option<Position>,
    /// Compare also where events are known to be missing, as if there were none, instead of not
    /// beginning
    #[arg(long, env = "CHANGETAPE_CROSS_GAPS", value_parser = parse::switch, help_heading = "Selection")]
    cross_gaps: bool,
}

/// The first flag on the command line that says how to compare a database, where none is given.
/// A variable may have been set for other commands, which is no mistake; so clap's `requires`,
/// which makes no difference between them, does not do.
pub(super) fn without_database<'a>(verify: &'a Command, given: &ArgMatches) -> Option<&'a str> {
    if ["against", "uri_file"].iter().any(|name| given.value_source(name).is_some()) {
        return None;
    }
    let idle = |arg: &&Arg| {
        arg.get_help_heading().is_some_and(|heading| AGAINST.contains(&heading))
            && given.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
    };
    verify.get_arguments().find(idle).and_then(Arg::get_long)
}

impl VerifyArgs {
    /// The database to compare with, if there is one.
    pub(crate) fn against(&self) -> anyhow::Result<Option<String>> {
        let (given, file) = (self.against.as_deref(), self.uri_file.as_deref());
        if given.is_none() && file.is_none() {
            return Ok(None);
        }
        if self.repair {
            return Err(Usage::new("give --repair or --against, not both").into());
        }
        uri::choose(given, file, "CHANGETAPE_AGAINST").map(Some)
    }

    pub(crate) fn options(&self) -> anyhow::Result<VerifyOptions> {
        let map = NamespaceMap::parse(&self.map_ns);
        let mut namespaces = self.namespaces.filter();
        leave_out_kept(&mut namespaces);
        let gaps = if self.cross_gaps { AtGap::Cross } else { AtGap::Refuse };
        Ok(VerifyOptions {
            start: self.start,
            end: self.end,
            namespaces,
            map: map.map_err(|error| Usage::new(error.to_string()))?,
            missing: Missing { gaps, damage: AtDamage::Stop },
            limit: self.limit,
            memory: MEMORY,
        })
    }
}
