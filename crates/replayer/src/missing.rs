//! What a replay does where events are missing: at gaps, and where the tape is damaged.
//!
//! A replay that went on in silence would leave a target in a state that never was. So both
//! have to be asked for, and both are told in the summary.

use std::ops::Range;

use changetape_core::Seq;
use changetape_tape::{Gap, TapeReader};

use crate::Error;

/// What to do where events are missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Missing {
    /// At a gap.
    pub gaps: AtGap,
    /// Where the tape is damaged.
    pub damage: AtDamage,
}

/// What to do at a gap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AtGap {
    /// Not begin.
    #[default]
    Refuse,
    /// Go on behind it.
    Cross,
}

/// What to do where the tape is damaged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AtDamage {
    /// End there.
    #[default]
    Stop,
    /// Go on behind it.
    Skip,
}

impl Missing {
    /// The gaps that playing a range crosses, behind a base if there is one.
    ///
    /// # Errors
    /// [`Error::Gap`] if there is one and it is not to be crossed.
    pub(crate) fn crossed(
        self,
        tape: &TapeReader,
        has_base: bool,
        range: &Range<Seq>,
    ) -> Result<Vec<Gap>, Error> {
        // Between a base and the first event is a place, too.
        let is_behind_base = |gap: &Gap| has_base && gap.at == range.start;
        let is_crossed =
            |gap: &Gap| is_crossed(gap, range) || (is_behind_base(gap) && gap.at < range.end);
        let crossed: Vec<Gap> = tape.gaps().into_iter().filter(is_crossed).collect();
        match crossed.first() {
            Some(first) if self.gaps == AtGap::Refuse => {
                Err(Error::Gap { gap: Box::new(first.clone()), gaps: crossed.len() })
            }
            _ => Ok(crossed),
        }
    }

    /// The events to leave out after an error, if they are known and that was asked for.
    pub(crate) fn skips(self, error: &changetape_tape::Error) -> Option<Range<Seq>> {
        match error {
            changetape_tape::Error::Damaged { damage, .. } if self.damage == AtDamage::Skip => {
                damage.events.clone().filter(|events| !events.is_empty())
            }
            _ => None,
        }
    }
}

/// Whether there are events of the range on both sides of a gap, or it has taken some of it.
fn is_crossed(gap: &Gap, range: &Range<Seq>) -> bool {
    let first = gap.at.get().saturating_sub(gap.places);
    range.start < gap.at && (gap.at < range.end || first < range.end.get())
}

#[cfg(test)]
mod tests {
    use changetape_core::WallTime;
    use changetape_tape::{Edge, GapCause};

    use super::*;

    #[test]
    fn a_gap_is_crossed_where_events_lie_on_both_sides_of_it_or_in_it() {
        let gap = |at, places| Gap {
            at: Seq::new(at),
            places,
            cause: GapCause::HistoryLost,
            before: Edge::default(),
            after: Edge::default(),
            noticed: WallTime::from_millis(0),
        };
        let crossed = |gap: &Gap, start, end| is_crossed(gap, &(Seq::new(start)..Seq::new(end)));
        let plain = gap(10, 0);
        assert!(crossed(&plain, 9, 11));
        assert!(!crossed(&plain, 10, 20) && !crossed(&plain, 0, 10) && !crossed(&plain, 0, 5));
        let wide = gap(10, 4);
        assert!(crossed(&wide, 0, 20) && crossed(&wide, 7, 8) && crossed(&wide, 0, 7));
        assert!(!crossed(&wide, 0, 6) && !crossed(&wide, 10, 20));
    }
}
