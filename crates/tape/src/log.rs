//! `Log`: the live end of a tape, a sled database. The only module that knows sled.
//!
//! ```text
//! tree "blocks"   Seq of the first event, big-endian ──► block
//! tree "state"    "checkpoint" ──► checkpoint
//! ```
//! Blocks and the checkpoint that follows them are written in one transaction over both
//! trees, which sled recovers whole or not at all. Two trees, because the checkpoint changes
//! with every append: in the blocks' tree it would have sled rewrite a page of blocks each
//! time.
//!
//! What makes an append durable (sled's `flush` alone does not: it ends in
//! `sync_file_range`, and never syncs `blobs/`), in this order:
//!
//! 1. the transaction, which writes large values and pages to files in `blobs/`, and the
//!    rest into sled's buffer;
//! 2. fsync of each file that is new in `blobs/`, then of `blobs/`: before the buffer is
//!    written, so that a power loss never leaves a log that refers to a file that is not
//!    whole, which sled would skip in silence;
//! 3. `flush`, which writes the buffer to `db`;
//! 4. fdatasync of `db`, through a descriptor of our own: any descriptor of a file serves.
//!
//! The snapshot that sled writes when it opens a database needs no such care: sled syncs the
//! file, and one that a power loss takes back is written again from `db`. What it leaves
//! half-written, though, it would take for one: [`remove_half_snapshots`].

mod blobs;

use std::fs::{self, File, TryLockError};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use changetape_core::Seq;
use sled::transaction::{ConflictableTransactionError, TransactionError};
use sled::{IVec, Transactional};

use crate::quiet::{Panicked, catch};
use crate::{Checkpoint, Error, disk, layout};
use blobs::Blobs;

/// The unit in which sled allocates `db`, and a quarter of it the most that it keeps of one
/// page there. With blocks of `TARGET_RAW_LEN` measured best: `docs/decisions/0001-…`.
/// Fixed for a tape: sled refuses another.
pub(crate) const SEGMENT_SIZE: usize = 4 << 20;

/// What sled may keep of pages in memory. Readers go through a tape once and writers only
/// look at its end, so a cache gains nothing. sled keeps far more: see [`forget_pages`].
const CACHE_CAPACITY: u64 = 32 << 20;

/// sled's cache has 256 parts, each of which considers what to drop only once it has been
/// asked for this many pages.
const CACHE_QUEUE_LEN: usize = 64;

/// At least this many blocks are in one of sled's pages once it has been split.
const BLOCKS_PER_PAGE: u64 = 8;

/// sled's threads let go of `db` a moment after the database is dropped, when the disk has
/// done what they asked of it.
const RELEASE_PATIENCE: Duration = Duration::from_secs(30);

const BLOCKS: &str = "blocks";
const STATE: &str = "state";
const CHECKPOINT: &[u8] = b"checkpoint";

/// Half-written snapshots are called so.
const HALF_SNAPSHOT: (&str, &str) = ("snap.", ".generating");

/// A block's bytes as they are in the log.
pub(crate) type BlockBytes = IVec;

/// The live end of a tape.
#[derive(Debug)]
pub(crate) struct Log {
    dir: PathBuf,
    blobs: Blobs,
    /// For syncing only.
    db_file: File,
    /// Blocks appended since pages were last forgotten.
    appended: u64,
    // Dropped in this order, the database last.
    blocks: sled::Tree,
    state: sled::Tree,
    db: sled::Db,
}

impl Log {
    /// Makes an empty log in a new directory.
    pub(crate) fn create(dir: &Path) -> Result<Self, Error> {
        fs::create_dir(dir).map_err(Error::io("create", dir))?;
        let log = Self::open_or_create(dir)?;
        log.guard("write to", || log.db.flush())?;
        Ok(log)
    }

    /// Opens a log, which may change its files: sled recovers what it finds.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        // sled makes what is missing; here that would pass an empty log for a full one.
        let db = dir.join(layout::DB);
        fs::metadata(&db).map_err(Error::io("open", &db))?;
        remove_half_snapshots(dir)?;
        wait_released(&db)?;
        let log = Self::open_or_create(dir)?;
        Ok(log)
    }

    fn open_or_create(dir: &Path) -> Result<Self, Error> {
        let open = || {
            let db = sled::Config::new()
                .path(dir)
                .segment_size(SEGMENT_SIZE)
                .cache_capacity(CACHE_CAPACITY)
                // The background flush promises nothing; each append flushes.
                .flush_every_ms(None)
                .open()?;
            Ok((db.open_tree(BLOCKS)?, db.open_tree(STATE)?, db))
        };
        let (blocks, state, db) = guard("open", dir, open)?;
        let db_path = dir.join(layout::DB);
        let db_file = File::open(&db_path).map_err(Error::io("open", &db_path))?;
        let blobs = Blobs::open(&dir.join(layout::BLOBS))?;
        Ok(Self { dir: dir.to_owned(), blobs, db_file, appended: 0, blocks, state, db })
    }

    /// Appends blocks and moves the checkpoint, atomically; returns when that is durable.
    ///
    /// After an error nothing is known of the log until it is opened again.
    pub(crate) fn append(
        &mut self,
        blocks: Vec<(Seq, Vec<u8>)>,
        checkpoint: &Checkpoint,
    ) -> Result<(), Error> {
        let blocks: Vec<(IVec, IVec)> =
            blocks.into_iter().map(|(first, block)| (key(first), block.into())).collect();
        let checkpoint: IVec = checkpoint.encode().into();
        let apply = || {
            let applied = (&self.blocks, &self.state).transaction(|(block_tree, state)| {
                for (first, block) in &blocks {
                    block_tree.insert(first.clone(), block.clone())?;
                }
                state.insert(CHECKPOINT, checkpoint.clone())?;
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
        self.guard("append to", apply)?;
        self.blobs.sync_new()?;
        self.guard("append to", || self.db.flush())?;
        self.db_file.sync_data().map_err(Error::io("sync", &self.dir.join(layout::DB)))?;
        self.appended += blocks.len() as u64;
        if let Some((last, _)) = blocks.last().filter(|_| self.appended >= BLOCKS_PER_PAGE) {
            self.appended = 0;
            self.guard("read", || forget_pages(&self.blocks, last))?;
        }
        Ok(())
    }

    /// Makes everything that opening may have changed durable.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.guard("write to", || self.db.flush())?;
        for name in disk::files(&self.dir)? {
            let path = self.dir.join(name);
            match File::open(&path).and_then(|file| file.sync_all()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result.map_err(Error::io("sync", &path))?,
            }
        }
        disk::sync_dir(&self.dir.join(layout::BLOBS))?;
        disk::sync_dir(&self.dir)
    }

    /// The checkpoint's bytes; `None` before the first append.
    pub(crate) fn checkpoint(&self) -> Result<Option<IVec>, Error> {
        self.guard("read", || self.state.get(CHECKPOINT))
    }

    /// The block that begins at `seq` or, failing that, the last one before.
    pub(crate) fn block_at(&self, seq: Seq) -> Result<Option<(Seq, BlockBytes)>, Error> {
        let found =
            self.guard("read", || self.blocks.range(..=key(seq)).next_back().transpose())?;
        Ok(found.map(|(key, block)| (seq_of(&key), block)))
    }

    /// The block with the highest key.
    pub(crate) fn last_block(&self) -> Result<Option<(Seq, BlockBytes)>, Error> {
        self.block_at(Seq::new(u64::MAX))
    }

    /// The blocks whose keys are `from` or higher, in order.
    pub(crate) fn blocks_from(&self, from: Seq) -> BlockIter {
        let range = (Bound::Included(key(from)), Bound::<IVec>::Unbounded);
        let iter = Some(self.blocks.range(range));
        BlockIter { dir: self.dir.clone(), tree: self.blocks.clone(), iter, read: 0 }
    }

    /// Closes the log and waits until its files are let go of.
    pub(crate) fn close(self) -> Result<(), Error> {
        let db = self.dir.join(layout::DB);
        self.guard("write to", || self.db.flush())?;
        let Self { dir, blobs, db_file, appended: _, blocks, state, db: database } = self;
        guard("close", &dir, || {
            drop((blocks, state, database));
            Ok(())
        })?;
        drop((blobs, db_file));
        wait_released(&db)
    }

    /// Lets go of a log after a failed append without waiting for it: where a write failed
    /// half-way, sled's destructor may wait for ever for what was never written.
    pub(crate) fn abandon(self) {
        let abandoned = std::thread::Builder::new().name("abandoned log".into());
        // Without a thread to drop it the log stays open until the process ends.
        let _ = abandoned.spawn(move || catch(|| drop(self)));
    }

    fn guard<T>(
        &self,
        doing: &'static str,
        call: impl FnOnce() -> sled::Result<T>,
    ) -> Result<T, Error> {
        guard(doing, &self.dir, call)
    }
}

/// Blocks with their keys, in order; ends after the first error.
pub(crate) struct BlockIter {
    dir: PathBuf,
    tree: sled::Tree,
    iter: Option<sled::Iter>,
    /// Blocks read since pages were last forgotten.
    read: u64,
}

impl Iterator for BlockIter {
    type Item = Result<(Seq, BlockBytes), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut iter = self.iter.take()?;
        self.read += 1;
        let step = guard("read", &self.dir, || {
            let step = iter.next().transpose()?;
            if let Some((key, _)) = step.as_ref().filter(|_| self.read >= BLOCKS_PER_PAGE) {
                self.read = 0;
                forget_pages(&self.tree, key)?;
            }
            Ok(step)
        });
        if let Ok(Some(_)) = step {
            self.iter = Some(iter);
        }
        let found = step.transpose()?;
        Some(found.map(|(key, block)| (seq_of(&key), block)))
    }
}

/// Has sled drop the pages that it keeps in the part of its cache where `key`'s page is, but
/// for that one. Left to itself it drops nothing before it has been asked for 64 pages in each
/// of 256 parts, by when most of a tape is in memory.
fn forget_pages(tree: &sled::Tree, key: &[u8]) -> sled::Result<()> {
    for _ in 0..=CACHE_QUEUE_LEN {
        tree.contains_key(key)?;
    }
    Ok(())
}

fn key(first: Seq) -> IVec {
    IVec::from(&first.get().to_be_bytes())
}

/// A key that is not a `Seq` becomes one that fits no block: the block's own header says
/// where it belongs, and the two are compared.
fn seq_of(key: &[u8]) -> Seq {
    Seq::new(key.try_into().map_or(u64::MAX, u64::from_be_bytes))
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

/// Removes what sled was writing when its process was killed while it opened the log: sled
/// renames a snapshot into place when it is whole, but takes any file called `snap.…` for
/// the newest one.
fn remove_half_snapshots(dir: &Path) -> Result<(), Error> {
    let (start, end) = HALF_SNAPSHOT;
    for entry in fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let path = entry.map_err(Error::io("list", dir))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(start) && name.ends_with(end) {
            disk::remove_file(&path)?;
        }
    }
    Ok(())
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
