//! `Encoder`: events as the bytes that a consumer gets, in one buffer that is used again.
//!
//! The forms are specified in [`stream`](super). No event is in a write in part because of what is
//! done here: where one cannot be encoded, those before it can be written, and it is met again.

use changetape_core::raw::kind;
use changetape_core::{ChangeEvent, Error as CoreError, PublicOptions, Seq, public_event};
use changetape_tape::Metadata;

use super::wall::WallClock;
use crate::Error;
use crate::clock::Instant;
use crate::page::Outgoing;
use crate::sink::json::{self, Json};

/// How events are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Form {
    /// As what.
    pub encoding: Encoding,
    /// What is written around each.
    pub envelope: Envelope,
    /// Which of them, and with which of their fields; not as BSON.
    pub shown: Shown,
}

/// As what events are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Canonical Extended JSON, one event a line.
    #[default]
    Canonical,
    /// Relaxed Extended JSON, one event a line.
    Relaxed,
    /// BSON documents, one after the other.
    Bson,
}

/// What is written around each event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Envelope {
    /// Nothing.
    #[default]
    None,
    /// Its place on the tape, when it was due and when it was sent.
    Times,
}

/// Which events are shown, and with which of their fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shown {
    /// What a plain `watch()` delivers.
    #[default]
    Plain,
    /// What a `watch()` with `showExpandedEvents` delivers: also `create`, `createIndexes`, …
    Expanded,
}

/// Events as bytes.
#[derive(Debug)]
pub(super) struct Encoder {
    form: Form,
    public: PublicOptions,
    clock: WallClock,
    bytes: Vec<u8>,
    /// Where the bytes of each event end. Those of a hidden one end where they begin.
    ends: Vec<usize>,
}

/// What is done with once so many bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) events: usize,
    /// How many of them a `watch()` does not show.
    pub(super) hidden: u64,
}

/// What an envelope says.
struct Stamp {
    seq: i64,
    due: i64,
    sent: i64,
}

impl Encoder {
    pub(super) fn new(form: Form) -> Self {
        let (clock, public) = (WallClock::take(), PublicOptions::plain());
        Self { form, public, clock, bytes: Vec::new(), ends: Vec::new() }
    }

    /// The tape whose events follow.
    pub(super) fn begin(&mut self, tape: &Metadata) {
        self.public = match self.form.shown {
            Shown::Plain => PublicOptions::plain(),
            Shown::Expanded => PublicOptions::expanded(&tape.source.server_version),
        };
    }

    /// Encodes events from the first on, instead of what was encoded before: all of them, or those
    /// before one that cannot be.
    ///
    /// # Errors
    /// [`Error::Event`] if the first of them cannot be.
    pub(super) fn encode(&mut self, due: &[Outgoing<'_>]) -> Result<(), Error> {
        self.bytes.clear();
        self.ends.clear();
        let sent = self.clock.nanos(Instant::now());
        for outgoing in due {
            let start = self.bytes.len();
            let stamp = (self.form.envelope == Envelope::Times).then(|| Stamp {
                seq: seq(outgoing.seq),
                due: self.clock.nanos(outgoing.due),
                sent,
            });
            if let Err(error) = self.append(&outgoing.event, stamp.as_ref()) {
                self.bytes.truncate(start);
                if self.ends.is_empty() {
                    return Err(Error::event(outgoing.seq)(error));
                }
                break;
            }
            self.ends.push(self.bytes.len());
        }
        Ok(())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where each event ends.
    pub(super) fn ends(&self) -> &[usize] {
        &self.ends
    }

    /// The events that are written as a whole once the first so many bytes are.
    pub(super) fn done(&self, written: usize) -> Done {
        let (mut done, mut start) = (Done { events: 0, hidden: 0 }, 0);
        for &end in self.ends.iter().take_while(|&&end| end <= written) {
            done.events += 1;
            done.hidden += u64::from(end == start);
            start = end;
        }
        done
    }

    fn append(&mut self, event: &ChangeEvent<'_>, stamp: Option<&Stamp>) -> Result<(), CoreError> {
        let form = match self.form.encoding {
            Encoding::Canonical => Json::Canonical,
            Encoding::Relaxed => Json::Relaxed,
            Encoding::Bson => {
                append_bson(&mut self.bytes, event.as_bytes(), stamp);
                return Ok(());
            }
        };
        let Some(event) = public_event(event, self.public)? else { return Ok(()) };
        let out = &mut self.bytes;
        if let Some(stamp) = stamp {
            for (before, value) in [
                (&br#"{"seq":"#[..], stamp.seq),
                (br#","due":"#, stamp.due),
                (br#","sent":"#, stamp.sent),
            ] {
                out.extend_from_slice(before);
                json::append_long(out, form, value);
            }
            out.extend_from_slice(br#","event":"#);
        }
        json::append(out, form, event.as_bytes())?;
        out.extend_from_slice(if stamp.is_some() { b"}\n" } else { b"\n" });
        Ok(())
    }
}

fn append_bson(out: &mut Vec<u8>, event: &[u8], stamp: Option<&Stamp>) {
    let Some(stamp) = stamp else {
        out.extend_from_slice(event);
        return;
    };
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let numbers = [(&b"seq\0"[..], stamp.seq), (b"due\0", stamp.due), (b"sent\0", stamp.sent)];
    for (name, value) in numbers {
        out.push(kind::INT64);
        out.extend_from_slice(name);
        out.extend_from_slice(&value.to_le_bytes());
    }
    out.push(kind::DOCUMENT);
    out.extend_from_slice(b"event\0");
    out.extend_from_slice(event);
    out.push(0);
    // No event comes near to what a length can say (2 GiB).
    let len = i32::try_from(out.len() - start).unwrap_or(i32::MAX);
    if let Some(field) = out.get_mut(start..start + 4) {
        field.copy_from_slice(&len.to_le_bytes());
    }
}

fn seq(seq: Seq) -> i64 {
    i64::try_from(seq.get()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
