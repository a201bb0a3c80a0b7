//! `Control`: what is asked of a replay while it runs.
//!
//! ```text
//! keys, HTTP ──► Control ──► player ──► answer
//! ```
//! Whoever asks has a clone. The player looks between events, and at least every
//! 10 ms while it waits for one; it carries out what was asked in the order
//! in which it was, and answers. Where a replay is, [`Progress`](crate::Progress) says.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use changetape_core::Position;

use crate::Speed;

/// The most that may wait until it is done, while a sink stands still: far more than people ask for,
/// and some kilobytes. More is refused.
const PENDING: usize = 1024;

/// Something to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Command {
    /// Stand still: recorded time stops, and nothing leaves. What is late stays as late as it is.
    Pause,
    /// Go on from there.
    Resume,
    /// Pause, or go on if the replay stands still.
    Toggle,
    /// Stand still, and let so many more events leave at once. (All of a transaction leaves with its
    /// first event.)
    Step(u64),
    /// Let recorded time pass at another speed from here on.
    Speed(Speed),
    /// Let it pass so many times faster, or slower.
    Faster(f64),
    /// Go to another place on the tape, and on from there.
    Seek(SeekTo),
}

/// Another place on the tape. One outside of what is played is the nearest inside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SeekTo {
    /// The first event at or after a place.
    Position(Position),
    /// So much recorded time later.
    Forward(Duration),
    /// So much recorded time earlier.
    Back(Duration),
}

/// Why something was not done, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotDone(pub String);

impl fmt::Display for NotDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The answer to a command, once it was carried out. Without one the replay has ended first.
pub type Answer = mpsc::Receiver<Result<(), NotDone>>;

/// Asks a replay, or is asked by it what to do. Clones are of the same replay.
#[derive(Debug, Clone, Default)]
pub struct Control(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Whether there is anything to do: looked at for each event, which a lock is too slow for.
    is_asked: AtomicBool,
    asked: Mutex<VecDeque<Asked>>,
    /// Whether nothing will be done any more.
    is_over: AtomicBool,
}

/// What was asked, and who waits for the answer.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) command: Command,
    answer: mpsc::Sender<Result<(), NotDone>>,
}

impl Control {
    /// Asks, and does not wait.
    #[allow(clippy::must_use_candidate, reason = "who does not care for the answer lets it go")]
    pub fn ask(&self, command: Command) -> Answer {
        let (answer, answered) = mpsc::channel();
        let mut asked = self.lock();
        // Of what is over the answer is that there is none.
        if self.0.is_over.load(Ordering::Acquire) {
            return answered;
        }
        let new = Asked { command, answer };
        if asked.len() < PENDING {
            asked.push_back(new);
            self.0.is_asked.store(true, Ordering::Release);
        } else {
            let sentence = format!("{PENDING} commands are still to be carried out before that");
            new.answer(Err(NotDone(sentence)));
        }
        answered
    }

    /// Nothing that was asked, or is asked from now on, will be done.
    pub(crate) fn close(&self) {
        let mut asked = self.lock();
        self.0.is_over.store(true, Ordering::Release);
        self.0.is_asked.store(false, Ordering::Release);
        asked.clear();
    }

    /// What was asked next, if anything.
    pub(crate) fn take(&self) -> Option<Asked> {
        if !self.is_asked() {
            return None;
        }
        let mut asked = self.lock();
        let next = asked.pop_front();
        self.0.is_asked.store(!asked.is_empty(), Ordering::Release);
        next
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.0.is_asked.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Asked>> {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    /// Tells whoever asked, if they still listen.
    pub(crate) fn answer(self, done: Result<(), NotDone>) {
        let _ = self.answer.send(done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_taken_in_order_and_answered() {
        let control = Control::default();
        assert!(control.take().is_none());
        let [first, second] = [Command::Pause, Command::Step(2)].map(|it| control.clone().ask(it));
        let asked = control.take().unwrap();
        assert_eq!(asked.command, Command::Pause);
        asked.answer(Ok(()));
        assert!(control.is_asked());
        let asked = control.take().unwrap();
        assert_eq!(asked.command, Command::Step(2));
        asked.answer(Err(NotDone("no".into())));
        assert!(!control.is_asked() && control.take().is_none());
        assert_eq!(first.recv(), Ok(Ok(())));
        assert_eq!(second.recv().unwrap().unwrap_err().to_string(), "no");
        let unheard = control.ask(Command::Resume);
        control.close();
        assert!(unheard.recv().is_err(), "the replay is over");
        assert!(control.ask(Command::Pause).recv().is_err() && !control.is_asked());
    }

    #[test]
    fn whoever_goes_on_asking_a_replay_that_does_nothing_is_refused() {
        let control = Control::default();
        let waiting: Vec<_> = (0..PENDING).map(|_| control.ask(Command::Pause)).collect();
        let refused = control.ask(Command::Resume).try_recv().unwrap().unwrap_err().to_string();
        assert!(refused.contains("before that"), "{refused}");
        control.take().unwrap().answer(Ok(()));
        assert_eq!(waiting[0].recv(), Ok(Ok(())));
        let next = control.ask(Command::Resume);
        assert!(next.try_recv().is_err(), "it waits for its turn");
    }
}
