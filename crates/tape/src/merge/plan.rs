//! Which segments to merge: decided from their sizes and times, without touching a file.
//!
//! Every clean end of a recording seals what there is, however little, and a log is sealed long
//! before it is as large as a segment should be. So that a tape does not come to consist of
//! thousands of small files, neighbours are merged, as in a log-structured merge tree: several at
//! once, so that what comes of it is many times as large as the largest of them. Each event is
//! written anew only so often as sizes grow by that factor, however the recording is cut.

use std::ops::Range;
use std::time::Duration;

use crate::catalog::{Catalog, Listed};

/// A merged segment is at least so many times as large as the largest of its parts, unless it is as
/// good as full or cannot grow: eight of about one size make one. Fewer would have everything
/// written more often, more would leave more files.
const GROWTH: u64 = 7;

/// How large a segment may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// In bytes on disk.
    pub(crate) len: u64,
    /// How long after its first batch the last may have arrived; `None` if that is all the same.
    pub(crate) span: Option<Duration>,
}

/// Some neighbours, from one on, that should become one segment.
pub(crate) fn plan(catalog: &Catalog, from: usize, limits: Limits) -> Option<Range<usize>> {
    let segments = catalog.segments.as_slice();
    // The oldest first: those behind them come to lie in the order in which they fill up.
    (from..segments.len()).find_map(|start| {
        let len = worthwhile(segments.get(start..)?, limits)?;
        Some(start..start + len)
    })
}

/// How many of the first segments should become one; `None` if that would not pay.
fn worthwhile(segments: &[Listed], limits: Limits) -> Option<usize> {
    let arrived = segments.first()?.arrivals.0;
    let (mut total, mut largest, mut last) = (0, 0, None);
    let mut found = None;
    for (len, listed) in segments.iter().enumerate() {
        // Segments have no holes: where places are missing, one ends.
        let touches = last.is_none_or(|last| last == listed.first);
        let last_arrived = listed.arrivals.1.wall_nanos;
        let span = Duration::from_nanos(last_arrived.saturating_sub(arrived.wall_nanos));
        let is_long = limits.span.is_some_and(|longest| span > longest);
        if !touches || is_long || total + listed.len > limits.len {
            // It grows no further.
            return if len > 1 && total >= 2 * largest { Some(len) } else { found };
        }
        total += listed.len;
        largest = largest.max(listed.len);
        last = Some(listed.end);
        let is_full = total >= limits.len / 4 * 3;
        if total >= GROWTH * largest || (is_full && total >= 2 * largest) {
            found = Some(len + 1);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use changetape_core::{Arrival, Seq};

    use super::*;
    use crate::block::Times;

    fn catalog_of(lens: &[u64]) -> Catalog {
        let segment = |(n, &len): (usize, &u64)| Listed {
            first: Seq::new(n as u64),
            end: Seq::new(n as u64 + 1),
            len,
            raw_bytes: len * 5,
            blocks: 1,
            arrivals: Default::default(),
            times: Times::default(),
        };
        let segments: Vec<Listed> = lens.iter().enumerate().map(segment).collect();
        Catalog { next: Seq::new(lens.len() as u64), segments, ..Catalog::default() }
    }

    #[test]
    fn neighbours_are_merged_only_where_it_pays() {
        let limits = Limits { len: 100, span: None };
        let planned = |lens: &[u64]| plan(&catalog_of(lens), 0, limits);
        assert_eq!(planned(&[]), None);
        assert_eq!(planned(&[1]), None);
        assert_eq!(planned(&[10; 6]), None, "too few");
        assert_eq!(planned(&[10; 7]), Some(0..7));
        assert_eq!(planned(&[4, 5, 4, 4, 5, 4, 4, 5]), Some(0..8), "of about one size");
        assert_eq!(planned(&[9, 1, 1, 1, 1, 1, 1, 1]), Some(1..8), "without the large one");
        assert_eq!(planned(&[30, 30]), None, "more may come");
        assert_eq!(planned(&[30, 30, 30]), Some(0..3), "as good as full");
        assert_eq!(planned(&[30, 30, 50]), Some(0..2), "the third does not fit");
        assert_eq!(planned(&[80, 1, 1]), None, "too much to write for so little");
        assert_eq!(planned(&[51, 50]), None, "too large together");
        assert_eq!(planned(&[150]), None, "made when segments were allowed to be larger");
        let mut apart = catalog_of(&[10, 10, 10]);
        apart.segments[2].first = Seq::new(5);
        assert_eq!(plan(&apart, 0, limits), Some(0..2), "places are missing behind them");
        assert_eq!(plan(&apart, 1, limits), None, "only from a place on");
        apart.segments[1].first = Seq::new(4);
        assert_eq!(plan(&apart, 0, limits), None, "and between them");
    }

    #[test]
    fn what_is_merged_does_not_become_too_long_a_time() {
        let mut catalog = catalog_of(&[10; 9]);
        for (segment, n) in catalog.segments.iter_mut().zip(0..) {
            let at = |seconds: u64| Arrival {
                wall_nanos: seconds * 1_000_000_000,
                ..Arrival::default()
            };
            segment.arrivals = (at(n * 10), at(n * 10 + 10));
        }
        let planned = |seconds: u64| {
            let span = Some(Duration::from_secs(seconds));
            plan(&catalog, 0, Limits { len: 1000, span })
        };
        assert_eq!(planned(1000), Some(0..9), "no longer than it may be");
        assert_eq!(planned(40), Some(0..4), "the fifth is too late");
        assert_eq!(planned(39), Some(0..3));
        assert_eq!(planned(19), None, "each is alone");
    }

    #[test]
    fn however_a_recording_is_cut_there_are_few_segments_and_each_byte_is_written_seldom() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let limits = Limits { len: 10_000, span: None };
        for longest in [1, 10, 1000] {
            let (mut lens, mut written, mut total) = (Vec::new(), 0, 0);
            for _ in 0..20_000 {
                let len = random.u64(1..=longest);
                (total, written) = (total + len, written + len);
                lens.push(len);
                while let Some(range) = plan(&catalog_of(&lens), 0, limits) {
                    let merged: u64 = lens.drain(range).sum();
                    written += merged;
                    lens.push(merged);
                }
            }
            let fewest = total.div_ceil(10_000);
            assert!((lens.len() as u64) < 2 * fewest + 40, "{} segments", lens.len());
            assert!(written < 6 * total, "{written} bytes written for {total}");
        }
    }
}
