//! A process's system calls, made once more on a [`FileSystem`].
//!
//! What lies outside of the directory that is looked at is left alone. A call in it that is not
//! known here is an error, and so is an end that differs from the real directory's: then the
//! model would be wrong, and with it every image.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::file_system::{Change, Directory, File, FileSystem, Inode, Node, ROOT};
use crate::trace::{Call, Step};

/// The magic of a tape's watermark, and how long that is: see `docs/tape-format.md`.
const WATERMARK: &[u8] = b"CTDW";
const WATERMARK_LEN: usize = 16;

/// What a recorder says on stderr when a base is there to stay.
const BASE_IS_WHOLE: &[u8] = b"the base is whole";
const STDERR: i64 = 2;

/// A machine on which one recording is made, by one process after the other.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) file_system: FileSystem,
    /// What the file system's root is on the real machine.
    directory: PathBuf,
    /// The tape's name in it.
    tape: String,
    /// Open files: where each is read and written next.
    open: HashMap<i64, (Inode, usize)>,
    /// Syncs that are under way, by thread: the file, and when they began.
    syncing: HashMap<u64, (Inode, u64)>,
    /// One past the last event that was acknowledged; `None` before the tape is made.
    pub(crate) acknowledged: Option<u64>,
    /// Whether a base was.
    pub(crate) has_base: bool,
}

impl Machine {
    /// A machine with an empty directory, in which a tape of some name will be made.
    pub(crate) fn new(directory: &Path, tape: &str) -> Self {
        Self {
            file_system: FileSystem::new(),
            directory: directory.to_owned(),
            tape: tape.to_owned(),
            open: HashMap::new(),
            syncing: HashMap::new(),
            acknowledged: None,
            has_base: false,
        }
    }

    /// The process has ended; another may come.
    pub(crate) fn end_process(&mut self) {
        self.open.clear();
        self.syncing.clear();
    }

    /// Makes a step. `true` if it did something to what is on disk, or to what is durable.
    pub(crate) fn step(&mut self, step: &Step) -> Result<bool> {
        match step {
            Step::Begins(call) => self.begins(call).map(|()| false),
            Step::Done(call, result) => {
                self.done(call, *result).with_context(|| format!("{}: not modelled", call.name))
            }
            Step::Failed(call) => {
                ensure!(!is_sync(call) || !self.is_open(call)?, "{} failed", call.name);
                Ok(false)
            }
        }
    }

    fn begins(&mut self, call: &Call) -> Result<()> {
        if is_sync(call) {
            if let Some((inode, _)) = self.open.get(&call.number(0)?) {
                self.syncing.insert(call.thread, (*inode, self.file_system.now()));
            }
        } else if call.name == "close" {
            // Before it is done: another thread may get the number meanwhile.
            self.open.remove(&call.number(0)?);
        }
        Ok(())
    }

    fn done(&mut self, call: &Call, result: i64) -> Result<bool> {
        match call.name.as_str() {
            "open" => self.opens(call, None, 0, result),
            "openat" => self.opens(call, Some(0), 1, result),
            "dup" | "dup2" | "dup3" => self.duplicates(call, result),
            "fcntl" if call.word(1)?.starts_with("F_DUPFD") => self.duplicates(call, result),
            "close" | "fcntl" => Ok(false),
            "lseek" => {
                if let Some((_, position)) = self.open.get_mut(&call.number(0)?) {
                    *position = usize::try_from(result)?;
                }
                Ok(false)
            }
            "write" | "pwrite64" => self.writes(call, result),
            "ftruncate" => {
                let Some((inode, _)) = self.open.get(&call.number(0)?) else { return Ok(false) };
                let len = usize::try_from(call.number(1)?)?;
                self.file_system.change_file(*inode, Change::Cut { len }).map(|()| true)
            }
            // Room is set aside; nothing that can be read changes.
            "fallocate" if call.word(1)? == "FALLOC_FL_KEEP_SIZE" => Ok(false),
            "rename" => self.renames(call, (None, 0), (None, 1)),
            "renameat" | "renameat2" => self.renames(call, (Some(0), 1), (Some(2), 3)),
            "unlink" | "rmdir" => self.removes(call, None, 0),
            "unlinkat" => self.removes(call, Some(0), 1),
            "mkdir" => self.makes_directory(call, None, 0),
            "mkdirat" => self.makes_directory(call, Some(0), 1),
            "fsync" | "fdatasync" => {
                let Some((inode, began)) = self.syncing.remove(&call.thread) else {
                    return Ok(false);
                };
                self.file_system.synced(inode, began).map(|()| true)
            }
            _ => self.must_be_elsewhere(call).map(|()| false),
        }
    }

    fn opens(&mut self, call: &Call, at: Option<usize>, path: usize, fd: i64) -> Result<bool> {
        let Some((parent, name)) = self.resolve(call, at, path)? else { return Ok(false) };
        let flags: Vec<&str> = call.word(path + 1)?.split('|').collect();
        let has = |flag: &str| flags.contains(&flag);
        ensure!(!has("O_APPEND") && !has("O_TMPFILE"), "flags that are not modelled: {flags:?}");
        let known = match name.as_str() {
            "" => Some(parent),
            name => self.file_system.directory(parent)?.current.get(name).copied(),
        };
        let (inode, changed) = if let Some(inode) = known {
            let cut = has("O_TRUNC") && self.len(inode)? > 0;
            if cut {
                self.file_system.change_file(inode, Change::Cut { len: 0 })?;
            }
            (inode, cut)
        } else {
            ensure!(has("O_CREAT"), "{name} is there and was never made");
            (self.file_system.create(parent, &name, Node::File(File::default()))?, true)
        };
        self.open.insert(fd, (inode, 0));
        Ok(changed)
    }

    fn duplicates(&mut self, call: &Call, fd: i64) -> Result<bool> {
        if let Some(open) = self.open.get(&call.number(0)?) {
            self.open.insert(fd, *open);
        }
        Ok(false)
    }

    fn writes(&mut self, call: &Call, written: i64) -> Result<bool> {
        let fd = call.number(0)?;
        let Some((inode, position)) = self.open.get_mut(&fd) else {
            if fd == STDERR && contains(call.bytes(1)?, BASE_IS_WHOLE) {
                self.acknowledged = self.acknowledged.max(Some(0));
                self.has_base = true;
            }
            return Ok(false);
        };
        let inode = *inode;
        let written = usize::try_from(written)?;
        let bytes = call.bytes(1)?.get(..written).context("strace has cut what is written")?;
        let offset = if call.name == "pwrite64" {
            usize::try_from(call.number(3)?)?
        } else {
            let before = *position;
            *position += written;
            before
        };
        if self.file_system.find(&[&self.tape, "durable"])? == Some(inode) {
            ensure!(bytes.len() == WATERMARK_LEN && bytes.starts_with(WATERMARK), "a watermark");
            let next = bytes.get(4..12).context("a watermark")?.try_into()?;
            self.acknowledged = self.acknowledged.max(Some(u64::from_le_bytes(next)));
        }
        let change = Change::Write { offset, bytes: bytes.to_vec() };
        self.file_system.change_file(inode, change).map(|()| true)
    }

    fn renames(
        &mut self,
        call: &Call,
        (from_at, from): (Option<usize>, usize),
        (to_at, to): (Option<usize>, usize),
    ) -> Result<bool> {
        let from = self.resolve(call, from_at, from)?;
        let to = self.resolve(call, to_at, to)?;
        let ((parent, from), (other, to)) = match (from, to) {
            (None, None) => return Ok(false),
            (Some(from), Some(to)) => (from, to),
            _ => bail!("a rename across the directory's border"),
        };
        ensure!(parent == other, "a rename from one directory to another");
        let inode = self.file_system.directory(parent)?.current.get(&from).copied();
        let inode = inode.with_context(|| format!("{from} is there and was never made"))?;
        let change = vec![(from, None), (to, Some(inode))];
        self.file_system.change_names(parent, change).map(|()| true)
    }

    fn removes(&mut self, call: &Call, at: Option<usize>, path: usize) -> Result<bool> {
        let Some((parent, name)) = self.resolve(call, at, path)? else { return Ok(false) };
        self.file_system.change_names(parent, vec![(name, None)]).map(|()| true)
    }

    fn makes_directory(&mut self, call: &Call, at: Option<usize>, path: usize) -> Result<bool> {
        let Some((parent, name)) = self.resolve(call, at, path)? else { return Ok(false) };
        let made = Node::Directory(Directory::default());
        self.file_system.create(parent, &name, made).map(|_| true)
    }

    /// Whether a call that is not modelled leaves the directory alone.
    fn must_be_elsewhere(&self, call: &Call) -> Result<()> {
        for at in 0..call.arguments.len() {
            let here = match (call.number(at), call.path(at)) {
                (Ok(fd), _) => self.open.contains_key(&fd),
                (_, Ok(path)) => Path::new(path).starts_with(&self.directory),
                _ => false,
            };
            ensure!(!here, "a call on the tape that is not known here");
        }
        Ok(())
    }

    /// The directory and the name that a path means; `None` if it is elsewhere. No name for the
    /// root itself.
    fn resolve(
        &self,
        call: &Call,
        at: Option<usize>,
        path: usize,
    ) -> Result<Option<(Inode, String)>> {
        let path = Path::new(call.path(path)?);
        let (mut parent, below) = match at.map(|at| call.word(at)).transpose()? {
            Some(fd) if path.is_relative() && fd != "AT_FDCWD" => {
                match self.open.get(&fd.parse()?) {
                    Some((inode, _)) => (*inode, path),
                    None => return Ok(None),
                }
            }
            // The recorder is given whole paths.
            _ => match path.strip_prefix(&self.directory) {
                Ok(below) => (ROOT, below),
                Err(_) => return Ok(None),
            },
        };
        let mut names: Vec<&str> =
            below.iter().map(|name| name.to_str().context("a name")).collect::<Result<_>>()?;
        let name = names.pop().unwrap_or_default();
        for name in names {
            let next = self.file_system.directory(parent)?.current.get(name);
            parent = *next.with_context(|| format!("{name} is there and was never made"))?;
        }
        Ok(Some((parent, name.to_owned())))
    }

    fn is_open(&self, call: &Call) -> Result<bool> {
        Ok(self.open.contains_key(&call.number(0)?))
    }

    fn len(&self, inode: Inode) -> Result<usize> {
        match self.file_system.node(inode)? {
            Node::File(file) => Ok(file.current.len()),
            Node::Directory(_) => Ok(0),
        }
    }

    /// Checks that the real directory is as it is here.
    pub(crate) fn compare(&self) -> Result<()> {
        self.compare_below(ROOT, &self.directory)
            .context("the trace does not lead to what is on disk, so something was not traced")
    }

    fn compare_below(&self, inode: Inode, real: &Path) -> Result<()> {
        match self.file_system.node(inode)? {
            Node::File(file) => {
                ensure!(fs::read(real)? == file.current, "{}: other content", real.display());
            }
            Node::Directory(directory) => {
                let mut names = Vec::new();
                for entry in fs::read_dir(real)? {
                    names.push(entry?.file_name().to_string_lossy().into_owned());
                }
                names.sort_unstable();
                let known: Vec<&String> = directory.current.keys().collect();
                let same = names.iter().eq(known.iter().copied());
                ensure!(same, "{}: {names:?}, expected {known:?}", real.display());
                for (name, inode) in &directory.current {
                    self.compare_below(*inode, &real.join(name))?;
                }
            }
        }
        Ok(())
    }
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

fn is_sync(call: &Call) -> bool {
    matches!(call.name.as_str(), "fsync" | "fdatasync")
}
