//! `cargo xtask`: what contributors run.
//!
//! - `cargo xtask demo`: the whole path on throw-away servers.
//! - `cargo xtask test`: everything that a change must pass.
//! - `cargo xtask tidy`: the rules of the house that no compiler checks.
//! - `cargo xtask power-loss`: what a recording leaves when the power goes, at many moments.
//! - `cargo xtask fuzz`: what reads a tape, given anything.

mod demo;
mod fuzz;
mod power_loss;
mod test;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;

const USAGE: &str = "\
usage: cargo xtask <command>

commands:
  demo         the whole path on throw-away servers: record, replay, compare byte for byte
  test         everything a change must pass: formatting, clippy, tidy, documentation, all tests
  tidy         what no compiler checks: who imports whom, module documentation, file sizes
  power-loss   what a recording leaves when the power goes, at many moments, opened and compared
               [--moments N] [--seed N] [--only RECORDING] [--again]
  fuzz         anything given to what reads a tape, a minute for each reader [TARGET…]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done: Result<()> = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice()
    {
        ["demo"] => demo::run(),
        ["test"] => test::run(),
        ["tidy"] => tidy::run(),
        ["power-loss", arguments @ ..] => power_loss::run(arguments),
        ["fuzz", targets @ ..] => fuzz::run(targets),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
