//! The header of a block: read without the body by whoever seeks.

use changetape_core::{Arrival, ResumeToken, Seq};

use super::times::{TIMES_LEN, Times};
use super::{
    BlockError, MAX_EVENTS, MAX_RAW_LEN, MAX_RUNS, MAX_TOKEN_LEN, MIN_EVENT_LEN, Run, max_body_len,
};
use crate::bytes::{len_at, u16_at, u32_at, u64_at};

pub(crate) const MAGIC: [u8; 4] = *b"CTBK";
pub(crate) const VERSION: u16 = 1;
pub(crate) const CODEC_ZSTD: u8 = 1;

// Offsets derive from one another.
const AT_VERSION: usize = MAGIC.len();
const AT_CODEC: usize = AT_VERSION + 2;
const AT_KNOWN: usize = AT_CODEC + 1;
pub(crate) const AT_HEADER_LEN: usize = AT_KNOWN + 1;
const AT_BODY_LEN: usize = AT_HEADER_LEN + 4;
const AT_RAW_LEN: usize = AT_BODY_LEN + 4;
const AT_COUNT: usize = AT_RAW_LEN + 4;
const AT_FIRST: usize = AT_COUNT + 4;
const AT_TIMES: usize = AT_FIRST + 8;
const AT_BODY_CRC: usize = AT_TIMES + TIMES_LEN;
const AT_RUNS: usize = AT_BODY_CRC + 4;
const AT_TOKEN_LEN: usize = AT_RUNS + 4;
/// Where the runs start, and so how long the fixed part is.
pub(crate) const FIXED_LEN: usize = AT_TOKEN_LEN + 4;
const RUN_LEN: usize = 4 + 8 + 8;
const CHECKSUM_LEN: usize = 4;
pub(super) const MAX_LEN: usize = FIXED_LEN + MAX_RUNS * RUN_LEN + MAX_TOKEN_LEN + CHECKSUM_LEN;

/// The fixed part as the document tells it: offset, size.
#[cfg(test)]
pub(crate) const FIELDS: &[(usize, usize)] = &[
    (0, MAGIC.len()),
    (AT_VERSION, 2),
    (AT_CODEC, 1),
    (AT_KNOWN, 1),
    (AT_HEADER_LEN, 4),
    (AT_BODY_LEN, 4),
    (AT_RAW_LEN, 4),
    (AT_COUNT, 4),
    (AT_FIRST, 8),
    (AT_TIMES, 8),
    (AT_TIMES + 8, 8),
    (AT_TIMES + 16, 8),
    (AT_TIMES + 24, 8),
    (AT_TIMES + 32, 8),
    (AT_TIMES + 40, 8),
    (AT_BODY_CRC, 4),
    (AT_RUNS, 4),
    (AT_TOKEN_LEN, 4),
];

/// Everything about a block but its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) first: Seq,
    pub(crate) count: u32,
    pub(crate) raw_len: u32,
    pub(crate) body_len: u32,
    pub(crate) body_crc: u32,
    pub(crate) times: Times,
    pub(crate) runs: Vec<Run>,
    pub(crate) token: ResumeToken,
}

impl Header {
    pub(crate) fn end(&self) -> Seq {
        self.first + u64::from(self.count)
    }

    /// When its first and its last batch arrived.
    pub(crate) fn arrivals(&self) -> (Arrival, Arrival) {
        let arrival = |run: Option<&Run>| run.map_or(Arrival::default(), |run| run.arrival);
        (arrival(self.runs.first()), arrival(self.runs.last()))
    }

    /// How long the header is in bytes.
    pub(crate) fn len(&self) -> usize {
        header_len(self.runs.len(), self.token.as_bytes().len())
    }

    /// How long header and body are in bytes.
    pub(crate) fn block_len(&self) -> usize {
        self.len().saturating_add(usize::try_from(self.body_len).unwrap_or(usize::MAX))
    }

    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let stored = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.push(CODEC_ZSTD);
        out.push(self.times.known());
        out.extend_from_slice(&stored(self.len()));
        out.extend_from_slice(&self.body_len.to_le_bytes());
        out.extend_from_slice(&self.raw_len.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.first.get().to_le_bytes());
        self.times.encode_into(out);
        out.extend_from_slice(&self.body_crc.to_le_bytes());
        out.extend_from_slice(&stored(self.runs.len()));
        out.extend_from_slice(&stored(self.token.as_bytes().len()));
        for run in &self.runs {
            out.extend_from_slice(&run.events.to_le_bytes());
            out.extend_from_slice(&run.arrival.wall_nanos.to_le_bytes());
            out.extend_from_slice(&run.arrival.monotonic_nanos.to_le_bytes());
        }
        out.extend_from_slice(self.token.as_bytes());
        let checksum = crc32fast::hash(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&checksum.to_le_bytes());
    }

    /// How long the header at the start of `bytes` says it is, if it begins like one.
    pub(crate) fn stated_len(bytes: &[u8]) -> Option<usize> {
        let len = len_at(bytes, AT_HEADER_LEN)?;
        (bytes.starts_with(&MAGIC) && (header_len(0, 0)..=MAX_LEN).contains(&len)).then_some(len)
    }

    /// Reads and checks the header at the start of `bytes`; what follows is not looked at.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BlockError> {
        let stated =
            Self::stated_len(bytes).ok_or(BlockError::Malformed("no block begins here"))?;
        let header = bytes.get(..stated).ok_or(BlockError::Malformed("the header is cut off"))?;
        let (checked, stored) = header.split_at(stated - CHECKSUM_LEN);
        let expected = u32_at(stored, 0).unwrap_or_default();
        let found = crc32fast::hash(checked);
        if found != expected {
            return Err(BlockError::HeaderChecksum { expected, found });
        }
        // Only now: a flipped bit in the version is damage, not a newer block.
        let version = u16_at(checked, AT_VERSION).unwrap_or_default();
        if version > VERSION {
            return Err(BlockError::TooNew { found: version });
        }
        Self::parse(checked, stated).ok_or(BlockError::Malformed("the header contradicts itself"))
    }

    fn parse(bytes: &[u8], stated: usize) -> Option<Self> {
        let codec = *bytes.get(AT_CODEC)?;
        let known = *bytes.get(AT_KNOWN)?;
        let token_len = len_at(bytes, AT_TOKEN_LEN)?;
        let run_count = len_at(bytes, AT_RUNS)?;
        let count = u32_at(bytes, AT_COUNT)?;
        let raw_len = len_at(bytes, AT_RAW_LEN)?;
        let body_len = len_at(bytes, AT_BODY_LEN)?;
        let events = usize::try_from(count).ok()?;
        let sound = u16_at(bytes, AT_VERSION)? == VERSION
            && codec == CODEC_ZSTD
            && (1..=MAX_EVENTS).contains(&events)
            && raw_len <= MAX_RAW_LEN
            && events.checked_mul(MIN_EVENT_LEN)? <= raw_len
            && body_len <= max_body_len(raw_len)
            && (1..=MAX_RUNS.min(events)).contains(&run_count)
            && token_len <= MAX_TOKEN_LEN
            && header_len(run_count, token_len) == stated;
        if !sound {
            return None;
        }
        let first = Seq::new(u64_at(bytes, AT_FIRST)?);
        first.get().checked_add(u64::from(count))?;
        let runs_end = FIXED_LEN + run_count * RUN_LEN;
        let runs = parse_runs(bytes.get(FIXED_LEN..runs_end)?, count)?;
        let token = ResumeToken::from_bytes(bytes.get(runs_end..)?).ok()?;
        Some(Self {
            first,
            count,
            raw_len: u32::try_from(raw_len).ok()?,
            body_len: u32::try_from(body_len).ok()?,
            body_crc: u32_at(bytes, AT_BODY_CRC)?,
            times: Times::decode(known, bytes, AT_TIMES)?,
            runs,
            token,
        })
    }
}

const fn header_len(runs: usize, token_len: usize) -> usize {
    FIXED_LEN + runs * RUN_LEN + token_len + CHECKSUM_LEN
}

fn parse_runs(bytes: &[u8], count: u32) -> Option<Vec<Run>> {
    let mut total: u32 = 0;
    let mut runs = Vec::with_capacity(bytes.len() / RUN_LEN);
    for run in bytes.chunks_exact(RUN_LEN) {
        let events = u32_at(run, 0)?;
        total = total.checked_add(events)?;
        let arrival = Arrival { wall_nanos: u64_at(run, 4)?, monotonic_nanos: u64_at(run, 12)? };
        runs.push(Run { events, arrival });
    }
    let sound = total == count && runs.iter().all(|run| run.events > 0);
    sound.then_some(runs)
}
