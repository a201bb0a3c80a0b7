//! The keyboard: whoever sits at the terminal asks by [keys](super::keys).

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use super::keys::{HELP, Key, Keys};
use super::{Asked, Came, Controls};
use crate::progress;
use crate::terminal::{self, Taken};

/// Keys that wait until they are done, at most; more do nothing. A sink that stands still keeps them
/// waiting, and a key may be held down.
const PENDING: usize = 32;

/// Whether there is somebody at a terminal to take keys from, who sees what comes of them.
pub(in crate::replay) fn is_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Takes keys from now on, until what is returned is dropped. Where the terminal does not give them,
/// there are none, and everything else works nevertheless.
pub(in crate::replay) fn watched(controls: Controls) -> Option<Taken> {
    let taken = terminal::take_keys().inspect_err(|error| {
        tracing::debug!("no keys are taken: {error}");
    });
    let taken = taken.ok()?;
    let thread = std::thread::Builder::new().name("keyboard".to_owned());
    thread.spawn(move || listen(&controls)).ok()?;
    tracing::info!("space pauses, ? shows the other keys");
    Some(taken)
}

fn listen(controls: &Controls) {
    let mut keys = Keys::default();
    let mut pending: Vec<Asked> = Vec::new();
    // Looked at again and again meanwhile, so that nobody waits for a key to be told of the one before.
    while let Some(bytes) = terminal::keys() {
        for key in bytes.into_iter().filter_map(|byte| keys.read(byte)) {
            match key {
                Key::Ask(command) if pending.len() < PENDING => {
                    pending.push(controls.ask(command));
                }
                Key::Ask(_) => {}
                Key::Help => {
                    // If stderr is closed, nobody wants to know.
                    progress::aside(|| drop(writeln!(io::stderr(), "{HELP}")));
                }
                Key::Quit => controls.stop(),
            }
        }
        pending.retain(|asked| match asked.wait(Duration::ZERO) {
            Came::NotDone(why) => {
                tracing::warn!("{why}");
                false
            }
            // That it is too late is seen without being told.
            Came::Done | Came::TooLate => false,
            Came::NotYet => true,
        });
    }
}
