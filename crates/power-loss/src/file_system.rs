//! A file system that knows what is durable.
//!
//! | | is durable |
//! | --- | --- |
//! | a file's data and length | as of the last fsync or fdatasync of it that is done |
//! | the names in a directory | as of the last fsync of the directory that is done |
//!
//! This is what POSIX promises and no more: syncing a file does not keep its name, and
//! `sync_file_range` keeps nothing. What was changed since is *pending*: any part of it may
//! survive a power loss. What was changed while a sync was under way is pending still.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};

/// A file or directory, whatever its names.
pub(crate) type Inode = usize;

/// What a change to a directory does to names: each is given to a file, or to none.
pub(crate) type Names = Vec<(String, Option<Inode>)>;

/// The directory that everything lies in. It was there before, and is durable.
pub(crate) const ROOT: Inode = 0;

#[derive(Debug)]
pub(crate) struct FileSystem {
    nodes: Vec<Node>,
    /// How many changes there were.
    clock: u64,
}

#[derive(Debug)]
pub(crate) enum Node {
    File(File),
    Directory(Directory),
}

#[derive(Debug, Default)]
pub(crate) struct File {
    pub(crate) current: Vec<u8>,
    pub(crate) durable: Vec<u8>,
    pub(crate) pending: Vec<Pending<Change>>,
}

#[derive(Debug, Default)]
pub(crate) struct Directory {
    pub(crate) current: BTreeMap<String, Inode>,
    pub(crate) durable: BTreeMap<String, Inode>,
    pub(crate) pending: Vec<Pending<Names>>,
}

/// A change that is not durable.
#[derive(Debug)]
pub(crate) struct Pending<T> {
    at: u64,
    pub(crate) change: T,
}

/// What a call does to a file.
#[derive(Debug)]
pub(crate) enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Cut { len: usize },
}

impl Change {
    /// Makes the change to a file's content.
    pub(crate) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Cut { len } => content.resize(*len, 0),
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                if let Some(place) = content.get_mut(*offset..end) {
                    place.copy_from_slice(bytes);
                }
            }
        }
    }
}

/// Gives and takes names.
pub(crate) fn rename(names: &mut BTreeMap<String, Inode>, change: &Names) {
    for (name, inode) in change {
        match inode {
            Some(inode) => drop(names.insert(name.clone(), *inode)),
            None => drop(names.remove(name)),
        }
    }
}

impl FileSystem {
    /// An empty directory.
    pub(crate) fn new() -> Self {
        Self { nodes: vec![Node::Directory(Directory::default())], clock: 0 }
    }

    pub(crate) fn node(&self, inode: Inode) -> Result<&Node> {
        self.nodes.get(inode).context("no such inode")
    }

    pub(crate) fn directory(&self, inode: Inode) -> Result<&Directory> {
        match self.node(inode)? {
            Node::Directory(directory) => Ok(directory),
            Node::File(_) => bail!("a file where a directory was expected"),
        }
    }

    /// What a path means now; `None` if there is nothing.
    pub(crate) fn find(&self, path: &[&str]) -> Result<Option<Inode>> {
        let mut at = ROOT;
        for name in path {
            let Some(inode) = self.directory(at)?.current.get(*name) else { return Ok(None) };
            at = *inode;
        }
        Ok(Some(at))
    }

    /// Makes a file or a directory.
    pub(crate) fn create(&mut self, parent: Inode, name: &str, node: Node) -> Result<Inode> {
        let inode = self.nodes.len();
        self.nodes.push(node);
        self.change_names(parent, vec![(name.to_owned(), Some(inode))])?;
        Ok(inode)
    }

    /// Gives and takes names in a directory, all at once: a rename is one change.
    pub(crate) fn change_names(&mut self, directory: Inode, change: Names) -> Result<()> {
        let at = self.tick();
        let Some(Node::Directory(directory)) = self.nodes.get_mut(directory) else {
            bail!("no such directory");
        };
        rename(&mut directory.current, &change);
        directory.pending.push(Pending { at, change });
        Ok(())
    }

    pub(crate) fn change_file(&mut self, inode: Inode, change: Change) -> Result<()> {
        let at = self.tick();
        let Some(Node::File(file)) = self.nodes.get_mut(inode) else { bail!("no such file") };
        change.apply(&mut file.current);
        file.pending.push(Pending { at, change });
        Ok(())
    }

    /// A sync begins: what it will have made durable when it is done.
    pub(crate) fn now(&self) -> u64 {
        self.clock
    }

    /// A sync is done that began at some time.
    pub(crate) fn synced(&mut self, inode: Inode, began: u64) -> Result<()> {
        match self.nodes.get_mut(inode).context("no such inode")? {
            Node::File(file) => {
                for pending in settled(&mut file.pending, began) {
                    pending.change.apply(&mut file.durable);
                }
            }
            Node::Directory(directory) => {
                for pending in settled(&mut directory.pending, began) {
                    rename(&mut directory.durable, &pending.change);
                }
            }
        }
        Ok(())
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}

/// Takes out what was changed up to some time.
fn settled<T>(pending: &mut Vec<Pending<T>>, began: u64) -> Vec<Pending<T>> {
    let later = pending.iter().position(|pending| pending.at > began);
    pending.drain(..later.unwrap_or(pending.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(fs: &FileSystem, inode: Inode) -> &File {
        match fs.node(inode).unwrap() {
            Node::File(file) => file,
            Node::Directory(_) => unreachable!(),
        }
    }

    #[test]
    fn only_what_was_there_when_a_sync_began_is_durable() {
        let mut fs = FileSystem::new();
        let inode = fs.create(ROOT, "a", Node::File(File::default())).unwrap();
        let write = |offset| Change::Write { offset, bytes: b"ab".to_vec() };
        fs.change_file(inode, write(1)).unwrap();
        let began = fs.now();
        fs.change_file(inode, write(4)).unwrap();
        fs.synced(inode, began).unwrap();
        assert_eq!(file(&fs, inode).durable, b"\0ab");
        assert_eq!(file(&fs, inode).current, b"\0ab\0ab");
        // The file is durable, its name is not.
        assert!(fs.directory(ROOT).unwrap().durable.is_empty());
        let b = vec![("a".to_owned(), None), ("b".to_owned(), Some(inode))];
        fs.change_names(ROOT, b).unwrap();
        fs.synced(ROOT, fs.now()).unwrap();
        assert_eq!(fs.directory(ROOT).unwrap().durable, BTreeMap::from([("b".to_owned(), inode)]));
        fs.change_file(inode, Change::Cut { len: 2 }).unwrap();
        fs.synced(inode, fs.now()).unwrap();
        assert_eq!(file(&fs, inode).durable, b"\0a");
        assert_eq!((fs.find(&["b"]).unwrap(), fs.find(&["a"]).unwrap()), (Some(inode), None));
    }
}
