//! Small blocks to larger ones, when they are sealed.

use changetape_core::{ResumeToken, Seq};

use super::{Block, MAX_RUNS, Run, SEALED_RAW_LEN, Times};

/// Blocks that follow one another, about to become one.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(super) first: Seq,
    pub(super) end: Seq,
    pub(super) raw: Vec<u8>,
    pub(super) times: Times,
    pub(super) runs: Vec<Run>,
    pub(super) token: ResumeToken,
}

impl Merged {
    /// Begins with a block.
    pub(crate) fn of(block: Block) -> Self {
        let (first, end) = (block.first(), block.end());
        let Block { header, body, .. } = block;
        Self { first, end, raw: body, times: header.times, runs: header.runs, token: header.token }
    }

    /// Takes another block if it follows and there is room; hands it back otherwise.
    pub(crate) fn add(&mut self, block: Block) -> Option<Block> {
        let fits = block.first() == self.end
            && self.raw.len() + block.raw_bytes() <= SEALED_RAW_LEN
            && self.runs.len() + block.header.runs.len() <= MAX_RUNS;
        if !fits {
            return Some(block);
        }
        self.end = block.end();
        self.raw.extend_from_slice(&block.body);
        self.times.add(&block.header.times);
        for run in &block.header.runs {
            match self.runs.last_mut() {
                // A batch that was cut into blocks becomes one run again.
                Some(last) if last.arrival == run.arrival => last.events += run.events,
                _ => self.runs.push(*run),
            }
        }
        self.token = block.header.token;
        None
    }
}
