//! A catalog from the segments themselves, where it was lost: each says which events it holds,
//! and repeats the tape's metadata and its gaps.

use std::ffi::OsStr;
use std::path::Path;

use changetape_core::Seq;

use crate::catalog::{Catalog, Listed};
use crate::segment::{Segment, Totals};
use crate::{Edge, Error, Gap, GapCause, Metadata, layout};

/// The catalog of the segments that are there. Where segments overlap, as those that were just
/// merged do with the one they became, the longest counts; where events are missing between
/// them, there is a gap.
pub(crate) fn catalog(path: &Path) -> Result<Catalog, Error> {
    let mut found = segments(path)?;
    found.sort_by_key(|(listed, _)| (listed.first, std::cmp::Reverse(listed.end)));
    let mut catalog = Catalog::default();
    for (listed, totals) in found {
        if catalog.segments.is_empty() {
            catalog.next = listed.first;
        }
        if listed.first < catalog.next {
            continue;
        }
        catalog.add_gaps(&totals.gaps);
        if catalog.behind_gap(catalog.next) != listed.first {
            catalog.add_gaps(&[lost(catalog.next, listed.first)]);
        }
        catalog.next = listed.end;
        catalog.token = Some(totals.token);
        catalog.add_segment(listed, &totals.kinds);
    }
    catalog.gaps.sort_by_key(|gap| gap.at);
    Ok(catalog)
}

/// The metadata that a segment repeats, if one can be read.
pub(crate) fn metadata(path: &Path) -> Result<Option<Metadata>, Error> {
    Ok(segments(path)?.into_iter().next().map(|(_, totals)| totals.metadata))
}

/// A gap where events were on the tape and cannot be read.
pub(crate) fn lost(first: Seq, at: Seq) -> Gap {
    Gap {
        at,
        places: at.since(first),
        cause: GapCause::Damaged,
        before: Edge::default(),
        after: Edge::default(),
        noticed: bson::DateTime::now().into(),
    }
}

/// The segments whose footer and totals can be read.
fn segments(path: &Path) -> Result<Vec<(Listed, Totals)>, Error> {
    let mut found = Vec::new();
    for file in layout::unlisted(path, |_| false)? {
        if file.extension() != Some(OsStr::new(layout::SEALED)) {
            continue;
        }
        let read = Segment::open(&file).and_then(|segment| {
            let totals = segment.totals()?;
            Ok((Listed::new(segment.footer(), &totals), totals))
        });
        match read {
            Ok(read) => found.push(read),
            Err(Error::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}
