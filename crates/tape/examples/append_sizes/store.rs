//! What is measured: each way to keep blocks, behind one `append` that is durable.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bson::raw::RawDocument;
use bson::rawdoc;
use changetape_core::{Arrival, ResumeToken};
use changetape_tape::{Batch, TapeWriter};
use changetape_testkit::samples::metadata;
use sled::Transactional;

use super::{Case, Outcome, Trees};

/// About what a block's header takes.
const HEADER: [u8; 230] = [0; 230];

pub(super) struct Store {
    case: Case,
    zstd: zstd::bulk::Compressor<'static>,
    seq: u64,
    written: usize,
    disk: Disk,
}

enum Disk {
    Nothing,
    File(File),
    Sled {
        db: sled::Db,
        blocks: sled::Tree,
        in_tree: usize,
        state: sled::Tree,
        file: File,
        blobs: PathBuf,
        known: Vec<u64>,
    },
    Tape(Box<TapeWriter>),
}

impl Store {
    pub(super) fn open(case: Case, dir: &Path) -> Outcome<Self> {
        let (level, disk) = match case {
            Case::Encode { level, .. } => (level, Disk::Nothing),
            Case::File { .. } => (1, Disk::File(File::create(dir.join("blocks"))?)),
            Case::Sled { segment, .. } => {
                let config = sled::Config::new().path(dir).segment_size(segment);
                let db = config.cache_capacity(32 << 20).flush_every_ms(None).open()?;
                let (blocks, state) = (db.open_tree("blocks")?, db.open_tree("state")?);
                db.flush()?;
                let file = File::open(dir.join("db"))?;
                (
                    1,
                    Disk::Sled {
                        db,
                        blocks,
                        in_tree: 0,
                        state,
                        file,
                        blobs: dir.join("blobs"),
                        known: Vec::new(),
                    },
                )
            }
            Case::Tape => {
                (1, Disk::Tape(Box::new(TapeWriter::create(&dir.join("t.tape"), metadata())?)))
            }
        };
        Ok(Self { case, zstd: zstd::bulk::Compressor::new(level)?, seq: 0, written: 0, disk })
    }

    pub(super) fn append(&mut self, events: &[&RawDocument]) -> Outcome<()> {
        if let Disk::Tape(writer) = &mut self.disk {
            let token = ResumeToken::from_raw(&rawdoc! {"_data": "82".repeat(50)});
            writer.append(&Batch { events, token: &token, arrival: Arrival::default() })?;
            return Ok(());
        }
        let blocks = self.encode(events)?;
        self.written += blocks.iter().map(Vec::len).sum::<usize>();
        let checkpoint: &[u8] = &[7; 130];
        match (&mut self.disk, self.case) {
            (Disk::File(file), _) => {
                blocks.iter().try_for_each(|block| file.write_all(block))?;
                file.sync_data()?;
            }
            (
                Disk::Sled { db, blocks: tree, in_tree, state, file, blobs, known },
                Case::Sled { trees, .. },
            ) => {
                if matches!(trees, Trees::Many) && *in_tree + blocks.len() > 9 {
                    *tree = db.open_tree(self.seq.to_be_bytes())?;
                    *in_tree = 0;
                }
                *in_tree += blocks.len();
                let keyed = (self.seq..).zip(&blocks);
                match trees {
                    Trees::One => {
                        let mut batch = sled::Batch::default();
                        keyed.for_each(|(n, block)| {
                            batch.insert(&n.to_be_bytes(), block.as_slice());
                        });
                        batch.insert(&[0xFF; 9], checkpoint);
                        tree.apply_batch(batch)?;
                    }
                    Trees::Two | Trees::Many => {
                        let keyed: Vec<_> = keyed.collect();
                        let transaction = (&*tree, &*state).transaction(|(tree, state)| {
                            for (n, block) in &keyed {
                                tree.insert(&n.to_be_bytes(), block.as_slice())?;
                            }
                            state.insert(b"checkpoint", checkpoint)?;
                            Ok::<_, sled::transaction::ConflictableTransactionError<()>>(())
                        });
                        transaction.map_err(|error| format!("{error:?}"))?;
                    }
                }
                sync_new(blobs, known)?;
                db.flush()?;
                file.sync_data()?;
            }
            _ => {}
        }
        self.seq += events.len() as u64;
        Ok(())
    }

    fn encode(&mut self, events: &[&RawDocument]) -> Outcome<Vec<Vec<u8>>> {
        let target = match self.case {
            Case::Encode { target, .. } | Case::File { target } | Case::Sled { target, .. } => {
                target
            }
            Case::Tape => 0,
        };
        let mut blocks = Vec::new();
        let mut body = Vec::new();
        for (event, left) in events.iter().zip((0..events.len()).rev()) {
            body.extend_from_slice(event.as_bytes());
            if body.len() >= target || left == 0 {
                let compressed = self.zstd.compress(&body)?;
                let mut block = HEADER.to_vec();
                block.extend_from_slice(&crc32fast::hash(&compressed).to_le_bytes());
                block.extend_from_slice(&compressed);
                blocks.push(block);
                body.clear();
            }
        }
        Ok(blocks)
    }

    pub(super) fn written(&self) -> usize {
        self.written
    }

    pub(super) fn blobs(&self) -> usize {
        match &self.disk {
            Disk::Sled { known, .. } => known.len(),
            _ => 0,
        }
    }
}

/// As the tape does it: each new file, then the directory.
fn sync_new(blobs: &Path, known: &mut Vec<u64>) -> Outcome<()> {
    let highest = known.last().copied();
    for entry in fs::read_dir(blobs)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().parse::<u64>()?;
        if highest.is_none_or(|highest| name > highest) {
            if let Ok(file) = File::open(entry.path()) {
                file.sync_data()?;
            }
            known.push(name);
        }
    }
    if known.last().copied() != highest {
        known.sort_unstable();
        File::open(blobs)?.sync_all()?;
    }
    Ok(())
}

pub(super) fn allocated(dir: &Path) -> Outcome<u64> {
    let mut total = 0;
    for entry in fs::read_dir(dir)? {
        let metadata = entry.as_ref().map_err(ToString::to_string)?.metadata()?;
        total +=
            if metadata.is_dir() { allocated(&entry?.path())? } else { metadata.blocks() * 512 };
    }
    Ok(total)
}
