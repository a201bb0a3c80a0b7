//! Events to blocks.

use std::io;
use std::ops::Range;

use bson::raw::RawDocument;
use changetape_core::{Arrival, ResumeToken, Seq};

use super::merge::Merged;
use super::{Header, High, Run, TARGET_RAW_LEN, Times};

/// zstd's fastest proper level; see `docs/decisions/0001-…` for what the others cost.
const ZSTD_LEVEL: i32 = 1;

/// What a block is made of.
pub(crate) struct NewBlock<'a> {
    pub(crate) first: Seq,
    pub(crate) events: &'a [&'a RawDocument],
    pub(crate) arrival: Arrival,
    pub(crate) token: &'a ResumeToken,
    /// The latest times on the tape before it.
    pub(crate) high: High,
}

/// Makes blocks; keeps what zstd allocates.
pub(crate) struct BlockEncoder {
    zstd: zstd::bulk::Compressor<'static>,
    raw: Vec<u8>,
}

impl BlockEncoder {
    /// An encoder.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { zstd: zstd::bulk::Compressor::new(ZSTD_LEVEL)?, raw: Vec::new() })
    }

    /// The block's bytes, and the latest times on the tape after it. The caller keeps to
    /// the limits: [`split`] does.
    pub(crate) fn encode(&mut self, new: &NewBlock<'_>) -> io::Result<(Vec<u8>, High)> {
        self.raw.clear();
        let mut times = Times::after(new.high);
        for event in new.events {
            self.raw.extend_from_slice(event.as_bytes());
            times.add_event(event);
        }
        let runs = vec![Run { events: stored(new.events.len())?, arrival: new.arrival }];
        let block = self.finish(new.first, times, runs, new.token)?;
        Ok((block, times.high))
    }

    /// One block of several that follow one another. The caller keeps to the limits:
    /// [`Merged`] does.
    pub(crate) fn encode_merged(&mut self, merged: &Merged) -> io::Result<Vec<u8>> {
        self.raw.clear();
        self.raw.extend_from_slice(&merged.raw);
        self.finish(merged.first, merged.times, merged.runs.clone(), &merged.token)
    }

    /// The block whose body is `raw`.
    fn finish(
        &mut self,
        first: Seq,
        times: Times,
        runs: Vec<Run>,
        token: &ResumeToken,
    ) -> io::Result<Vec<u8>> {
        let body = self.zstd.compress(&self.raw)?;
        let header = Header {
            first,
            count: runs.iter().map(|run| run.events).sum(),
            raw_len: stored(self.raw.len())?,
            body_len: stored(body.len())?,
            body_crc: crc32fast::hash(&body),
            times,
            runs,
            token: token.clone(),
        };
        let mut block = Vec::with_capacity(header.block_len());
        header.encode_into(&mut block);
        block.extend_from_slice(&body);
        Ok(block)
    }
}

fn stored(n: usize) -> io::Result<u32> {
    u32::try_from(n).map_err(io::Error::other)
}

/// Cuts a batch into runs of at most [`TARGET_RAW_LEN`] bytes, and of about equal length: a short
/// rest would have to be merged when it is sealed. An event longer than that has a run of its own.
pub(crate) fn split(events: &[&RawDocument]) -> Vec<Range<usize>> {
    // How much of what is left goes into the next run.
    let share = |left: usize| left / left.div_ceil(TARGET_RAW_LEN).max(1);
    let mut left: usize = events.iter().map(|event| event.as_bytes().len()).sum();
    let mut goal = share(left);
    let mut runs = Vec::new();
    let mut start = 0;
    let mut len = 0;
    for (at, event) in events.iter().enumerate() {
        let event_len = event.as_bytes().len();
        if at > start && (len >= goal || len + event_len > TARGET_RAW_LEN) {
            runs.push(start..at);
            left -= len;
            goal = share(left);
            (start, len) = (at, 0);
        }
        len += event_len;
    }
    if start < events.len() {
        runs.push(start..events.len());
    }
    runs
}
