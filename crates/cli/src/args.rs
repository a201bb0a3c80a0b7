//! The arguments. Every flag can also be set by an environment variable `CHANGETAPE_…`.

// Doc comments here are the help that people read on a terminal.
#![allow(clippy::doc_markdown)]

mod calibrate;
mod keeping;
pub(crate) mod parse;
mod record;
mod replay;
mod selection;
mod tape;
mod uri;
mod verify;

pub(crate) use calibrate::CalibrateArgs;
use keeping::KeepingArgs;
pub(crate) use record::RecordArgs;
pub(crate) use replay::{CatArgs, ControlArgs, LatenessFile, OnErrorArg, ReplayArgs};
use selection::{FilterArgs, NamespaceArgs};
pub(crate) use tape::TapeArg;
pub(crate) use verify::VerifyArgs;

use clap::error::ErrorKind;
use clap::{
    Args, ColorChoice, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum,
};

/// Record MongoDB change streams and play them again.
#[derive(Debug, Parser)]
#[command(
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "\
Record a deployment until Ctrl-C, look at the tape, play it into a test database ten times faster:
  changetape record mongodb://db1,db2/?replicaSet=rs0 orders.tape
  changetape info orders.tape
  changetape replay orders.tape mongodb://localhost:27018 --speed 10x

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 finished but something was lost or differs,
130 interrupted. Every flag can be set by an environment variable, as each command's --help shows."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Reads the command line.
    ///
    /// # Errors
    /// What clap has to say: help, or a mistake.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let given = command.try_get_matches_from_mut(std::env::args_os())?;
        if let (Some(verify), Some(given)) =
            (command.find_subcommand("verify"), given.subcommand_matches("verify"))
            && let Some(flag) = verify::without_database(verify, given)
        {
            let sentence = format!(
                "--{flag} says how to compare a database with the tape: give one with --against, \
                 or leave it out\n"
            );
            return Err(clap::Error::raw(ErrorKind::MissingRequiredArgument, sentence));
        }
        Self::from_arg_matches(&given).map_err(|error| error.format(&mut command))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Record(Box<RecordArgs>),
    Replay(Box<ReplayArgs>),
    Cat(Box<CatArgs>),
    Info(InfoArgs),
    Verify(Box<VerifyArgs>),
    Calibrate(CalibrateArgs),
}

/// How results, progress and messages are shown.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Print the result for people or for programs; progress and messages go to stderr
    #[arg(long, global = true, value_enum, default_value_t, env = "CHANGETAPE_FORMAT")]
    pub(crate) format: Format,
    /// Show no progress, and only warnings and errors
    #[arg(long, short, global = true, env = "CHANGETAPE_QUIET", value_parser = parse::switch)]
    pub(crate) quiet: bool,
    /// Say more; RUST_LOG chooses in detail
    #[arg(long, short, global = true, conflicts_with = "quiet", env = "CHANGETAPE_VERBOSE", value_parser = parse::switch)]
    pub(crate) verbose: bool,
    /// Use colours
    #[arg(long, global = true, value_name = "WHEN", default_value_t, env = "CHANGETAPE_COLOR")]
    pub(crate) color: ColorChoice,
}

/// How a result is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// One JSON object
    Json,
}

/// Show what is on a tape: events, time span, namespaces, operations, size
#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    pub(crate) tape: TapeArg,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_an_environment_variable() {
        for command in Cli::command().get_subcommands() {
            for arg in command.get_arguments().filter(|arg| arg.get_long().is_some()) {
                let name = arg.get_long().unwrap();
                let mut expected = format!("CHANGETAPE_{}", name.replace('-', "_").to_uppercase());
                if name == "uri-file" {
                    // One variable for both would turn the source into a target.
                    let end = match command.get_name() {
                        "record" => "SOURCE",
                        "verify" => "AGAINST",
                        _ => "SINK",
                    };
                    expected = format!("CHANGETAPE_{end}_URI_FILE");
                }
                let env = arg.get_env().map(|env| env.to_string_lossy().into_owned());
                assert_eq!(env, Some(expected), "--{name} of {}", command.get_name());
            }
        }
    }
}
