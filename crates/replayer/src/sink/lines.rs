//! Sinks that print: one public event a line, as canonical Extended JSON.
//!
//! The *public* event is what `watch()` would have delivered, derived from what was recorded
//! ([`changetape_core::public_event`]). Events that are due together are written together and
//! flushed, so a reader at the other end of a pipe sees each when it is due.
//!
//! A reader that goes away (`| head`) ends the replay; that is no error.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use changetape_core::{PublicOptions, public_event};
use changetape_tape::Metadata;

use super::json::append_canonical;
use super::{Sink, Taken};
use crate::page::Outgoing;
use crate::summary::Tally;
use crate::{Error, Stop};

/// Which events are printed, and with which of their fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shown {
    /// What a plain `watch()` delivers.
    #[default]
    Plain,
    /// What a `watch()` with `showExpandedEvents` delivers: also `create`, `createIndexes`, …
    Expanded,
}

/// Whether a file that is there already may be replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// It is left alone, and the replay refused.
    #[default]
    Never,
    /// It is emptied first.
    Always,
}

/// Creates a file to write.
///
/// # Errors
/// [`Error::FileExists`], or [`Error::Write`] if it cannot be created.
pub(crate) fn create_file(path: &Path, overwrite: Overwrite) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    match overwrite {
        Overwrite::Never => options.write(true).create_new(true),
        Overwrite::Always => options.write(true).create(true).truncate(true),
    };
    options.open(path).map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => Error::FileExists { path: path.to_owned() },
        _ => Error::Write { to: path.display().to_string(), source },
    })
}

/// Prints events, one a line.
#[derive(Debug)]
pub struct LinesSink<W> {
    out: W,
    /// For messages.
    to: String,
    shown: Shown,
    options: PublicOptions,
    buffer: Vec<u8>,
}

impl LinesSink<io::Stdout> {
    /// Prints to standard output.
    #[must_use]
    pub fn stdout(shown: Shown) -> Self {
        Self::new(io::stdout(), "standard output", shown)
    }
}

impl LinesSink<File> {
    /// Prints to a file, which is created.
    ///
    /// # Errors
    /// [`Error::FileExists`], or [`Error::Write`] if it cannot be created.
    pub fn create(path: &Path, overwrite: Overwrite, shown: Shown) -> Result<Self, Error> {
        let file = create_file(path, overwrite)?;
        Ok(Self::new(file, path.display().to_string(), shown))
    }
}

impl<W: Write> LinesSink<W> {
    /// Prints to anything; `to` is what messages call it.
    pub fn new(out: W, to: impl Into<String>, shown: Shown) -> Self {
        let (to, options) = (to.into(), PublicOptions::plain());
        Self { out, to, shown, options, buffer: Vec::new() }
    }
}

impl<W: Write + Send> Sink for LinesSink<W> {
    fn begin(&mut self, tape: &Metadata) -> Result<(), Error> {
        self.options = match self.shown {
            Shown::Plain => PublicOptions::plain(),
            Shown::Expanded => PublicOptions::expanded(&tape.source.server_version),
        };
        Ok(())
    }

    fn deliver(
        &mut self,
        due: &[Outgoing<'_>],
        tally: &mut Tally,
        _stop: &Stop,
    ) -> Result<Taken, Error> {
        self.buffer.clear();
        for outgoing in due {
            let bad = Error::event(outgoing.seq);
            match public_event(&outgoing.event, self.options).map_err(&bad)? {
                Some(event) => {
                    append_canonical(&mut self.buffer, event.as_bytes()).map_err(&bad)?;
                    self.buffer.push(b'\n');
                }
                None => tally.hide(),
            }
        }
        match self.out.write_all(&self.buffer).and_then(|()| self.out.flush()) {
            Ok(()) => Ok(Taken::Events(due.len())),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Taken::Closed),
            Err(source) => Err(Error::Write { to: self.to.clone(), source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;
    use changetape_core::{ChangeEvent, Seq};

    use super::*;
    use crate::Transaction;

    fn events() -> Vec<Outgoing<'static>> {
        let event = |operation: &str| {
            ChangeEvent::from(
                rawdoc! {"operationType": operation, "n": 1, "ns": {"db": "a", "coll": "b"}},
            )
        };
        (0..)
            .zip(["insert", "create", "delete"])
            .map(|(n, operation)| Outgoing {
                seq: Seq::new(n),
                event: event(operation),
                transaction: Transaction::None,
                due: crate::clock::Instant::default(),
            })
            .collect()
    }

    #[test]
    fn each_public_event_is_one_line() {
        let mut sink = LinesSink::new(Vec::new(), "test", Shown::Plain);
        let mut tally = Tally::default();
        let taken = sink.deliver(&events(), &mut tally, &Stop::default()).unwrap();
        assert_eq!(taken, Taken::Events(3));
        assert_eq!(tally.hidden, 1, "a plain watch() shows no create");
        let text = String::from_utf8(sink.out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(
            lines[0],
            r#"{"operationType":"insert","n":{"$numberInt":"1"},"ns":{"db":"a","coll":"b"}}"#
        );
        assert!(text.ends_with('\n'));
    }

    #[test]
    fn a_file_is_not_overwritten_unless_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.ndjson");
        std::fs::write(&path, "precious").unwrap();
        let error = LinesSink::create(&path, Overwrite::Never, Shown::Plain).unwrap_err();
        assert!(matches!(error, Error::FileExists { .. }), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        LinesSink::create(&path, Overwrite::Always, Shown::Plain).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
        let nowhere = directory.path().join("no/such/directory");
        assert!(matches!(
            LinesSink::create(&nowhere, Overwrite::Never, Shown::Plain),
            Err(Error::Write { .. })
        ));
    }

    /// A reader that goes away, or a disk that is full.
    struct Broken(ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_goes_away_ends_the_replay_and_a_full_disk_fails_it() {
        let deliver = |kind| {
            let mut sink = LinesSink::new(Broken(kind), "test", Shown::Plain);
            sink.deliver(&events(), &mut Tally::default(), &Stop::default())
        };
        assert_eq!(deliver(ErrorKind::BrokenPipe).unwrap(), Taken::Closed);
        assert!(matches!(deliver(ErrorKind::StorageFull), Err(Error::Write { .. })));
    }
}
