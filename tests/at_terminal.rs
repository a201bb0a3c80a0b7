//! A program at a terminal: what somebody there types, sees, and finds of the terminal's mode.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::program::{Ran, ran, signal};
use crate::watched::until;

/// Room for a whole progress line.
const COLUMNS: u16 = 200;

/// A program whose stdin and stderr are a terminal, and stdout is not; killed when the test ends.
pub(crate) struct AtTerminal {
    program: Option<Child>,
    keyboard: File,
    screen: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
}

/// How a terminal hands over what is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// In lines, which are seen.
    Lines,
    /// Key by key, and unseen; Ctrl-C is a signal nevertheless.
    Keys,
}

impl AtTerminal {
    pub(crate) fn start(mut command: Command) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let terminal = openpt(flags).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let size = Winsize { ws_row: 50, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&terminal, size).unwrap();
        let inside = || Stdio::from(ioctl_tiocgptpeer(&terminal, flags).unwrap());
        command.stdin(inside()).stderr(inside()).stdout(Stdio::piped());
        let program = command.spawn().unwrap();
        // The command holds the terminal's inside open, and its end would not be seen.
        drop(command);
        let keyboard = File::from(terminal);
        let screen = Arc::new(Mutex::new(String::new()));
        let reading = std::thread::spawn({
            let (mut shown, screen) = (keyboard.try_clone().unwrap(), Arc::clone(&screen));
            move || {
                let mut bytes = [0; 4096];
                // When nobody has the inside open any more, it ends with an error.
                while let Ok(read @ 1..) = shown.read(&mut bytes) {
                    screen.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..read]));
                }
            }
        });
        Self { program: Some(program), keyboard, screen, reading: Some(reading) }
    }

    /// Everything that was ever on the screen.
    pub(crate) fn screen(&self) -> String {
        self.screen.lock().unwrap().clone()
    }

    /// Waits until the screen is as it should be.
    pub(crate) async fn until_shown(&self, what: &str, holds: impl Fn(&str) -> bool) {
        until(what, async || {
            let screen = self.screen();
            if holds(&screen) { Ok(()) } else { Err(screen) }
        })
        .await;
    }

    pub(crate) fn type_keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    pub(crate) fn mode(&self) -> Mode {
        let modes = tcgetattr(&self.keyboard).unwrap().local_modes;
        let of = modes & (LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        if of == LocalModes::ISIG {
            Mode::Keys
        } else {
            assert_eq!(of, LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
            Mode::Lines
        }
    }

    /// Waits until it has that mode.
    pub(crate) async fn until_mode(&self, mode: Mode) {
        until("in the right mode", async || {
            if self.mode() == mode { Ok(()) } else { Err((self.mode(), self.screen())) }
        })
        .await;
    }

    pub(crate) fn signal(&self, which: &str) {
        signal(self.program.as_ref().unwrap(), which);
    }

    /// Waits for its end: what it has printed, stderr being what was on the screen; and the mode that it
    /// has left behind.
    pub(crate) fn end(mut self) -> (Ran, Mode) {
        let mut ran = ran(self.program.take().unwrap().wait_with_output().unwrap());
        self.reading.take().unwrap().join().unwrap();
        ran.stderr = self.screen();
        (ran, self.mode())
    }
}

impl Drop for AtTerminal {
    fn drop(&mut self) {
        if let Some(program) = &mut self.program {
            // It may have ended by itself, which the test has noticed then.
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}
