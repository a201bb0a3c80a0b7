//! Writing a segment: blocks one by one, then what was counted of them.

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use changetape_core::{Arrival, ResumeToken, Seq};

use super::footer::LEN as FOOTER_LEN;
use super::{
    Entry, Footer, HEADER_LEN, Index, KindCounts, KindNumber, Kinds, Totals, encode_header,
};
use crate::block::{Block, Header, High, Times};
use crate::output::Output;
use crate::{Error, Gap, Metadata};

/// A segment that is being written, under a name that is not its own.
pub(crate) struct SegmentWriter {
    output: Output,
    first: Option<Seq>,
    end: Seq,
    index: Index,
    kinds: Kinds,
    raw_bytes: u64,
    times: Times,
    arrivals: Option<(Arrival, Arrival)>,
    token: Option<ResumeToken>,
}

impl SegmentWriter {
    /// Begins a segment in an empty file, behind what is on the tape already.
    pub(crate) fn new(file: File, path: &Path, high: High) -> Self {
        Self {
            output: Output::new(file, path),
            first: None,
            end: Seq::ZERO,
            index: Index::default(),
            kinds: Kinds::default(),
            raw_bytes: 0,
            times: Times::after(high),
            arrivals: None,
            token: None,
        }
    }

    /// Adds a block: its bytes, and the same decoded. It follows the one before.
    pub(crate) fn add(&mut self, bytes: &[u8], block: &Block) -> Result<(), Error> {
        let kinds = self.kinds.add(block);
        self.put(bytes, block.header(), kinds)
    }

    /// Adds a block of another segment: its bytes, its header, and how often it has which of the
    /// kinds that are listed there. It follows the one before.
    pub(crate) fn copy(
        &mut self,
        bytes: &[u8],
        header: &Header,
        (kinds, there): (&[(KindNumber, u32)], &KindCounts),
    ) -> Result<(), Error> {
        let kinds = self.kinds.add_counted(kinds, there);
        self.put(bytes, header, kinds)
    }

    fn put(
        &mut self,
        bytes: &[u8],
        header: &Header,
        kinds: Vec<(KindNumber, u32)>,
    ) -> Result<(), Error> {
        if self.first.is_none() {
            self.first = Some(header.first);
            self.output.add(&encode_header(header.first))?;
            debug_assert_eq!(self.output.position(), HEADER_LEN as u64);
        }
        let arrivals = header.arrivals();
        self.index.0.push(Entry {
            first: header.first,
            events: header.count,
            offset: self.output.position(),
            len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            raw_len: header.raw_len,
            times: header.times,
            arrivals,
            kinds,
        });
        self.end = header.end();
        self.raw_bytes += u64::from(header.raw_len);
        self.times.add(&header.times);
        self.arrivals = Some((self.arrivals.map_or(arrivals.0, |(first, _)| first), arrivals.1));
        self.token = Some(header.token.clone());
        self.output.add(bytes)
    }

    /// Writes what was counted, and makes the file durable under the name that it has; `None`
    /// if no block was added, and nothing is written then.
    pub(crate) fn finish(
        mut self,
        gaps: &[Gap],
        metadata: &Metadata,
    ) -> Result<Option<(Footer, Totals)>, Error> {
        let (Some(first), Some(arrivals), Some(token)) =
            (self.first, self.arrivals, self.token.take())
        else {
            return Ok(None);
        };
        let end = self.end;
        let totals = Totals {
            blocks: self.index.0.len() as u64,
            events: end.since(first),
            raw_bytes: self.raw_bytes,
            times: self.times,
            arrivals,
            token,
            kinds: std::mem::take(&mut self.kinds).finish(),
            gaps: gaps_of(gaps, first..end),
            metadata: metadata.clone(),
        };
        let encoded =
            totals.encode().ok_or_else(|| Error::does_not_fit("write", self.output.path()))?;
        let index = self.index.encode();
        let index_at = self.output.position();
        let totals_at = index_at + index.len() as u64;
        let footer = Footer {
            first,
            end,
            index_at,
            index_crc: crc32fast::hash(&index),
            totals_at,
            file_len: totals_at + (encoded.len() + FOOTER_LEN) as u64,
        };
        for part in [&index, &encoded, &footer.encode()] {
            self.output.add(part)?;
        }
        debug_assert_eq!(self.output.position(), footer.file_len);
        self.output.finish()?;
        Ok(Some((footer, totals)))
    }
}

/// The gaps before events of a range.
fn gaps_of(gaps: &[Gap], events: Range<Seq>) -> Vec<Gap> {
    gaps.iter().filter(|gap| events.contains(&gap.at)).cloned().collect()
}
