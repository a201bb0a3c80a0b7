//! What is asked of a replay while it runs, and by whom.
//!
//! ```text
//! terminal ──► keys ─────┐
//!                        ├──► Controls ──► Control, a request to stop ──► replay
//! HTTP ──► guard ──► request
//! ```
//! Keys and requests are only other words for what [`Control`] takes; what comes of it is decided by
//! the replay, and there alone.

mod answers;
mod guard;
pub(super) mod keyboard;
mod keys;
mod request;

use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use changetape_replayer::{Answer, Command, Control, NotDone};
use tokio_util::sync::CancellationToken;

pub(super) use answers::listen;

use super::watch::Watch;

/// Asks a replay. Clones ask the same one.
#[derive(Clone)]
pub(super) struct Controls {
    ask: Arc<dyn Fn(Command) -> Answer + Send + Sync>,
    stop: CancellationToken,
    watch: Arc<Watch>,
}

/// What was asked and may not be done yet.
struct Asked {
    answer: Answer,
    /// Whether it goes on somewhere else then.
    jumps: bool,
    watch: Arc<Watch>,
}

/// What came of what was asked.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Done,
    NotDone(NotDone),
    /// It will be done.
    NotYet,
    /// The replay has ended first.
    TooLate,
}

impl Controls {
    /// Asks a replay by `control`, and by `stop` to end as after Ctrl-C.
    pub(super) fn new(control: Control, stop: CancellationToken, watch: Arc<Watch>) -> Self {
        Self { ask: Arc::new(move |command| control.ask(command)), stop, watch }
    }

    fn ask(&self, command: Command) -> Asked {
        let jumps = matches!(command, Command::Seek(_));
        Asked { answer: (self.ask)(command), jumps, watch: Arc::clone(&self.watch) }
    }

    fn stop(&self) {
        self.stop.cancel();
    }
}

impl Asked {
    /// What came of it within so much time.
    fn wait(&self, patience: Duration) -> Came {
        match self.answer.recv_timeout(patience) {
            Ok(Ok(())) => {
                if self.jumps {
                    self.watch.jumped();
                }
                Came::Done
            }
            Ok(Err(why)) => Came::NotDone(why),
            Err(RecvTimeoutError::Timeout) => Came::NotYet,
            Err(RecvTimeoutError::Disconnected) => Came::TooLate,
        }
    }
}

/// Controls of a replay that is none, with what comes of each command; no answer comes where that is
/// `None`.
#[cfg(test)]
fn pretended(
    done: impl Fn(Command) -> Option<Result<(), NotDone>> + Send + Sync + 'static,
) -> Controls {
    // Whoever is to answer and never does.
    let silent = std::sync::Mutex::new(Vec::new());
    let ask = move |command| {
        let (answer, answered) = std::sync::mpsc::channel();
        match done(command) {
            Some(done) => answer.send(done).unwrap(),
            None => silent.lock().unwrap().push(answer),
        }
        answered
    };
    let watch = Arc::new(Watch::new(Arc::default()));
    Controls { ask: Arc::new(ask), stop: CancellationToken::new(), watch }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_done_refused_pending_or_too_late() {
        let refusal = NotDone("not now".to_owned());
        let refused = refusal.clone();
        let controls = pretended(move |command| match command {
            Command::Pause => Some(Ok(())),
            Command::Resume => Some(Err(refused.clone())),
            _ => None,
        });
        let came = |command| controls.ask(command).wait(Duration::ZERO);
        assert_eq!(came(Command::Pause), Came::Done);
        assert_eq!(came(Command::Resume), Came::NotDone(refusal));
        assert_eq!(came(Command::Toggle), Came::NotYet);
        let asked = controls.ask(Command::Toggle);
        drop(controls);
        assert_eq!(asked.wait(Duration::ZERO), Came::TooLate);
    }
}
