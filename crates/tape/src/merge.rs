//! Which segments to merge: decided from their sizes, without touching a file.
//!
//! Every clean end of a recording seals what there is, however little, and a log is sealed long
//! before it is as large as a segment should be. So that a tape does not come to consist of
//! thousands of small files, neighbours are merged, as in a log-structured merge tree: a segment
//! takes part only with one at least half as large behind it, so each event is written anew
//! only so often as sizes double, however the recording is cut.

use std::ops::Range;

use crate::catalog::{Catalog, Listed};

/// The two newest segments, if they should be one.
pub(crate) fn plan(catalog: &Catalog, segment_size: u64) -> Option<Range<usize>> {
    let len = catalog.segments.len();
    let [.., older, newer] = catalog.segments.as_slice() else { return None };
    // Segments have no holes: where places are missing, one ends.
    let touch = older.end == newer.first;
    (touch && worthwhile(older, newer) && older.len + newer.len <= segment_size)
        .then_some(len - 2..len)
}

fn worthwhile(older: &Listed, newer: &Listed) -> bool {
    older.len <= newer.len.saturating_mul(2)
}

#[cfg(test)]
mod tests {
    use changetape_core::Seq;

    use super::*;
    use crate::block::Times;

    fn catalog_of(lens: &[u64]) -> Catalog {
        let segment = |(n, &len): (usize, &u64)| Listed {
            first: Seq::new(n as u64),
            end: Seq::new(n as u64 + 1),
            len,
            raw_bytes: len * 5,
            arrived: 0,
            times: Times::default(),
        };
        let segments: Vec<Listed> = lens.iter().enumerate().map(segment).collect();
        Catalog { next: Seq::new(lens.len() as u64), segments, ..Catalog::default() }
    }

    #[test]
    fn neighbours_are_merged_only_where_it_pays() {
        assert_eq!(plan(&catalog_of(&[]), 100), None);
        assert_eq!(plan(&catalog_of(&[10]), 100), None);
        assert_eq!(plan(&catalog_of(&[10, 10]), 100), Some(0..2));
        assert_eq!(plan(&catalog_of(&[90, 20, 10]), 100), Some(1..3));
        assert_eq!(plan(&catalog_of(&[21, 10]), 100), None, "too much to write for so little");
        assert_eq!(plan(&catalog_of(&[50, 51]), 100), None, "too large together");
        let mut apart = catalog_of(&[10, 10]);
        apart.segments[1].first = Seq::new(5);
        assert_eq!(plan(&apart, 100), None, "places are missing between them");
    }

    #[test]
    fn however_a_recording_is_cut_there_are_few_segments_and_each_byte_is_written_seldom() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for longest in [1, 10, 1000] {
            let (mut lens, mut written, mut total) = (Vec::new(), 0, 0);
            for _ in 0..20_000 {
                let len = random.u64(1..=longest);
                (total, written) = (total + len, written + len);
                lens.push(len);
                while let Some(range) = plan(&catalog_of(&lens), 10_000) {
                    let merged: u64 = lens.drain(range).sum();
                    written += merged;
                    lens.push(merged);
                }
            }
            let fewest = total.div_ceil(10_000);
            assert!((lens.len() as u64) < 3 * fewest + 20, "{} segments", lens.len());
            assert!(written < 16 * total, "{written} bytes written for {total}");
        }
    }
}
