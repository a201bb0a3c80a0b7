//! A catalog from the segments themselves, where it was lost: each says which events it holds,
//! and repeats the tape's metadata and its gaps.

use std::ffi::OsStr;
use std::ops::Range;
use std::path::Path;

use changetape_core::Seq;

use crate::catalog::{Catalog, Listed};
use crate::salvage::Salvage;
use crate::segment::{Segment, Totals};
use crate::{Damage, Edge, Error, Gap, GapCause, Metadata, layout};

/// A catalog that was made anew.
pub(crate) struct Rebuilt {
    pub(crate) catalog: Catalog,
    /// Those of its gaps that no segment tells of.
    pub(crate) noted: Vec<Gap>,
}

impl Rebuilt {
    /// What is wrong besides the catalog: events that no segment holds.
    pub(crate) fn damages(&self) -> impl Iterator<Item = Damage> {
        self.noted.iter().filter(|gap| gap.places > 0).map(|gap| {
            let what = format!("no segment holds the events before {}", gap.at);
            Damage::of(what, Some(gap.first()..gap.at))
        })
    }
}

/// The catalog of the segments that are there. Where segments overlap, as those that were just
/// merged do with the one they became, the longest counts; where events are missing between
/// them, there is a gap. One that does not say what it holds any more counts for what its name
/// says: what can be kept of it, and of those that it covers, is found when it is repaired.
pub(crate) fn catalog(path: &Path) -> Result<Rebuilt, Error> {
    let Segments { sound, damaged } = Segments::of(path)?;
    let sound = sound.into_iter().map(|(listed, totals)| (listed, Ok(totals)));
    let damaged =
        damaged.into_iter().map(|(events, salvage)| (Listed::by_name(events), Err(salvage)));
    let mut all: Vec<(Listed, Result<Totals, Salvage>)> = sound.chain(damaged).collect();
    all.sort_by_key(|(listed, _)| (listed.first, std::cmp::Reverse(listed.end)));
    let mut found: Vec<(Listed, Result<Totals, Salvage>)> = Vec::new();
    for (listed, told) in all {
        if found.last().is_none_or(|(before, _)| before.end <= listed.first) {
            found.push((listed, told));
        }
    }
    let next = found.first().map_or(Seq::ZERO, |(listed, _)| listed.first);
    let mut catalog = Catalog { next, ..Catalog::default() };
    let mut noted = Vec::new();
    for (listed, told) in found {
        let totals = told.as_ref().map_or_else(Salvage::totals, Some);
        match totals {
            Some(totals) => catalog.add_gaps(&totals.gaps),
            // Whether there was one in it, nobody knows any more.
            None => noted.push(lost(listed.first, listed.first)),
        }
        if catalog.behind_gap(catalog.next) != listed.first {
            noted.push(lost(catalog.next, listed.first));
        }
        catalog.next = listed.end;
        let behind = |salvage: &Salvage| Some(salvage.checkpoint_at(listed.end)?.token);
        catalog.token = match totals {
            Some(totals) => Some(totals.token.clone()),
            None => told.as_ref().err().and_then(behind),
        };
        catalog.add_segment(listed, &told.map(|totals| totals.kinds).unwrap_or_default());
    }
    catalog.add_gaps(&noted);
    catalog.gaps.sort_by_key(|gap| gap.at);
    Ok(Rebuilt { catalog, noted })
}

/// The metadata that a segment repeats, if one can be read.
pub(crate) fn metadata(path: &Path) -> Result<Option<Metadata>, Error> {
    let Segments { sound, damaged } = Segments::of(path)?;
    let sound = sound.iter().map(|(_, totals)| totals);
    let told = sound.chain(damaged.iter().filter_map(|(_, salvage)| salvage.totals()));
    Ok(told.map(|totals| totals.metadata.clone()).next())
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

/// The segments that are there.
#[derive(Default)]
struct Segments {
    /// Those whose footer and totals can be read.
    sound: Vec<(Listed, Totals)>,
    /// What the others hold by their names, and what is found in them.
    damaged: Vec<(Range<Seq>, Salvage)>,
}

impl Segments {
    fn of(path: &Path) -> Result<Self, Error> {
        let mut segments = Self::default();
        for file in layout::unlisted(path, |_| false)? {
            if file.extension() != Some(OsStr::new(layout::SEALED)) {
                continue;
            }
            let read = Segment::open(&file).and_then(|segment| {
                let totals = segment.totals()?;
                Ok((Listed::new(segment.footer(), &totals), totals))
            });
            match read {
                Ok(read) => segments.sound.push(read),
                Err(Error::Damaged { .. }) => {
                    let Some(events) = layout::events_of(&file) else { continue };
                    segments.damaged.push((events, Salvage::of_file(&file)?));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(segments)
    }
}
