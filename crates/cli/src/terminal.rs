//! The terminal's mode: while keys are taken each comes at once and unseen; otherwise, and at every way
//! out, the mode is what it was.
//!
//! | when | mode |
//! | --- | --- |
//! | [`take_keys`], until [`Taken`] is dropped | keys come at once |
//! | [`aside`], while somebody is asked | as it was: what is answered is a line, and seen |
//! | suspended (Ctrl-Z), and in the background | as it was, or the shell's own |
//! | going on (`fg`) | keys come at once |
//! | the end, an error, a panic, [`give_back`] before the process exits at once | as it was |
//! | SIGHUP and SIGQUIT, which end the process | as it was |
//!
//! Ctrl-C, Ctrl-Z and Ctrl-\ stay signals. A process in the background neither reads from the terminal
//! nor sets its mode, either of which would suspend it.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, getpgrp, getpid, kill_process};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr,
};
use tokio::signal::unix::{SignalKind, signal};

/// How soon it is noticed that keys are no longer taken, or are again.
const SLICE: Duration = Duration::from_millis(100);

/// How long a suspended process is taken to need until it stands still. One that nobody could bring
/// back is not suspended, and goes on.
const SUSPENDING: Duration = Duration::from_millis(200);

/// Keys that are read at once, at most.
const KEYS: usize = 64;

static STATE: Mutex<State> =
    Mutex::new(State { taken: false, aside: false, suspended: false, found: None });

struct State {
    /// Whether somebody takes keys.
    taken: bool,
    /// Whether somebody is asked just now.
    aside: bool,
    /// Whether the process is about to stand still, or does.
    suspended: bool,
    /// The mode as it was, while it is not that.
    found: Option<Termios>,
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keys being taken, until this is dropped.
#[derive(Debug)]
pub(crate) struct Taken(());

/// Lets keys come at once, on standard input. From within a tokio runtime.
///
/// # Errors
/// What the operating system says, if signals cannot be received.
pub(crate) fn take_keys() -> io::Result<Taken> {
    tokio::spawn(follow(Signals::new()?));
    let mut state = state();
    state.taken = true;
    state.enter();
    Ok(Taken(()))
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

/// The keys that came, perhaps none, after some time at most. `None` once they are no longer taken.
pub(crate) fn keys() -> Option<Vec<u8>> {
    let slice = Timespec::try_from(SLICE).ok()?;
    let stdin = io::stdin();
    let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
    let readable = {
        let mut state = state();
        if !state.taken {
            return None;
        }
        state.enter();
        state.found.is_some() && is_foreground()
    };
    if !readable {
        std::thread::sleep(SLICE);
        return Some(Vec::new());
    }
    let is_ready = matches!(poll(&mut ready, Some(&slice)), Ok(1..));
    let [ready] = ready;
    if ready.revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
        return None;
    }
    let mut bytes = vec![0; KEYS];
    let state = state();
    // It may have become somebody else's to read meanwhile. Where it has not, nothing is waited for.
    let is_ours = is_ready && state.found.is_some() && is_foreground();
    let read =
        if is_ours { rustix::io::read(&stdin, bytes.as_mut_slice()).unwrap_or(0) } else { 0 };
    bytes.truncate(read);
    Some(bytes)
}

/// Asks somebody at the terminal, in the mode that it had. Keys from before that are forgotten: they
/// are no answer.
pub(crate) fn aside<T>(ask: impl FnOnce() -> T) -> T {
    /// Also where asking panics.
    struct Aside;
    impl Drop for Aside {
        fn drop(&mut self) {
            let mut state = state();
            state.aside = false;
            state.enter();
        }
    }
    {
        let mut state = state();
        state.aside = true;
        state.leave(OptionalActions::Flush);
    }
    let _aside = Aside;
    ask()
}

/// Takes no more keys; the mode is what it was.
pub(crate) fn give_back() {
    let mut state = state();
    state.taken = false;
    state.leave(OptionalActions::Now);
}

impl State {
    /// Lets keys come at once, if they are to.
    fn enter(&mut self) {
        let is_usual = self.aside || self.suspended || !is_foreground();
        if !self.taken || is_usual || self.found.is_some() {
            return;
        }
        // A terminal that is gone gives no keys.
        self.found = tcgetattr(io::stdin()).ok().filter(|found| set_keys(found).is_ok());
    }

    /// Sets the mode that was found.
    fn leave(&mut self, when: OptionalActions) {
        if let Some(found) = self.found.take()
            && is_foreground()
        {
            // If it cannot be set, the terminal is gone.
            let _ = tcsetattr(io::stdin(), when, &found);
        }
    }

    /// Sets it because the process is about to stand still: whoever looks for keys leaves it at that.
    fn suspend(&mut self) {
        self.suspended = true;
        self.leave(OptionalActions::Now);
    }

    /// What the shell has set meanwhile does not count.
    fn go_on(&mut self) {
        self.suspended = false;
        match &self.found {
            Some(found) if is_foreground() => drop(set_keys(found)),
            _ => self.enter(),
        }
    }
}

/// Keys at once and unseen; reading never waits.
fn set_keys(found: &Termios) -> io::Result<()> {
    let mut keys = found.clone();
    keys.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    keys.special_codes[SpecialCodeIndex::VMIN] = 0;
    keys.special_codes[SpecialCodeIndex::VTIME] = 0;
    Ok(tcsetattr(io::stdin(), OptionalActions::Now, &keys)?)
}

/// Whether the terminal is this process's to use. One that is not the session's own has no foreground.
fn is_foreground() -> bool {
    tcgetpgrp(io::stdin()).map_or(true, |foreground| foreground == getpgrp())
}

/// What is to be known of for the sake of the mode.
struct Signals {
    suspend: tokio::signal::unix::Signal,
    go_on: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
    quit: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let of = |which: Signal| signal(SignalKind::from_raw(which.as_raw()));
        Ok(Self {
            suspend: of(Signal::TSTP)?,
            go_on: of(Signal::CONT)?,
            hang_up: of(Signal::HUP)?,
            quit: of(Signal::QUIT)?,
        })
    }
}

/// Does what the signals would do, with the mode in mind. Goes on when keys are no longer taken, as
/// the signals come here for as long as the process lives.
async fn follow(mut signals: Signals) {
    loop {
        tokio::select! {
            _ = signals.suspend.recv() => {
                state().suspend();
                // Unlike SIGSTOP it does nothing where no shell is there to bring the process back.
                if let Err(error) = kill_process(getpid(), Signal::TTOU) {
                    tracing::debug!("cannot be suspended: {error}");
                }
                let _ = tokio::time::timeout(SUSPENDING, signals.go_on.recv()).await;
                state().go_on();
            }
            _ = signals.go_on.recv() => state().go_on(),
            _ = signals.hang_up.recv() => end_by(Signal::HUP),
            _ = signals.quit.recv() => end_by(Signal::QUIT),
        }
    }
}

/// Ends with the code that a shell gives to a process that this signal has ended.
fn end_by(signal: Signal) -> ! {
    give_back();
    std::process::exit(128 + signal.as_raw())
}
