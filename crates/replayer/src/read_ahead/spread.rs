//! `Spreading`: events that lie at the same place, spread over the time that their clock does not divide.
//!
//! Pure: pages in, pages out.
//!
//! A wall time says in which millisecond something happened, and nothing of where in it. Left together,
//! the events of a millisecond would be a burst that there was not; so they are put at even distances
//! from its start on, though no further than to the next event's place. Those of a transaction count
//! as one: they became visible in one moment.
//!
//! How many there are is known when the next one comes that lies elsewhere. Until then they are held
//! back, up to a bound in bytes; of more than that, what is held is spread over half of the time that
//! is left, and what follows over the other half, or, if it lies elsewhere, behind the first half.

use std::mem;

use crate::page::{Item, Page, Transaction};
use crate::{Offset, Spread};

/// The most bytes that are held back. Some 7 000 ordinary events: of those of a millisecond there are
/// fewer, of those of a second (`--timeline cluster`) there may be more.
const LIMIT: usize = 4 * 1024 * 1024;

/// Spreads the events of pages.
#[derive(Debug)]
pub(super) struct Spreading {
    spread: Spread,
    limit: usize,
    /// The page in which the open group begins, and those behind it.
    held: Vec<Page>,
    group: Option<Group>,
    /// Where the next event lies at the earliest.
    earliest: Offset,
}

/// Events at the same place.
#[derive(Debug, Clone, Copy)]
struct Group {
    /// Where they were placed.
    placed: Offset,
    /// From where on they are spread, over how many nanoseconds at most.
    from: Offset,
    width: u64,
    /// Which event of the first page that is held is the first of them.
    begin: usize,
    /// How many leave apart from each other.
    units: u64,
    /// Whether the next event is of the transaction of the last one.
    continues: bool,
}

impl Spreading {
    pub(super) fn new(spread: Spread) -> Self {
        Self { spread, limit: LIMIT, held: Vec::new(), group: None, earliest: Offset::default() }
    }

    /// The pages that are ready once these have been added.
    pub(super) fn add(&mut self, pages: Vec<Page>) -> Vec<Page> {
        if self.spread == Spread::Burst {
            return pages;
        }
        let mut ready = Vec::new();
        for page in pages {
            self.add_page(page, &mut ready);
        }
        ready
    }

    /// What is held back, when no page follows.
    pub(super) fn end(&mut self) -> Vec<Page> {
        if let Some(group) = self.group.take() {
            self.spread(&group, group.width, usize::MAX);
        }
        mem::take(&mut self.held)
    }

    fn add_page(&mut self, page: Page, ready: &mut Vec<Page>) {
        self.held.push(page);
        let mut index = 0;
        while let Some(&item) = self.held.last().and_then(|page| page.items().get(index)) {
            match &mut self.group {
                Some(group) if group.placed == item.offset => {
                    group.units += u64::from(!group.continues);
                    group.continues = item.transaction == Transaction::Continues;
                }
                group => {
                    let next = Group::begin(&item, index, self.earliest);
                    if let Some(group) = group.replace(next) {
                        let width = group.width.min(item.offset.nanos_since(group.from));
                        self.spread(&group, width, index);
                    }
                    // All pages before this one are done with.
                    let last = self.held.pop();
                    ready.append(&mut self.held);
                    self.held.extend(last);
                }
            }
            index += 1;
        }
        if self.held.iter().map(Page::memory).sum::<usize>() > self.limit {
            self.spread_half(ready);
        }
    }

    /// Lets go of what is held of a group that is too large.
    fn spread_half(&mut self, ready: &mut Vec<Page>) {
        let Some(group) = self.group.filter(|group| !group.continues) else { return };
        let half = group.width / 2;
        self.spread(&group, half, usize::MAX);
        ready.append(&mut self.held);
        let (from, width) = (group.from.after_nanos(half), group.width - half);
        self.group = Some(Group { from, width, begin: 0, units: 0, ..group });
        self.earliest = from;
    }

    /// Spreads the events of a group, of which the last page that is held has those before `end`.
    fn spread(&mut self, group: &Group, width: u64, end: usize) {
        let (mut unit, mut continues) = (0, false);
        let last = self.held.len().saturating_sub(1);
        for (at, page) in self.held.iter_mut().enumerate() {
            let begin = if at == 0 { group.begin } else { 0 };
            let end = if at == last { end } else { usize::MAX };
            for item in page.items_mut().iter_mut().take(end).skip(begin) {
                unit += u64::from(!continues);
                continues = item.transaction == Transaction::Continues;
                item.offset = group.from.after_nanos(part(width, unit - 1, group.units));
            }
        }
    }
}

impl Group {
    /// With the first event, which is at `begin` on its page.
    fn begin(first: &Item, begin: usize, earliest: Offset) -> Self {
        let (placed, from) = (first.offset, first.offset.max(earliest));
        let width = placed.after_nanos(first.resolution.into()).nanos_since(from);
        let continues = first.transaction == Transaction::Continues;
        Self { placed, from, width, begin, units: 1, continues }
    }
}

/// So many of `units` equal parts of a width, rounded down.
fn part(width: u64, parts: u64, units: u64) -> u64 {
    let part = u128::from(width) * u128::from(parts) / u128::from(units.max(1));
    u64::try_from(part).unwrap_or(width)
}

#[cfg(test)]
mod tests;
