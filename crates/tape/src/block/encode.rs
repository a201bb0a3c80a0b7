//! Events to blocks.

use std::io;
use std::ops::Range;

use bson::raw::RawDocument;
use changetape_core::raw;
use changetape_core::{Arrival, ClusterTime, ResumeToken, Seq, WallTime};

use super::{Header, High, Run, TARGET_RAW_LEN};

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
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { zstd: zstd::bulk::Compressor::new(ZSTD_LEVEL)?, raw: Vec::new() })
    }

    /// The block's bytes, and the latest times on the tape after it. The caller keeps to
    /// the limits: [`split`] does.
    pub(crate) fn encode(&mut self, new: &NewBlock<'_>) -> io::Result<(Vec<u8>, High)> {
        self.raw.clear();
        let mut wall = Extent::default();
        let mut cluster = Extent::default();
        for event in new.events {
            self.raw.extend_from_slice(event.as_bytes());
            let (wall_time, cluster_time) = times(event);
            wall.add(wall_time);
            cluster.add(cluster_time);
        }
        let high = High { wall: wall.high(new.high.wall), cluster: cluster.high(new.high.cluster) };
        let body = self.zstd.compress(&self.raw)?;
        let count = stored(new.events.len())?;
        let header = Header {
            first: new.first,
            count,
            raw_len: stored(self.raw.len())?,
            body_len: stored(body.len())?,
            body_crc: crc32fast::hash(&body),
            wall: wall.0,
            cluster: cluster.0,
            high,
            runs: vec![Run { events: count, arrival: new.arrival }],
            token: new.token.clone(),
        };
        let mut block = Vec::with_capacity(header.block_len());
        header.encode_into(&mut block);
        block.extend_from_slice(&body);
        Ok((block, high))
    }
}

fn stored(n: usize) -> io::Result<u32> {
    u32::try_from(n).map_err(io::Error::other)
}

/// Cuts a batch into runs of about [`TARGET_RAW_LEN`] bytes. An event longer than that has
/// a run of its own.
pub(crate) fn split(events: &[&RawDocument]) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut start = 0;
    let mut len = 0;
    for (at, event) in events.iter().enumerate() {
        let event_len = event.as_bytes().len();
        if at > start && len + event_len > TARGET_RAW_LEN {
            runs.push(start..at);
            start = at;
            len = 0;
        }
        len += event_len;
    }
    if start < events.len() {
        runs.push(start..events.len());
    }
    runs
}

/// The earliest and latest of some times.
struct Extent<T>(Option<(T, T)>);

impl<T> Default for Extent<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Ord + Copy> Extent<T> {
    fn add(&mut self, time: Option<T>) {
        if let Some(time) = time {
            let (min, max) = self.0.unwrap_or((time, time));
            self.0 = Some((min.min(time), max.max(time)));
        }
    }

    /// The latest of these and of what came before.
    fn high(&self, before: Option<T>) -> Option<T> {
        self.0.map(|(_, max)| max).max(before)
    }
}

/// An event's times for the header: see the module's specification.
///
/// One walk over the event's fields, which stops at the second time found. An event that
/// cannot be walked is kept as it is, without times: what the server sent is not lost over
/// what we cannot read of it.
pub(crate) fn times(event: &RawDocument) -> (Option<WallTime>, Option<ClusterTime>) {
    const DATE: u8 = 0x09;
    const TIMESTAMP: u8 = 0x11;
    let mut wall = None;
    let mut cluster = None;
    let elements = raw::elements("event", event.as_bytes()).into_iter().flatten();
    for element in elements.map_while(Result::ok) {
        match (element.name, element.kind) {
            (b"wallTime", DATE) => {
                wall = element.value.try_into().ok().map(i64::from_le_bytes);
            }
            (b"clusterTime", TIMESTAMP) => {
                cluster = element.value.try_into().ok().map(u64::from_le_bytes);
            }
            _ => continue,
        }
        if wall.is_some() && cluster.is_some() {
            break;
        }
    }
    // A BSON timestamp has the counter in its lower half.
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    let cluster =
        cluster.map(|bits| ClusterTime { seconds: (bits >> 32) as u32, increment: bits as u32 });
    let wall = wall.map(WallTime::from_millis).or(cluster.map(ClusterTime::wall_time));
    (wall, cluster)
}
