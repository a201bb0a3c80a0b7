//! How much of a tape is kept: decided from the catalog, without touching a file.
//!
//! Only whole segments go, the oldest first, and never the newest: with it goes where the
//! recording continues, and the live end is behind it. So that no more is kept than was asked for
//! but for a small part, segments are kept small against what is kept: see [`Retain::limits`].

use std::time::Duration;

use changetape_core::WallTime;

use crate::catalog::{Catalog, Dropped, Listed};
use crate::merge::Limits;
use crate::segment::KindCounts;

/// A segment is at most one part in so many of what is kept.
const PARTS: u32 = 8;

/// Smaller segments would be mostly what surrounds their blocks.
const LEAST_LEN: u64 = 1 << 20;

/// Shorter ones would have the recorder make little else than logs.
const LEAST_SPAN: Duration = Duration::from_secs(10);

/// How much of a tape is kept; what is `None` drops nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retain {
    /// Segments go whose last event arrived longer ago than this.
    pub age: Option<Duration>,
    /// Segments go as long as the sealed part takes more bytes on disk than this.
    pub bytes: Option<u64>,
}

impl Retain {
    /// How large segments become of which so much is kept, and that become so large otherwise.
    pub(crate) fn limits(self, segment_size: u64) -> Limits {
        let len = self.bytes.map(|bytes| (bytes / u64::from(PARTS)).max(LEAST_LEN));
        let span = self.age.map(|age| (age / PARTS).max(LEAST_SPAN));
        Limits { len: len.map_or(segment_size, |len| len.min(segment_size)), span }
    }
}

/// How many segments to drop from the beginning.
pub(crate) fn plan(catalog: &Catalog, retain: Retain, now: WallTime) -> usize {
    let mut left = catalog.disk_len();
    let oldest = retain.age.map(|age| now_nanos(now).saturating_sub(age.as_nanos()));
    let all_but_newest = catalog.segments.len().saturating_sub(1);
    let candidates = catalog.segments.iter().take(all_but_newest);
    let going = candidates.take_while(|listed| {
        let old = oldest.is_some_and(|oldest| u128::from(last_arrived(listed)) < oldest);
        let much = retain.bytes.is_some_and(|most| left > most);
        left -= listed.len;
        old || much
    });
    going.count()
}

/// When the last batch of a segment arrived, nanoseconds since the Unix epoch.
fn last_arrived(listed: &Listed) -> u64 {
    listed.arrivals.1.wall_nanos
}

fn now_nanos(now: WallTime) -> u128 {
    u128::try_from(now.as_millis()).unwrap_or(0) * 1_000_000
}

/// The catalog without its first segments, which it says were dropped. `held` is what they held.
pub(crate) fn drop_first(
    catalog: &Catalog,
    count: usize,
    held: &KindCounts,
    now: WallTime,
) -> Catalog {
    let mut catalog = catalog.clone();
    catalog.kinds.subtract(held);
    let mut gone = catalog.dropped.unwrap_or(Dropped {
        end: catalog.start(),
        events: 0,
        segments: 0,
        bytes: 0,
        arrived: now,
        at: now,
    });
    for listed in catalog.segments.drain(..count) {
        gone.end = listed.end;
        gone.events += listed.end.since(listed.first);
        gone.segments += 1;
        gone.bytes += listed.len;
        let millis = i64::try_from(last_arrived(&listed) / 1_000_000).unwrap_or(i64::MAX);
        gone.arrived = WallTime::from_millis(millis);
        gone.at = now;
    }
    let start = catalog.start();
    // A gap at the new start has nothing before it any more.
    catalog.gaps.retain(|gap| gap.at > start);
    catalog.dropped = Some(gone);
    catalog
}

#[cfg(test)]
mod tests {
    use changetape_core::{Arrival, Seq};

    use super::*;
    use crate::block::Times;
    use crate::samples;

    fn arrived(seconds: u64) -> Arrival {
        Arrival { wall_nanos: seconds * 1_000_000_000, ..Arrival::default() }
    }

    fn catalog() -> Catalog {
        let segment = |n: u64| Listed {
            first: Seq::new(n * 10),
            end: Seq::new(n * 10 + 10),
            len: 100,
            raw_bytes: 500,
            blocks: 1,
            arrivals: (Arrival::default(), arrived(n * 10)),
            times: Times::default(),
        };
        Catalog {
            segments: (1..=4).map(segment).collect(),
            kinds: KindCounts { others: 40, ..KindCounts::default() },
            next: Seq::new(50),
            gaps: vec![samples::gap(20), samples::gap(30), samples::gap(31)],
            ..Catalog::default()
        }
    }

    #[test]
    fn the_oldest_go_and_never_the_newest() {
        let at = |seconds: i64| WallTime::from_millis(seconds * 1000);
        let dropped = |age: Option<u64>, bytes: Option<u64>| {
            let retain = Retain { age: age.map(Duration::from_secs), bytes };
            plan(&catalog(), retain, at(40))
        };
        assert_eq!(dropped(None, None), 0);
        assert_eq!(dropped(Some(30), None), 0, "exactly as old is kept");
        assert_eq!(dropped(Some(29), None), 1);
        assert_eq!(dropped(Some(1), None), 3);
        assert_eq!(dropped(None, Some(400)), 0);
        assert_eq!(dropped(None, Some(399)), 1);
        assert_eq!(dropped(None, Some(200)), 2);
        assert_eq!(dropped(None, Some(0)), 3);
        assert_eq!(dropped(Some(15), Some(399)), 2);
        assert_eq!(plan(&Catalog::default(), Retain { age: None, bytes: Some(0) }, at(0)), 0);
    }

    #[test]
    fn segments_are_small_against_what_is_kept() {
        let limits = |age: Option<u64>, bytes: Option<u64>| {
            let limits = Retain { age: age.map(Duration::from_secs), bytes }.limits(256 << 20);
            (limits.len, limits.span.map(|span| span.as_secs()))
        };
        assert_eq!(limits(None, None), (256 << 20, None));
        assert_eq!(limits(Some(800), Some(50 << 30)), (256 << 20, Some(100)));
        assert_eq!(limits(None, Some(80 << 20)), (10 << 20, None));
        assert_eq!(limits(Some(8), Some(100)), (1 << 20, Some(10)), "but not without bound");
        let small = Retain { age: None, bytes: Some(100) }.limits(500);
        assert_eq!(small.len, 500, "what was asked for is never exceeded");
    }

    #[test]
    fn what_is_dropped_is_written_down() {
        let now = WallTime::from_millis(99_000);
        let held = KindCounts { others: 10, ..KindCounts::default() };
        let once = drop_first(&catalog(), 1, &held, now);
        assert_eq!(once.kinds.total(), Some(30));
        let dropped = once.dropped.unwrap();
        assert_eq!((dropped.end, dropped.events, dropped.segments), (Seq::new(20), 10, 1));
        assert_eq!((dropped.bytes, dropped.arrived), (100, WallTime::from_millis(10_000)));
        assert_eq!(once.gaps.len(), 2, "the gap at the beginning is none any more");
        let twice = drop_first(&once, 1, &held, now).dropped.unwrap();
        assert_eq!((twice.end, twice.events, twice.segments), (Seq::new(30), 20, 2));
    }
}
