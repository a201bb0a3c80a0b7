//! `catalog`: which segments a tape consists of, and what else is known of its sealed part.
//!
//! Replaced whole whenever a segment is sealed, merged or dropped; whoever reads a tape reads it
//! first. A segment counts if it is listed here and not before, and what is listed is durable.
//! What lies in `log/` from the last segment's end on is the live end, and not sealed yet.
//!
//! What segments hold is counted here too, so that what is on a tape is told without opening them,
//! however many there are.
//!
//! A frame (see `frame`, magic "CTCG") around a BSON document:
//!
//! | field | type | |
//! | --- | --- | --- |
//! | `segments` | array of documents | in order; see below |
//! | `next` | 64-bit integer | one past the last sealed event |
//! | `token` | document | where the recording continues after it; absent before the first seal |
//! | `kinds`, `others` | see `kinds` | events of all segments |
//! | `gaps` | array of documents | each with `at`, `places`, `cause`, `before`, `after`, `noticed` |
//! | `dropped` | document | what retention took away; absent if nothing |
//!
//! | field of a segment | type | |
//! | --- | --- | --- |
//! | `first`, `end` | 64-bit integers | its events; they make up its name |
//! | `len` | 64-bit integer | of the file |
//! | `blocks`, `bytes`, `arrivals`, `known`, `times` | | as in its totals |
//!
//! | field of `dropped` | type | |
//! | --- | --- | --- |
//! | `end` | 64-bit integer | one past the last event that was dropped |
//! | `events`, `segments`, `bytes` | 64-bit integers | how many, and their size on disk |
//! | `arrived` | date | when the last of them had arrived |
//! | `at` | date | when this was last added to |

use std::io;
use std::ops::Range;
use std::path::Path;

use bson::cstr;
use bson::raw::{RawArrayBuf, RawDocument, RawDocumentBuf};
use changetape_core::{Arrival, ResumeToken, Seq, WallTime};

use crate::block::{High, Times};
use crate::frame::{self, Magic, documents};
use crate::segment::{Footer, KindCounts, Segment, Totals, append_arrivals, arrivals_from};
use crate::{Checkpoint, Damage, Error, Gap, disk, gap, layout};

pub(crate) const MAGIC: Magic = *b"CTCG";

/// The sealed part of a tape.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Catalog {
    /// In order.
    pub(crate) segments: Vec<Listed>,
    /// One past the last sealed event.
    pub(crate) next: Seq,
    /// Where the recording continues after it; `None` before the first seal.
    pub(crate) token: Option<ResumeToken>,
    /// Events of all segments.
    pub(crate) kinds: KindCounts,
    /// In order.
    pub(crate) gaps: Vec<Gap>,
    pub(crate) dropped: Option<Dropped>,
}

/// A segment as the catalog lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) first: Seq,
    pub(crate) end: Seq,
    /// How long the file is.
    pub(crate) len: u64,
    /// The events' bytes, uncompressed.
    pub(crate) raw_bytes: u64,
    pub(crate) blocks: u64,
    /// When its first and its last batch arrived.
    pub(crate) arrivals: (Arrival, Arrival),
    pub(crate) times: Times,
}

/// What retention took away from the beginning of a tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped {
    /// One past the last event that was dropped.
    pub end: Seq,
    /// How many events.
    pub events: u64,
    /// How many segments.
    pub segments: u64,
    /// What they took on disk.
    pub bytes: u64,
    /// When the last of them had arrived.
    pub arrived: WallTime,
    /// When this was last added to.
    pub at: WallTime,
}

impl Listed {
    pub(crate) fn new(footer: &Footer, totals: &Totals) -> Self {
        Self {
            first: footer.first,
            end: footer.end,
            len: footer.file_len,
            raw_bytes: totals.raw_bytes,
            blocks: totals.blocks,
            arrivals: totals.arrivals,
            times: totals.times,
        }
    }

    /// A segment of which nothing is known but its name.
    pub(crate) fn by_name(events: Range<Seq>) -> Self {
        Self {
            first: events.start,
            end: events.end,
            len: 0,
            raw_bytes: 0,
            blocks: 0,
            arrivals: <(Arrival, Arrival)>::default(),
            times: Times::default(),
        }
    }

    pub(crate) fn events(&self) -> Range<Seq> {
        self.first..self.end
    }

    /// Opens the segment; `None` if there is no such file.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it is not what was written, or not what is listed.
    pub(crate) fn open(&self, tape: &Path) -> Result<Option<Segment>, Error> {
        let segment = match Segment::open(&layout::segment(tape, &self.events())) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            // Its own parts do not tell which events it should hold.
            Err(Error::Damaged { path, damage }) if damage.events.is_none() => {
                return Err(Error::damaged(&path, Damage::of(damage.what, Some(self.events()))));
            }
            opened => opened?,
        };
        if (segment.events(), segment.footer().file_len) != (self.events(), self.len) {
            return Err(segment.damaged("it is not the one in the catalog", self.events()));
        }
        Ok(Some(segment))
    }

    /// Whether there is such a file, as far as that is seen without opening it.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it is not as long as is listed.
    pub(crate) fn is_there(&self, tape: &Path) -> Result<bool, Error> {
        let path = layout::segment(tape, &self.events());
        match std::fs::metadata(&path) {
            Ok(found) if found.len() == self.len => Ok(true),
            Ok(found) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let (found, listed) = (found.len(), self.len);
                let what =
                    format!("{}/{name}: it has {found} bytes and not {listed}", layout::SEGMENTS);
                Err(Error::damaged(tape, Damage::of(what, Some(self.events()))))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("open", &path)(error)),
        }
    }

    /// Opens the segment, which is there.
    ///
    /// # Errors
    /// [`Error::Damaged`] also if it is missing.
    pub(crate) fn open_existing(&self, tape: &Path) -> Result<Segment, Error> {
        self.open(tape)?.ok_or_else(|| self.missing(tape))
    }

    /// The error for a segment that is not there.
    pub(crate) fn missing(&self, tape: &Path) -> Error {
        let segment = layout::segment(tape, &self.events());
        let name = segment.file_name().unwrap_or_default().to_string_lossy();
        let what = format!("{}/{name} is missing", layout::SEGMENTS);
        Error::damaged(tape, Damage::of(what, Some(self.events())))
    }

    fn to_document(&self) -> RawDocumentBuf {
        let mut document = RawDocumentBuf::new();
        document.append(cstr!("first"), self.first.get().cast_signed());
        document.append(cstr!("end"), self.end.get().cast_signed());
        document.append(cstr!("len"), self.len.cast_signed());
        document.append(cstr!("bytes"), self.raw_bytes.cast_signed());
        document.append(cstr!("blocks"), self.blocks.cast_signed());
        append_arrivals(self.arrivals, &mut document);
        self.times.append_to(&mut document);
        document
    }

    fn from_document(document: &RawDocument) -> Option<Self> {
        let number = |name: &str| document.get_i64(name).ok().map(i64::cast_unsigned);
        let listed = Self {
            first: Seq::new(number("first")?),
            end: Seq::new(number("end")?),
            len: number("len")?,
            raw_bytes: number("bytes")?,
            blocks: number("blocks")?,
            arrivals: arrivals_from(document)?,
            times: Times::from_document(document)?,
        };
        (listed.blocks <= listed.end.since(listed.first)).then_some(listed)
    }
}

impl Dropped {
    fn to_document(self) -> RawDocumentBuf {
        let mut document = RawDocumentBuf::new();
        document.append(cstr!("end"), self.end.get().cast_signed());
        document.append(cstr!("events"), self.events.cast_signed());
        document.append(cstr!("segments"), self.segments.cast_signed());
        document.append(cstr!("bytes"), self.bytes.cast_signed());
        document.append(cstr!("arrived"), bson::DateTime::from(self.arrived));
        document.append(cstr!("at"), bson::DateTime::from(self.at));
        document
    }

    fn from_document(document: &RawDocument) -> Option<Self> {
        let number = |name: &str| document.get_i64(name).ok().map(i64::cast_unsigned);
        Some(Self {
            end: Seq::new(number("end")?),
            events: number("events")?,
            segments: number("segments")?,
            bytes: number("bytes")?,
            arrived: document.get_datetime("arrived").ok()?.into(),
            at: document.get_datetime("at").ok()?.into(),
        })
    }
}

impl Catalog {
    /// The first event that is still there, or would be.
    pub(crate) fn start(&self) -> Seq {
        self.segments.first().map_or(self.next, |first| first.first)
    }

    /// Where the recording continues after the last sealed event.
    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        Some(Checkpoint { token: self.token.clone()?, next: self.next })
    }

    /// The latest times up to the last sealed event.
    pub(crate) fn high(&self) -> High {
        self.segments.last().map(|last| last.times.high).unwrap_or_default()
    }

    /// Which segment holds an event, or comes behind it.
    pub(crate) fn position(&self, seq: Seq) -> usize {
        self.segments.partition_point(|listed| listed.end <= seq)
    }

    /// What the sealed part takes on disk.
    pub(crate) fn disk_len(&self) -> u64 {
        self.segments.iter().map(|listed| listed.len).sum()
    }

    /// Adds a segment behind the others, and what it holds.
    pub(crate) fn add_segment(&mut self, listed: Listed, kinds: &KindCounts) {
        self.segments.push(listed);
        self.kinds.add(kinds);
    }

    /// The catalog with segments `range` replaced by one that holds the same.
    pub(crate) fn replaced(&self, range: Range<usize>, by: Listed) -> Self {
        let mut catalog = self.clone();
        catalog.segments.splice(range, [by]);
        catalog
    }

    /// Adds gaps that are behind those it has; one that a killed process had added is not added
    /// again.
    pub(crate) fn add_gaps(&mut self, gaps: &[Gap]) {
        for gap in gaps {
            if !self.gaps.contains(gap) {
                self.gaps.push(gap.clone());
            }
        }
    }

    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let mut document = RawDocumentBuf::new();
        let mut segments = RawArrayBuf::new();
        self.segments.iter().for_each(|listed| segments.push(listed.to_document()));
        document.append(cstr!("segments"), segments);
        document.append(cstr!("next"), self.next.get().cast_signed());
        if let Some(token) = &self.token {
            document.append(cstr!("token"), token.to_raw().ok()?);
        }
        self.kinds.append_to(&mut document);
        document.append(cstr!("gaps"), gap::to_array(&self.gaps)?);
        if let Some(dropped) = self.dropped {
            document.append(cstr!("dropped"), dropped.to_document());
        }
        frame::encode(MAGIC, &document)
    }

    /// `None` if the bytes are not a catalog whole and unchanged, or what it lists does not
    /// follow one another.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let document = frame::decode(MAGIC, bytes)?;
        let optional = |name: &str| document.get_document(name).ok();
        let catalog = Self {
            segments: documents(document, "segments", Listed::from_document)?,
            next: Seq::new(document.get_i64("next").ok()?.cast_unsigned()),
            token: optional("token").map(ResumeToken::from_raw),
            kinds: KindCounts::from_document(document)?,
            gaps: documents(document, "gaps", Gap::from_document)?,
            dropped: match optional("dropped") {
                Some(dropped) => Some(Dropped::from_document(dropped)?),
                None => None,
            },
        };
        (catalog.is_in_order() && catalog.can_be_summed()).then_some(catalog)
    }

    /// Whether what is counted of all segments together can be counted.
    fn can_be_summed(&self) -> bool {
        let fits = |of: fn(&Listed) -> u64| {
            self.segments.iter().try_fold(0, |sum: u64, listed| sum.checked_add(of(listed)))
        };
        fits(|listed| listed.len).is_some() && fits(|listed| listed.raw_bytes).is_some()
    }

    /// Whether each segment begins where the one before ends, or behind a gap of as many places.
    fn is_in_order(&self) -> bool {
        let mut next = self.start();
        for listed in &self.segments {
            if listed.first >= listed.end || self.behind_gap(next) != listed.first {
                return false;
            }
            next = listed.end;
        }
        self.behind_gap(next) == self.next
    }

    /// The place of the event that follows one at `seq - 1`: `seq`, or further where places are
    /// known to hold nothing.
    pub(crate) fn behind_gap(&self, seq: Seq) -> Seq {
        behind_gap(&self.gaps, seq)
    }
}

/// The place of the event that is next at `seq`, where a gap may have taken places.
pub(crate) fn behind_gap(gaps: &[Gap], mut seq: Seq) -> Seq {
    // One gap may follow another.
    while let Some(gap) = gaps.iter().find(|gap| gap.places > 0 && gap.first() == seq) {
        seq = gap.at;
    }
    seq
}

/// Reads a tape's catalog.
pub(crate) fn read(tape: &Path) -> Result<Catalog, Error> {
    let bytes = disk::read_small(&tape.join(layout::CATALOG), frame::MAX_LEN as u64)?;
    bytes.as_deref().and_then(Catalog::decode).ok_or_else(|| {
        let what = "catalog is missing or not what was written".to_owned();
        Error::damaged(tape, Damage::of(what, None))
    })
}

/// Puts a tape's catalog in place, durably.
pub(crate) fn write(tape: &Path, catalog: &Catalog) -> Result<(), Error> {
    let path = tape.join(layout::CATALOG);
    let bytes = catalog.encode().ok_or_else(|| Error::does_not_fit("write", &path))?;
    disk::replace(&path, &bytes)
}

/// How long a tape's catalog is on disk, in bytes.
pub(crate) fn len(tape: &Path) -> Result<u64, Error> {
    let path = tape.join(layout::CATALOG);
    Ok(std::fs::metadata(&path).map_err(Error::io("read", &path))?.len())
}

#[cfg(test)]
mod tests;
