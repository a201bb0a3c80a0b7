//! What a power loss leaves: everything durable, and a random part of the rest.
//!
//! What survives besides is decided for each change of names, for each page of a file, and for
//! each length that a file had:
//!
//! - names change in whole changes (a rename is one), any of them without those before;
//! - a page is as it was durable, or as it was after any later write to it, or torn: each of its
//!   sectors of one of two states that follow one another;
//! - a file is as long as it was durable, or as after any later change; what did not survive of
//!   it is zeros.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use fastrand::Rng;

use crate::file_system::{Change, File, FileSystem, Inode, Node, ROOT, rename};

/// What a kernel writes at a time.
const PAGE_LEN: usize = 4096;
/// What a disk writes whole or not at all.
const SECTOR_LEN: usize = 512;

/// One page in so many that survive is torn.
const TORN: u32 = 4;

/// How likely it is that what is not durable survives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Survival {
    /// A page, or a length.
    pub(crate) data: f64,
    /// A change of names.
    pub(crate) names: f64,
}

impl Survival {
    /// Nothing does.
    pub(crate) const NOTHING: Self = Self { data: 0.0, names: 0.0 };

    /// Each kind at some rate, the extremes among them: names without data are as likely as data
    /// without names.
    pub(crate) fn some(random: &mut Rng) -> Self {
        let mut rate = || random.choice([0.0, 0.2, 0.5, 0.8, 1.0]).unwrap_or_default();
        Self { data: rate(), names: rate() }
    }
}

/// The files and directories that are left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) directories: BTreeSet<PathBuf>,
    pub(crate) files: BTreeMap<PathBuf, Vec<u8>>,
    /// How many pending changes there were, and of how many at least a part survived.
    pub(crate) pending: usize,
    pub(crate) survived: usize,
}

impl Image {
    /// Loses the power.
    pub(crate) fn of(
        file_system: &FileSystem,
        survival: Survival,
        random: &mut Rng,
    ) -> Result<Self> {
        let mut image = Self::default();
        image.add(file_system, ROOT, Path::new(""), survival, random)?;
        Ok(image)
    }

    /// Makes it real, in an empty directory.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        for path in &self.directories {
            fs::create_dir_all(directory.join(path))?;
        }
        for (path, bytes) in &self.files {
            fs::write(directory.join(path), bytes)?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        file_system: &FileSystem,
        inode: Inode,
        path: &Path,
        survival: Survival,
        random: &mut Rng,
    ) -> Result<()> {
        match file_system.node(inode)? {
            Node::File(file) => {
                let content = self.content(file, survival.data, random);
                self.files.insert(path.to_owned(), content);
            }
            Node::Directory(directory) => {
                self.directories.insert(path.to_owned());
                let mut names = directory.durable.clone();
                for pending in &directory.pending {
                    let survives = random.f64() < survival.names;
                    if survives {
                        rename(&mut names, &pending.change);
                    }
                    self.count(survives);
                }
                for (name, inode) in names {
                    self.add(file_system, inode, &path.join(name), survival, random)?;
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, survives: bool) {
        self.pending += 1;
        self.survived += usize::from(survives);
    }

    fn content(&mut self, file: &File, survival: f64, random: &mut Rng) -> Vec<u8> {
        let mut content = file.durable.clone();
        let mut len = content.len();
        let mut lens = vec![len];
        for pending in &file.pending {
            match pending.change {
                Change::Cut { len: cut } => len = cut,
                Change::Write { offset, ref bytes } => len = len.max(offset + bytes.len()),
            }
            lens.push(len);
        }
        let longest = lens.iter().copied().max().unwrap_or(len);
        content.resize(longest, 0);
        for page in touched(file, longest) {
            let survives = random.f64() < survival;
            if survives {
                let start = page * PAGE_LEN;
                let found = page_after(file, page, random);
                let end = longest.min(start + PAGE_LEN);
                if let Some(place) = content.get_mut(start..end) {
                    place.copy_from_slice(found.get(..place.len()).unwrap_or_default());
                }
            }
            self.count(survives);
        }
        let len = if random.f64() < survival { random.choice(lens) } else { None };
        content.truncate(len.unwrap_or(file.durable.len()));
        content
    }
}

/// The pages that pending changes are about.
fn touched(file: &File, longest: usize) -> BTreeSet<usize> {
    let pages = |start: usize, end: usize| start / PAGE_LEN..end.div_ceil(PAGE_LEN);
    let mut touched = BTreeSet::new();
    for pending in &file.pending {
        match &pending.change {
            Change::Write { offset, bytes } => touched.extend(pages(*offset, offset + bytes.len())),
            Change::Cut { len } => touched.extend(pages(*len, longest)),
        }
    }
    touched
}

/// A page as it was after one of the changes to it, perhaps torn; the last is the likeliest.
fn page_after(file: &File, page: usize, random: &mut Rng) -> Vec<u8> {
    let start = page * PAGE_LEN;
    let mut state = vec![0; PAGE_LEN];
    let durable = file.durable.get(start..).unwrap_or_default();
    let kept = durable.get(..PAGE_LEN).unwrap_or(durable);
    for (to, from) in state.iter_mut().zip(kept) {
        *to = *from;
    }
    let mut states = vec![state.clone()];
    for pending in &file.pending {
        if change_page(&pending.change, start, &mut state) {
            states.push(state.clone());
        }
    }
    let last = states.len() - 1;
    let chosen = if last == 0 || random.bool() { last } else { random.usize(1..=last) };
    let mut found = states.get(chosen).cloned().unwrap_or_default();
    if let Some(before) = chosen.checked_sub(1).and_then(|before| states.get(before))
        && random.u32(..TORN) == 0
    {
        for (to, from) in found.chunks_mut(SECTOR_LEN).zip(before.chunks(SECTOR_LEN)) {
            if random.bool() {
                to.copy_from_slice(from);
            }
        }
    }
    found
}

/// Makes a change to the page that begins at `start`; whether it is about the page.
fn change_page(change: &Change, start: usize, page: &mut [u8]) -> bool {
    match change {
        Change::Cut { len } => {
            let rest = page.get_mut(len.saturating_sub(start)..).unwrap_or_default();
            rest.fill(0);
            !rest.is_empty()
        }
        Change::Write { offset, bytes } => {
            let (end, page_end) = (offset + bytes.len(), start + page.len());
            let (from, to) = (start.max(*offset), page_end.min(end));
            if from >= to {
                return false;
            }
            let source = bytes.get(from - offset..to - offset);
            if let (Some(place), Some(source)) = (page.get_mut(from - start..to - start), source) {
                place.copy_from_slice(source);
            }
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of which two pages are durable, one is written over, and one is new.
    fn written() -> FileSystem {
        let mut fs = FileSystem::new();
        let inode = fs.create(ROOT, "a", Node::File(File::default())).unwrap();
        let write = |page: usize, byte| {
            let bytes = vec![byte; PAGE_LEN];
            Change::Write { offset: page * PAGE_LEN, bytes }
        };
        fs.change_file(inode, write(0, 1)).unwrap();
        fs.change_file(inode, write(1, 1)).unwrap();
        fs.synced(inode, fs.now()).unwrap();
        fs.synced(ROOT, fs.now()).unwrap();
        fs.change_file(inode, write(1, 2)).unwrap();
        fs.change_file(inode, write(2, 3)).unwrap();
        fs.change_names(ROOT, vec![("a".to_owned(), None), ("b".to_owned(), Some(inode))]).unwrap();
        fs
    }

    #[test]
    fn without_luck_only_what_is_durable_is_left() {
        let fs = written();
        let image = Image::of(&fs, Survival::NOTHING, &mut Rng::with_seed(1)).unwrap();
        assert_eq!(image.files.keys().collect::<Vec<_>>(), [Path::new("a")]);
        assert_eq!(image.files[Path::new("a")], vec![1; 2 * PAGE_LEN]);
        assert_eq!((image.pending, image.survived), (3, 0));
    }

    #[test]
    fn what_is_left_besides_is_of_pages_sectors_and_names() {
        let fs = written();
        let mut seen = BTreeSet::new();
        for seed in 0..500 {
            let survival = Survival { data: 0.5, names: 0.5 };
            let image = Image::of(&fs, survival, &mut Rng::with_seed(seed)).unwrap();
            let (name, content) = image.files.iter().next().unwrap();
            assert!(
                content.chunks(SECTOR_LEN).all(|sector| sector.iter().all(|b| *b == sector[0]))
            );
            let firsts: Vec<u8> = content.chunks(PAGE_LEN).map(|page| page[0]).collect();
            let torn = content.chunks(PAGE_LEN).any(|page| page.iter().any(|b| *b != page[0]));
            seen.insert((name.to_str().unwrap().to_owned(), firsts, torn));
        }
        for name in ["a", "b"] {
            for firsts in [vec![1, 1], vec![1, 2], vec![1, 1, 0], vec![1, 2, 0], vec![1, 2, 3]] {
                assert!(seen.contains(&(name.to_owned(), firsts.clone(), false)), "{firsts:?}");
            }
            assert!(seen.iter().any(|(at, _, torn)| at == name && *torn));
        }
    }
}
