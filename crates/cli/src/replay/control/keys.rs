//! Keys: what is asked by the bytes that a terminal sends.
//!
//! Pure. A key that is none of ours, and whatever else a terminal sends by itself, does nothing. The
//! bytes of one key may come one by one.

use std::time::Duration;

use changetape_replayer::{Command, SeekTo};

/// How far an arrow goes, in recorded time.
const SEEK: Duration = Duration::from_secs(10);

/// How much faster `+` is, and `-` slower.
const FASTER: f64 = 2.0;

/// What the keys are, for people.
pub(super) const HELP: &str = "\
space  pause, or go on
.      let one event leave, and stand still
+ -    twice as fast, half as fast
→ ←    10 s of recorded time forward, back
q      end, as after Ctrl-C
?      this";

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Key {
    Ask(Command),
    Help,
    Quit,
}

/// Reads bytes.
#[derive(Debug, Default)]
pub(super) struct Keys(Within);

/// Where in a key the next byte stands.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Within {
    #[default]
    Nothing,
    /// `ESC` was there.
    Escape,
    /// `ESC [`, or `ESC O`, and perhaps more that says how the key was pressed.
    Sequence,
}

impl Keys {
    /// What the next byte asks for.
    pub(super) fn read(&mut self, byte: u8) -> Option<Key> {
        let within = std::mem::take(&mut self.0);
        match (within, byte) {
            (_, b'\x1b') => self.0 = Within::Escape,
            // Parameters may follow; the letter behind them is the key.
            (Within::Escape, b'[' | b'O') | (Within::Sequence, b' '..=b'?') => {
                self.0 = Within::Sequence;
            }
            (Within::Sequence, b'C') => return ask(Command::Seek(SeekTo::Forward(SEEK))),
            (Within::Sequence, b'D') => return ask(Command::Seek(SeekTo::Back(SEEK))),
            (Within::Sequence, _) => {}
            // Escape by itself is no key of ours, and what comes behind it is one by itself.
            (Within::Nothing | Within::Escape, byte) => return plain(byte),
        }
        None
    }
}

#[allow(clippy::unnecessary_wraps)] // It reads as what it is where it is used.
fn ask(command: Command) -> Option<Key> {
    Some(Key::Ask(command))
}

fn plain(byte: u8) -> Option<Key> {
    match byte {
        b' ' => ask(Command::Toggle),
        b'.' => ask(Command::Step(1)),
        // The same key without shift, on many keyboards.
        b'+' | b'=' => ask(Command::Faster(FASTER)),
        b'-' | b'_' => ask(Command::Faster(FASTER.recip())),
        b'q' | b'Q' => Some(Key::Quit),
        b'?' => Some(Key::Help),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys in what a terminal sends, in one or in several reads.
    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut keys = Keys::default();
        bytes.iter().filter_map(|&byte| keys.read(byte)).collect()
    }

    const FORWARD: Key = Key::Ask(Command::Seek(SeekTo::Forward(SEEK)));
    const BACK: Key = Key::Ask(Command::Seek(SeekTo::Back(SEEK)));

    #[test]
    fn each_key_asks_for_one_thing() {
        for (bytes, key) in [
            (" ", Key::Ask(Command::Toggle)),
            (".", Key::Ask(Command::Step(1))),
            ("+", Key::Ask(Command::Faster(2.0))),
            ("=", Key::Ask(Command::Faster(2.0))),
            ("-", Key::Ask(Command::Faster(0.5))),
            ("\x1b[C", FORWARD),
            ("\x1bOC", FORWARD),
            ("\x1b[1;5C", FORWARD),
            ("\x1b[D", BACK),
            ("\x1bOD", BACK),
            ("q", Key::Quit),
            ("?", Key::Help),
        ] {
            assert_eq!(keys(bytes.as_bytes()), [key], "{bytes:?}");
        }
    }

    #[test]
    fn other_keys_and_what_a_terminal_sends_by_itself_do_nothing() {
        // Letters, Enter, Tab, arrows up and down, Delete, F1, F5, focus, a mouse, a paste's frame,
        // accents, Escape.
        for bytes in [
            "abz019\r\n\t",
            "\x1b[A\x1b[B",
            "\x1b[3~",
            "\x1bOP",
            "\x1b[15~",
            "\x1b[I",
            "\x1b[<0;3;4M",
            "\x1b[200~\x1b[201~",
            "é→",
            "\x1b",
            "\x1b[",
            "\x1b[?",
        ] {
            assert_eq!(keys(bytes.as_bytes()), [], "{bytes:?}");
        }
    }

    #[test]
    fn one_key_leaves_nothing_behind_for_the_next() {
        assert_eq!(keys(b"\x1bq"), [Key::Quit]);
        assert_eq!(keys(b"\x1b\x1b[C"), [FORWARD]);
        assert_eq!(keys(b"\x1b[\x1b[D"), [BACK]);
        assert_eq!(keys(b"\x1b[A?"), [Key::Help]);
        assert_eq!(keys(b"\x1b[C\x1b[D  "), [FORWARD, BACK, keys(b" ")[0], keys(b" ")[0]]);
        // The letters of a sequence are no keys.
        assert_eq!(keys(b"CD"), []);
    }
}
