//! `LatenessLog`: when each event was due and when it left, as a file.
//!
//! ```text
//! player ──► LatenessRows ──batches──► a thread of its own ──► file
//!                           (bounded)
//! ```
//! CSV with the columns of [`HEADER`]: times in nanoseconds from when the first event was due.
//! The player never waits for a disk, unless that is [`BATCHES`] behind: then lateness shows it. When
//! the file cannot be written, the replay goes on all the same, and [`LatenessLog::finish`] says so.
//!
//! A transaction that is too large for memory leaves as one, and has one row: that of its last event.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use changetape_core::Seq;

use crate::Error;
use crate::clock::Instant;
use crate::file::{self, Overwrite};

/// The columns.
const HEADER: &str = "seq,due_nanos,sent_nanos,lateness_nanos";

/// How many rows go to the file at once: 96 KiB.
const ROWS: usize = 4096;

/// How many batches may wait: a quarter of a million rows, 6 MiB.
const BATCHES: usize = 64;

/// A file of when events were due and when they left.
#[derive(Debug)]
pub struct LatenessLog {
    path: PathBuf,
    writing: JoinHandle<io::Result<()>>,
}

/// Where a player puts the rows of such a file. What it still has is written when it is dropped.
#[derive(Debug)]
pub struct LatenessRows {
    batch: Vec<Row>,
    batches: SyncSender<Vec<Row>>,
}

#[derive(Debug)]
struct Row {
    seq: Seq,
    due: Instant,
    sent: Instant,
}

impl LatenessLog {
    /// Whether such a file can be asked for, before anything is begun.
    ///
    /// # Errors
    /// [`Error::FileExists`] if it is there and is not to be overwritten, [`Error::NoHdrLog`].
    pub fn check(path: &Path, overwrite: Overwrite) -> Result<(), Error> {
        let path = path.to_owned();
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("hlog")) {
            return Err(Error::NoHdrLog { path });
        }
        match overwrite {
            Overwrite::Never if path.exists() => Err(Error::FileExists { path }),
            Overwrite::Never | Overwrite::Always => Ok(()),
        }
    }

    /// Creates the file, and starts the thread that writes it.
    ///
    /// # Errors
    /// Those of [`check`](Self::check), [`Error::Write`], [`Error::Thread`].
    pub fn create(path: &Path, overwrite: Overwrite) -> Result<(Self, LatenessRows), Error> {
        Self::check(path, overwrite)?;
        let file = file::create(path, overwrite)?;
        let (batches, written) = sync_channel(BATCHES);
        let writing = thread::Builder::new()
            .name("changetape-lateness".to_owned())
            .spawn(move || write(BufWriter::new(file), &written))
            .map_err(Error::Thread)?;
        let rows = LatenessRows { batch: Vec::with_capacity(ROWS), batches };
        Ok((Self { path: path.to_owned(), writing }, rows))
    }

    /// Waits until everything is written, which it is some time after the replay has ended.
    ///
    /// # Errors
    /// [`Error::Write`] if the file is not whole.
    pub fn finish(self) -> Result<(), Error> {
        let written = self.writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        written.map_err(|source| Error::Write { to: self.path.display().to_string(), source })
    }
}

impl LatenessRows {
    /// An event that was due left.
    pub(crate) fn push(&mut self, seq: Seq, due: Instant, sent: Instant) {
        self.batch.push(Row { seq, due, sent });
        if self.batch.len() >= ROWS {
            self.hand_over(Vec::with_capacity(ROWS));
        }
    }

    fn hand_over(&mut self, next: Vec<Row>) {
        // Whoever wrote has failed, then, and says so at the end.
        let _ = self.batches.send(std::mem::replace(&mut self.batch, next));
    }
}

impl Drop for LatenessRows {
    fn drop(&mut self) {
        self.hand_over(Vec::new());
    }
}

/// Writes batches until there are no more.
fn write(mut out: impl Write, batches: &Receiver<Vec<Row>>) -> io::Result<()> {
    writeln!(out, "{HEADER}")?;
    let mut first = None;
    for row in batches.iter().flatten() {
        let Row { seq, due, sent } = row;
        let first = *first.get_or_insert(due);
        let (from, to) = (due.nanos_after(first), sent.nanos_after(first));
        writeln!(out, "{},{from},{to},{}", seq.get(), sent.nanos_after(due))?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(1_000_000_000 + nanos)
    }

    #[test]
    fn every_event_has_its_row() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("late.csv");
        let (log, mut rows) = LatenessLog::create(&path, Overwrite::Never).unwrap();
        rows.push(Seq::new(7), at(0), at(30));
        rows.push(Seq::new(9), at(1_000), at(1_500));
        // No event leaves early; if one does, the file says so.
        rows.push(Seq::new(10), at(2_000), at(1_999));
        drop(rows);
        log.finish().unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "seq,due_nanos,sent_nanos,lateness_nanos\n7,0,30,30\n9,1000,1500,500\n10,2000,1999,-1\n"
        );
        // Many batches, of which the last is not full.
        let (log, mut rows) = LatenessLog::create(&path, Overwrite::Always).unwrap();
        let events = 10 * ROWS as u64 + 1;
        (0..events).for_each(|n| rows.push(Seq::new(n), at(n), at(n)));
        drop(rows);
        log.finish().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let last = format!("{0},{0},{0},0", events - 1);
        assert_eq!((text.lines().count() as u64, text.lines().last()), (events + 1, Some(&*last)));
    }

    #[test]
    fn a_file_is_not_overwritten_unless_told_and_not_given_another_format() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("late.csv");
        std::fs::write(&path, "precious").unwrap();
        for result in [
            LatenessLog::check(&path, Overwrite::Never),
            LatenessLog::create(&path, Overwrite::Never).map(drop),
        ] {
            assert!(matches!(result, Err(Error::FileExists { .. })), "{result:?}");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        for name in ["late.hlog", "late.HLOG"] {
            let result = LatenessLog::create(&directory.path().join(name), Overwrite::Always);
            assert!(matches!(result, Err(Error::NoHdrLog { .. })), "{result:?}");
            assert!(!directory.path().join(name).exists());
        }
    }

    /// A disk that is full.
    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_stops_no_player_and_is_told_at_the_end() {
        let (batches, written) = sync_channel(1);
        let writing = thread::spawn(move || write(BufWriter::new(Full), &written));
        let mut rows = LatenessRows { batch: Vec::new(), batches };
        // Far more than may wait.
        (0..20 * ROWS as u64).for_each(|n| rows.push(Seq::new(n), at(n), at(n)));
        drop(rows);
        let log = LatenessLog { path: "late.csv".into(), writing };
        let error = log.finish().unwrap_err();
        assert_eq!(error.to_string(), "late.csv cannot be written");
    }
}
