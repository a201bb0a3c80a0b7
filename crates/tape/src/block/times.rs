//! The times of a run of events: earliest and latest in it, and the latest on the tape up to its
//! end, by each of the server's clocks.
//!
//! An event's wall time is its `wallTime`, or where it has none the second of its
//! `clusterTime`. Wall time runs backwards now and then; the latest up to some place only
//! grows, and is what a search by time halves by.
//!
//! Layout, little-endian; a time that is not known is 0, and a byte kept elsewhere says which
//! are known (bits 0 wall, 1 wall up to here, 2 cluster, 3 cluster up to here):
//! ```text
//! offset  size  field
//! 0       8     wall: earliest, milliseconds since the Unix epoch, signed
//! 8       8     wall: latest
//! 16      8     wall: latest up to here
//! 24      8     cluster: earliest, seconds in the upper half, counter in the lower
//! 32      8     cluster: latest
//! 40      8     cluster: latest up to here
//! ```

use bson::raw::{RawDocument, RawDocumentBuf};
use bson::spec::BinarySubtype;
use bson::{Binary, cstr};
use changetape_core::raw;
use changetape_core::{ClusterTime, WallTime};

use crate::bytes::u64_at;

const TIME_LEN: usize = 8;
/// Earliest, latest, latest up to here.
const CLOCK_LEN: usize = 3 * TIME_LEN;
const CLOCKS: usize = 2;

/// How long the layout is.
pub(crate) const TIMES_LEN: usize = CLOCKS * CLOCK_LEN;

const WALL_KNOWN: u8 = 1 << 0;
const WALL_HIGH_KNOWN: u8 = 1 << 1;
const CLUSTER_KNOWN: u8 = 1 << 2;
const CLUSTER_HIGH_KNOWN: u8 = 1 << 3;

/// The times of a run of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// Earliest and latest in the run.
    pub(crate) wall: Option<(WallTime, WallTime)>,
    /// Earliest and latest in the run.
    pub(crate) cluster: Option<(ClusterTime, ClusterTime)>,
    pub(crate) high: High,
}

/// The latest times on a tape up to some place: they only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct High {
    pub(crate) wall: Option<WallTime>,
    pub(crate) cluster: Option<ClusterTime>,
}

impl Times {
    /// Nothing yet, behind what came before.
    pub(crate) fn after(high: High) -> Self {
        Self { high, ..Self::default() }
    }

    /// One event more.
    pub(crate) fn add_event(&mut self, event: &RawDocument) {
        let (wall, cluster) = times(event);
        let high = High { wall, cluster };
        self.add(&Self { wall: wall.zip(wall), cluster: cluster.zip(cluster), high });
    }

    /// More events, which lie behind these.
    pub(crate) fn add(&mut self, other: &Self) {
        self.wall = extent(self.wall, other.wall);
        self.cluster = extent(self.cluster, other.cluster);
        self.high.wall = self.high.wall.max(other.high.wall);
        self.high.cluster = self.high.cluster.max(other.high.cluster);
    }

    /// The byte that says which times are known.
    pub(crate) fn known(&self) -> u8 {
        let bit = |known: bool, bit: u8| if known { bit } else { 0 };
        bit(self.wall.is_some(), WALL_KNOWN)
            | bit(self.high.wall.is_some(), WALL_HIGH_KNOWN)
            | bit(self.cluster.is_some(), CLUSTER_KNOWN)
            | bit(self.high.cluster.is_some(), CLUSTER_HIGH_KNOWN)
    }

    /// Adds the times to a document, as its fields `known` and `times`.
    pub(crate) fn append_to(&self, document: &mut RawDocumentBuf) {
        document.append(cstr!("known"), i32::from(self.known()));
        let mut bytes = Vec::with_capacity(TIMES_LEN);
        self.encode_into(&mut bytes);
        document.append(cstr!("times"), Binary { subtype: BinarySubtype::Generic, bytes });
    }

    /// Reads what [`append_to`](Self::append_to) added.
    pub(crate) fn from_document(document: &RawDocument) -> Option<Self> {
        let known = u8::try_from(document.get_i32("known").ok()?).ok()?;
        Self::decode(known, document.get_binary("times").ok()?.bytes, 0)
    }

    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) {
        let (wall_min, wall_max) = self.wall.unzip();
        for time in [wall_min, wall_max, self.high.wall] {
            out.extend_from_slice(&time.map_or(0, WallTime::as_millis).to_le_bytes());
        }
        let (cluster_min, cluster_max) = self.cluster.unzip();
        for time in [cluster_min, cluster_max, self.high.cluster] {
            out.extend_from_slice(&time.map_or(0, ClusterTime::to_bits).to_le_bytes());
        }
    }

    /// Reads the times at an offset; `None` if they contradict themselves.
    pub(crate) fn decode(known: u8, bytes: &[u8], at: usize) -> Option<Self> {
        let (wall, wall_high) =
            clock(known & WALL_KNOWN != 0, known & WALL_HIGH_KNOWN != 0, |i| {
                let bits = u64_at(bytes, at + TIME_LEN * i)?;
                Some(WallTime::from_millis(bits.cast_signed()))
            })?;
        let (cluster, cluster_high) =
            clock(known & CLUSTER_KNOWN != 0, known & CLUSTER_HIGH_KNOWN != 0, |i| {
                Some(ClusterTime::from_bits(u64_at(bytes, at + CLOCK_LEN + TIME_LEN * i)?))
            })?;
        Some(Self { wall, cluster, high: High { wall: wall_high, cluster: cluster_high } })
    }
}

type Clock<T> = (Option<(T, T)>, Option<T>);

/// Earliest and latest, then the latest up to here, which no run's latest exceeds.
fn clock<T: Ord + Copy>(
    known: bool,
    high_known: bool,
    field: impl Fn(usize) -> Option<T>,
) -> Option<Clock<T>> {
    let high = if high_known { Some(field(2)?) } else { None };
    let run = if known { Some((field(0)?, field(1)?)) } else { None };
    let sound = run.is_none_or(|(min, max)| min <= max && high.is_some_and(|high| max <= high));
    sound.then_some((run, high))
}

/// The earliest and latest of two runs.
fn extent<T: Ord + Copy>(a: Option<(T, T)>, b: Option<(T, T)>) -> Option<(T, T)> {
    match (a, b) {
        (Some((a_min, a_max)), Some((b_min, b_max))) => Some((a_min.min(b_min), a_max.max(b_max))),
        (a, b) => a.or(b),
    }
}

/// An event's times: see the module's specification.
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
    let cluster = cluster.map(ClusterTime::from_bits);
    let wall = wall.map(WallTime::from_millis).or(cluster.map(ClusterTime::wall_time));
    (wall, cluster)
}
