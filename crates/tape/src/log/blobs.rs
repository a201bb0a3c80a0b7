//! `blobs/`: what sled keeps outside of its database file, and never syncs.
//!
//! A value or a page larger than a quarter of a sled segment goes to a file of its own,
//! named by sled's log sequence number, which only grows: so the new files are those whose
//! names are higher than any seen before. With ordinary events there are none; an event of
//! many kilobytes that does not compress makes some.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::{Error, disk};

#[derive(Debug)]
pub(super) struct Blobs {
    dir: PathBuf,
    /// The highest name that is known to be durable.
    synced: Option<u64>,
}

impl Blobs {
    /// The directory of a log that was just opened; what is in it is synced with the rest.
    pub(super) fn open(dir: &Path) -> Result<Self, Error> {
        let mut blobs = Self { dir: dir.to_owned(), synced: None };
        blobs.synced = blobs.names()?.into_iter().max();
        Ok(blobs)
    }

    /// Makes the files that are new since the last call durable, and their names.
    pub(super) fn sync_new(&mut self) -> Result<(), Error> {
        let names = self.names()?;
        let new = names.into_iter().filter(|&name| self.synced.is_none_or(|synced| name > synced));
        let mut highest = None;
        for name in new {
            let path = self.dir.join(name.to_string());
            match File::open(&path) {
                // Already superseded by another.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                file => disk::sync_file(&file.map_err(Error::io("open", &path))?, &path)?,
            }
            highest = highest.max(Some(name));
        }
        if highest.is_some() {
            disk::sync_dir(&self.dir)?;
            self.synced = highest;
        }
        Ok(())
    }

    fn names(&self) -> Result<Vec<u64>, Error> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(Error::io("list", &self.dir))? {
            let name = entry.map_err(Error::io("list", &self.dir))?.file_name();
            names.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
        }
        Ok(names)
    }
}
