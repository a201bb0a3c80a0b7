//! `Blocks`: reading a tape from some place on, without what is not sought.

use changetape_core::{Namespace, OperationType, Seq};

use super::TapeReader;
use crate::block::{Block, Decoder};
use crate::opening::damaged;
use crate::segment::{Index, KindNumber, Segment};
use crate::{Error, Gap};

/// Decides from what an event is about whether it is sought: its namespace and its operation
/// type, where it has them.
pub type Keep<'a> = dyn Fn(Option<&Namespace>, Option<&OperationType>) -> bool + 'a;

/// The blocks of a tape in order, each decoded and checked; ends after the first error.
///
/// Blocks follow one another without a hole, but for gaps, up to the tape's end. While the tape is
/// recorded in this process more follow after a `None`: [`TapeReader::wait_for`] tells when.
pub struct Blocks<'a> {
    reader: &'a TapeReader,
    /// The first event that was not read or skipped.
    next: Seq,
    /// Where reading began.
    from: Seq,
    /// Where it ends.
    until: Seq,
    /// As far as gaps have been told.
    told: Seq,
    keep: Option<Box<Keep<'a>>>,
    decoder: Option<Decoder>,
    segment: Option<Open>,
    /// Whether a block has been handed out.
    begun: bool,
    done: bool,
}

/// The segment that is being read.
struct Open {
    segment: Segment,
    index: Index,
    /// The next block.
    at: usize,
    /// Which kinds of event are sought, by number; empty if all are.
    kept: Vec<bool>,
}

impl Open {
    /// Whether a block can hold an event that is sought.
    fn keeps(&self, kinds: &[(KindNumber, u32)]) -> bool {
        let kept =
            |(kind, _): &(KindNumber, u32)| self.kept.get(kind.0 as usize).copied().unwrap_or(true);
        self.kept.is_empty() || kinds.iter().any(kept)
    }
}

impl std::fmt::Debug for Blocks<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocks").field("next", &self.next).finish_non_exhaustive()
    }
}

impl<'a> Blocks<'a> {
    pub(super) fn new(reader: &'a TapeReader, next: Seq) -> Self {
        let (keep, decoder, segment) = (None, None, None);
        let (from, told, until) = (next, next, Seq::new(u64::MAX));
        Self { reader, next, from, until, told, keep, decoder, segment, begun: false, done: false }
    }

    /// Ends before a place; the last block may reach beyond it. What lies there is not looked for.
    #[must_use]
    pub fn until(mut self, end: Seq) -> Self {
        self.until = end;
        self
    }

    /// Leaves out blocks that hold no event for which `keep` says so; those that remain may hold
    /// others too. What is left out is neither read nor decompressed.
    #[must_use]
    pub fn keeping(
        mut self,
        keep: impl Fn(Option<&Namespace>, Option<&OperationType>) -> bool + 'a,
    ) -> Self {
        self.keep = Some(Box::new(keep));
        self
    }

    /// One past the last event that was read or left out.
    #[must_use]
    pub fn position(&self) -> Seq {
        self.next
    }

    /// The gaps that lie between where reading began and [`position`](Self::position), each told
    /// once. Who follows a recording asks after each block, before anything is done with it: one
    /// may have come since [`TapeReader::gaps`] was asked. A gap that retention has dropped by then
    /// is not told.
    #[must_use]
    pub fn crossed(&mut self) -> Vec<Gap> {
        let (from, told) = (self.from, self.told);
        self.told = self.next;
        let crossed = |gap: &Gap| {
            // What is on both sides of it counts, and its own places do.
            gap.at > from && (told..self.next).contains(&gap.first().max(from))
        };
        self.reader.gaps().into_iter().filter(crossed).collect()
    }

    fn read(&mut self) -> Result<Option<Block>, Error> {
        let path = &self.reader.path;
        let mut decoder = match self.decoder.take() {
            Some(decoder) => decoder,
            None => Decoder::new().map_err(Error::io("read", path))?,
        };
        loop {
            if self.next >= self.reader.end().min(self.until) {
                return Ok(None);
            }
            if let Some(open) = &mut self.segment
                && let Some(entry) = open.index.0.get(open.at)
            {
                open.at += 1;
                let at = self.next;
                self.next = entry.end();
                let entry = entry.clone();
                if !open.keeps(&entry.kinds) {
                    continue;
                }
                let block = open.segment.block(&entry, &mut decoder)?;
                self.decoder = Some(decoder);
                return Ok(Some(self.once(block, at)));
            }
            self.segment = self.open()?;
            if self.segment.is_some() {
                continue;
            }
            // Between the two looks it may have been sealed.
            match self.reader.live_block(self.next, &mut decoder)? {
                Some(block) if (block.first()..block.end()).contains(&self.next) => {
                    let at = self.next;
                    self.next = block.end();
                    self.decoder = Some(decoder);
                    return Ok(Some(self.once(block, at)));
                }
                Some(_) | None if self.next < self.reader.catalog().next => {
                    // Or it is one of the places of a gap at the end of what is sealed.
                    let catalog = self.reader.catalog();
                    if catalog.position(self.next) == catalog.segments.len() {
                        self.next = catalog.next;
                    }
                }
                Some(_) | None => {
                    let what = format!("{} is neither sealed nor in the live end", self.next);
                    return Err(damaged(path, &what, Some(self.next..self.reader.end())));
                }
            }
        }
    }

    /// A block without what was handed out before: small ones may have been merged since.
    fn once(&mut self, block: Block, at: Seq) -> Block {
        let begun = std::mem::replace(&mut self.begun, true);
        if begun { block.starting_at(at) } else { block }
    }

    /// Opens the segment that holds what comes next; `None` if it is not sealed.
    fn open(&mut self) -> Result<Option<Open>, Error> {
        let Some(segment) = self.reader.segment_at(self.next)? else { return Ok(None) };
        self.next = self.next.max(segment.footer().first);
        let index = segment.index()?;
        let kept = match &self.keep {
            None => Vec::new(),
            Some(keep) => segment
                .totals()?
                .kinds
                .list
                .iter()
                .map(|(kind, _)| keep(kind.namespace.as_ref(), kind.operation.as_ref()))
                .collect(),
        };
        let at = index.position(self.next);
        Ok(Some(Open { segment, index, at, kept }))
    }
}

impl Iterator for Blocks<'_> {
    type Item = Result<Block, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let read = self.read().transpose();
        self.done = matches!(read, Some(Err(_)));
        read
    }
}
