//! `replay --verify`: whether the target is what the tape says, behind the last event.

use std::path::{Path, PathBuf};

use changetape_core::Position;
use changetape_replayer::verify::{Comparison, VerifyOptions};
use changetape_replayer::{Ended, Summary};
use changetape_tape::TapeReader;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::args::OutputArgs;
use crate::verify::against;

/// What came of it.
pub(super) enum Verification {
    /// Nobody asked for it.
    NotAsked,
    /// The replay did not come to its end.
    Unfinished,
    /// Somebody did not want to wait.
    Interrupted,
    /// The target or the tape could not be read.
    Failed(anyhow::Error),
    /// The target was compared with this tape.
    Done(PathBuf, Box<Comparison>),
}

impl Verification {
    /// Compares a target with what of the tape was played into it.
    pub(super) async fn of(
        tape: &Path,
        uri: &str,
        options: VerifyOptions,
        summary: &Summary,
        output: &OutputArgs,
        signalled: &CancellationToken,
    ) -> Self {
        if summary.ended != Ended::AtTheEnd {
            return Self::Unfinished;
        }
        // A tape that is being recorded may have grown since.
        let options = VerifyOptions { end: Some(Position::Seq(summary.range.end)), ..options };
        let compared = async {
            let reader = TapeReader::open(tape)?;
            against::compare(reader, uri, options, output, signalled).await
        };
        match compared.await {
            Ok(Some(compared)) => Self::Done(tape.to_owned(), Box::new(compared)),
            Ok(None) => Self::Interrupted,
            Err(error) => Self::Failed(error),
        }
    }

    /// Why nothing is known, though somebody asked.
    fn not_compared(&self) -> Option<&'static str> {
        match self {
            Self::NotAsked | Self::Done(..) => None,
            Self::Unfinished => Some("the replay did not come to its end"),
            Self::Interrupted => Some("interrupted before everything was compared"),
            Self::Failed(_) => Some("the comparison failed"),
        }
    }

    /// For people.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Done(tape, compared) => {
                Some(against::text(tape, compared, "verify --against … --limit"))
            }
            _ => self.not_compared().map(|why| format!("not compared with the tape: {why}")),
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Done(tape, compared) => against::json(tape, compared),
            _ => self
                .not_compared()
                .map_or(Value::Null, |why| json!({"same": null, "notCompared": why})),
        }
    }
}
