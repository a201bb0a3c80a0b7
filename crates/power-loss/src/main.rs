//! `cargo xtask power-loss`: a tape as a power loss would leave it, at many moments.
//!
//! ```text
//! a recorder, under strace ──► calls ──► file system ──► images ──► opened, compared with
//! another, undisturbed ──► every event there is ────────────────────────────────┘
//! ```
//! The recorder's system calls are replayed onto a model of a file system that knows what is
//! durable: the data of a file as of its last fsync, the names in a directory as of its own.
//! At moments drawn at random the power is lost: an image is made of what was durable then, and
//! others in which some of the rest has survived too, by pages, by torn pages, by names in any
//! order. Each is opened. Every event that was acknowledged before that moment must be there,
//! with its bytes, in its place, and nothing else may be wrong.
//!
//! An event is acknowledged when its recorder writes the tape's watermark (`durable`), a tape is
//! made when it does so for the first time, or says that its base is whole.
//!
//! Traces and tapes stay in `target/power-loss/`; `--again` loses the power over them once more.

mod check;
mod file_system;
mod image;
mod machine;
mod options;
mod recording;
mod source;
mod survey;
mod trace;
mod traced;
mod writer;

use std::process::ExitCode;

use anyhow::Result;
use changetape_testkit::target_directory;

use crate::options::Options;
use crate::recording::Recording;
use crate::survey::Survey;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Records and loses power; whether every image was as it should be.
async fn run() -> Result<bool> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((writer::COMMAND, arguments)) =
        arguments.split_first().map(|(first, rest)| (first.as_str(), rest))
    {
        return writer::run(arguments).map(|()| true);
    }
    let options = Options::parse(arguments)?;
    let directory = target_directory().join("power-loss");
    let recordings = Recording::those_of(&directory, options.only.as_deref())?;
    if !options.again {
        for recording in &recordings {
            recording.make().await?;
        }
    }
    println!("power-loss --moments {} --seed {}", options.moments, options.seed);
    let mut sound = true;
    for recording in &recordings {
        let survey = Survey::run(recording, &options)?;
        print!("{survey}");
        sound &= survey.is_sound();
    }
    println!("everything is kept in {}; --again tries other moments of it", directory.display());
    Ok(sound)
}
