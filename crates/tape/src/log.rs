//! `Log`: the live end of a tape, a sled database. The only module that knows sled.
//!
//! ```text
//! trees named after
//! their first Seq    Seq of the first event, big-endian ──► block
//! tree "state"       "checkpoint" ──► checkpoint
//!                    "gap", then its Seq and the number of its append, big-endian ──► gap
//! ```
//! Blocks and the checkpoint that follows them are written in one transaction over all their trees;
//! a gap before them is durable by then. A tree of its own for the checkpoint, which changes with
//! every append, and many for the blocks: so that sled does not write blocks again because their
//! page has changed (see `groups`).
//!
//! A log is made by one process, filled by it up to some size, and never opened again: what is
//! in it is sealed by reading its files (see `salvage`), whether that process rotated it away
//! or was killed. So what a crash leaves in sled's own structures does not matter, and sled's
//! memory, which grows with its database, stays small.
//!
//! What makes an append durable (sled's `flush` alone does not: it ends in
//! `sync_file_range`, and never syncs `blobs/`), in this order:
//!
//! 1. the transaction, which writes large values and pages to files in `blobs/`, and the
//!    rest into sled's buffer;
//! 2. fsync of each file that is new in `blobs/`, then of `blobs/`: what is in them must not
//!    be missing when the rest is there;
//! 3. `flush`, which writes the buffer to `db`;
//! 4. fdatasync of `db`, through a descriptor of our own: any descriptor of a file serves.

mod blobs;
mod groups;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use changetape_core::Seq;
use sled::transaction::{ConflictableTransactionError, TransactionError};
use sled::{IVec, Transactional};

use crate::checkpoint::Kept;
use crate::disk::seam::{Call, before};
use crate::quiet::{Panicked, catch};
use crate::{Checkpoint, Error, Gap, disk, layout};
use blobs::Blobs;
use groups::Groups;

/// The unit in which sled allocates `db`, and a quarter of it the most that it keeps of one
/// page there. With blocks of `TARGET_RAW_LEN` measured best: `docs/decisions/0001-…`.
pub(crate) const SEGMENT_SIZE: usize = 4 << 20;

/// What sled may keep of pages in memory. Whoever follows a recording reads each block once,
/// soon after it was written, so a cache gains nothing.
const CACHE_CAPACITY: u64 = 8 << 20;

/// sled's threads let go of `db` a moment after the database is dropped, when the disk has
/// done what they asked of it.
const RELEASE_PATIENCE: Duration = Duration::from_secs(30);

const STATE: &str = "state";
const CHECKPOINT: &[u8] = b"checkpoint";
const GAP: &[u8] = b"gap";

/// A block's bytes as they are in the log.
pub(crate) type BlockBytes = IVec;

/// What one append adds.
#[derive(Debug)]
pub(crate) struct Appended {
    /// Encoded blocks, each with its first event's place.
    pub(crate) blocks: Vec<(Seq, Vec<u8>)>,
    /// A gap before them.
    pub(crate) gap: Option<Gap>,
    /// Where the recording continues after them.
    pub(crate) checkpoint: Checkpoint,
}

/// The live end of a tape.
#[derive(Debug)]
pub(crate) struct Log {
    dir: PathBuf,
    /// `None` only while it is dropped.
    db: Option<Database>,
    /// Whether a write failed half-way.
    broken: AtomicBool,
}

#[derive(Debug)]
struct Database {
    // Dropped in this order, the database last.
    groups: Mutex<Groups>,
    state: sled::Tree,
    db: sled::Db,
}

impl Database {
    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What syncs a log, and counts its appends and gaps.
#[derive(Debug)]
pub(crate) struct LogEnd {
    blobs: Blobs,
    /// For syncing only.
    db_file: File,
    db_path: PathBuf,
    appends: u64,
    gaps: u32,
}

impl Log {
    /// Makes an empty log in a new directory, whose name is durable when this returns.
    pub(crate) fn create(dir: &Path) -> Result<(Self, LogEnd), Error> {
        disk::create_dir(dir)?;
        let open = || {
            before(Call::Create, dir)?;
            let db = sled::Config::new()
                .path(dir)
                .segment_size(SEGMENT_SIZE)
                .cache_capacity(CACHE_CAPACITY)
                // The background flush promises nothing; each append flushes.
                .flush_every_ms(None)
                .open()?;
            let state = db.open_tree(STATE)?;
            db.flush()?;
            Ok(Database { groups: Mutex::default(), state, db })
        };
        let db = Some(guard("create", dir, open)?);
        let db_path = dir.join(layout::DB);
        let db_file = File::open(&db_path).map_err(Error::io("open", &db_path))?;
        disk::sync_file(&db_file, &db_path)?;
        let blobs = Blobs::open(&dir.join(layout::BLOBS))?;
        disk::sync_dir(dir)?;
        disk::sync_dir(layout::parent(dir))?;
        let end = LogEnd { blobs, db_file, db_path, appends: 0, gaps: 0 };
        Ok((Self { dir: dir.to_owned(), db, broken: AtomicBool::new(false) }, end))
    }

    /// Takes an append: all of it or none. It is durable after [`sync`](Self::sync).
    ///
    /// After an error nothing is known of the log but what was durable before.
    pub(crate) fn apply(&self, appended: Appended, end: &mut LogEnd) -> Result<(), Error> {
        let Appended { blocks, gap, checkpoint } = appended;
        let ordinal = end.appends;
        let gaps = end.gaps + u32::from(gap.is_some());
        let kept = Kept { checkpoint, ordinal, gaps };
        let state: Vec<(IVec, IVec)> = vec![(CHECKPOINT.into(), kept.encode().into())];
        if let Some(gap) = gap {
            self.note(&gap, ordinal)?;
            self.sync(end)?;
        }
        let apply = || {
            before(Call::Apply, &self.dir)?;
            let database = self.database()?;
            let mut writes = database.groups().place(blocks, &database.db)?;
            writes.push((database.state.clone(), state));
            let (trees, writes): (Vec<_>, Vec<_>) = writes.into_iter().unzip();
            let applied = trees.as_slice().transaction(|trees| {
                for (tree, writes) in trees.iter().zip(&writes) {
                    for (name, value) in writes {
                        tree.insert(name.clone(), value.clone())?;
                    }
                }
                Ok::<_, ConflictableTransactionError<()>>(())
            });
            match applied {
                Ok(()) => Ok(()),
                Err(TransactionError::Storage(error)) => Err(error),
                Err(TransactionError::Abort(())) => {
                    Err(sled::Error::Unsupported("nothing aborts this transaction".into()))
                }
            }
        };
        self.or_broken(guard("append to", &self.dir, apply))?;
        (end.appends, end.gaps) = (ordinal + 1, gaps);
        Ok(())
    }

    /// Writes a gap by itself, which is durable before what is behind it is written: of an append
    /// that is cut short any part may survive, and events behind a gap must not be there without
    /// it. Alone it counts for nothing: see [`Salvage::run`](crate::salvage::Salvage::run).
    fn note(&self, gap: &Gap, ordinal: u64) -> Result<(), Error> {
        let bytes =
            gap.encode(ordinal).ok_or_else(|| Error::does_not_fit("append to", &self.dir))?;
        // There may be several at one place.
        let name = [GAP, &key(gap.at), &ordinal.to_be_bytes()].concat();
        let insert = || {
            before(Call::Apply, &self.dir)?;
            self.database()?.state.insert(name, bytes)
        };
        self.or_broken(guard("append to", &self.dir, insert)).map(drop)
    }

    /// Makes everything applied durable.
    pub(crate) fn sync(&self, end: &mut LogEnd) -> Result<(), Error> {
        let flush = || {
            before(Call::Flush, &self.dir)?;
            self.database()?.db.flush()
        };
        let synced = end
            .blobs
            .sync_new()
            .and_then(|()| guard("append to", &self.dir, flush))
            .and_then(|_| disk::sync_file(&end.db_file, &end.db_path));
        self.or_broken(synced)
    }

    /// The block that begins at `seq` or, failing that, the last one before.
    pub(crate) fn block_at(&self, seq: Seq) -> Result<Option<BlockBytes>, Error> {
        let find = || {
            let Some(tree) = self.database()?.groups().holding(seq) else { return Ok(None) };
            tree.range(..=key(seq)).next_back().transpose()
        };
        let found = guard("read", &self.dir, find)?;
        Ok(found.map(|(_, block)| block))
    }

    /// Closes the log and waits until its files are let go of, so that they can be removed.
    pub(crate) fn close(self) -> Result<(), Error> {
        let db = self.dir.join(layout::DB);
        drop(self);
        wait_released(&db)
    }

    fn database(&self) -> sled::Result<&Database> {
        self.db.as_ref().ok_or_else(|| sled::Error::Unsupported("the log is closed".into()))
    }

    fn or_broken<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if result.is_err() {
            self.broken.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let Some(db) = self.db.take() else { return };
        if self.broken.load(Ordering::Relaxed) {
            // Where a write failed half-way, sled's destructor may wait for ever for what was
            // never written. Without a thread to wait, the log stays open until the process ends.
            let abandoned = std::thread::Builder::new().name("abandoned log".into());
            let _ = abandoned.spawn(move || catch(|| drop(db)));
        } else {
            // sled may panic here; what is durable is so without it.
            let _ = catch(|| drop(db));
        }
    }
}

fn key(first: Seq) -> IVec {
    IVec::from(&first.get().to_be_bytes())
}

/// Calls sled; its errors and panics become ours.
fn guard<T>(
    doing: &'static str,
    dir: &Path,
    call: impl FnOnce() -> sled::Result<T>,
) -> Result<T, Error> {
    let error = match catch(call) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(sled::Error::Io(source))) => return Err(Error::io(doing, dir)(plain(source))),
        Ok(Err(error)) => error.into(),
        Err(panicked @ Panicked { .. }) => panicked.into(),
    };
    Err(Error::Log { doing, path: dir.to_owned(), source: error })
}

/// sled remembers an error by its kind and its debugging text; the kind reads better.
fn plain(error: io::Error) -> io::Error {
    match (error.raw_os_error(), error.kind()) {
        (None, kind) if kind != io::ErrorKind::Other => kind.into(),
        _ => error,
    }
}

/// Waits until nobody holds sled's own lock on `db`. Whoever calls this has the tape's lock,
/// so it can only be this process, about to let go.
fn wait_released(db: &Path) -> Result<(), Error> {
    let file = File::open(db).map_err(Error::io("open", db))?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return file.unlock().map_err(Error::io("unlock", db)),
            Err(TryLockError::WouldBlock) if start.elapsed() < RELEASE_PATIENCE => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(Error::io("lock", db)(error.into())),
        }
    }
}

#[cfg(test)]
mod tests;
