//! `Gap`: events that are known to be missing, and why.
//!
//! A gap lies between two events, at the place of the one behind it. It is durable before what is
//! behind it is written: events are never there without it. And it counts only with blocks behind
//! it, or with the checkpoint from which the recording goes on: so it is noticed once, however
//! often the process is killed over it.

use std::fmt;

use bson::raw::{RawArrayBuf, RawDocument, RawDocumentBuf};
use bson::{Timestamp, cstr};
use changetape_core::{ClusterTime, ResumeToken, Seq, WallTime};

use crate::frame::{self, Magic};

/// What a gap in the log begins with.
pub(crate) const MAGIC: Magic = *b"CTGP";

/// Events that are known to be missing from a tape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The place of the first event behind the gap.
    pub at: Seq,
    /// How many places before `at` hold nothing, where events that had been recorded were lost;
    /// 0 where they never were, and nobody knows how many there were.
    pub places: u64,
    /// Why they are missing.
    pub cause: GapCause,
    /// The last that is known before the gap.
    pub before: Edge,
    /// The first that is known behind it.
    pub after: Edge,
    /// When it was noticed.
    pub noticed: WallTime,
}

/// Why events are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapCause {
    /// The source's oplog no longer reached back to where the recording should have gone on.
    HistoryLost,
    /// An event was larger than the source could send.
    EventTooLarge,
    /// Whoever runs the recording had it begin elsewhere.
    Reset,
    /// They were on the tape, and the tape was damaged.
    Damaged,
}

/// One side of a gap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    /// The stream's token there.
    pub token: Option<ResumeToken>,
    /// The cluster time there.
    pub time: Option<ClusterTime>,
}

impl GapCause {
    const ALL: [Self; 4] = [Self::HistoryLost, Self::EventTooLarge, Self::Reset, Self::Damaged];

    /// A word for programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HistoryLost => "historyLost",
            Self::EventTooLarge => "eventTooLarge",
            Self::Reset => "reset",
            Self::Damaged => "damaged",
        }
    }
}

impl fmt::Display for GapCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HistoryLost => "the oplog no longer reached back",
            Self::EventTooLarge => "an event too large for the source to send",
            Self::Reset => "the recording was told to begin elsewhere",
            Self::Damaged => "the tape was damaged",
        })
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.places > 0 {
            let (first, last) = (self.first(), Seq::new(self.at.get().saturating_sub(1)));
            write!(f, "{first} to {last} missing")?;
        } else {
            write!(f, "before {}", self.at)?;
        }
        write!(f, ": {}", self.cause)?;
        if let (Some(before), Some(after)) = (self.before.time, self.after.time) {
            let (before, after) = (before.wall_time(), after.wall_time());
            write!(f, ", between {before} and {after}")?;
        }
        Ok(())
    }
}

impl Edge {
    /// The edge at a token, with its time as far as the token shows it.
    #[must_use]
    pub fn at(token: ResumeToken) -> Self {
        Self { time: token.cluster_time(), token: Some(token) }
    }

    fn to_document(&self) -> Option<RawDocumentBuf> {
        let mut document = RawDocumentBuf::new();
        if let Some(token) = &self.token {
            document.append(cstr!("token"), token.to_raw().ok()?);
        }
        if let Some(time) = self.time {
            document.append(cstr!("time"), Timestamp::from(time));
        }
        Some(document)
    }

    fn from_document(document: &RawDocument) -> Self {
        Self {
            token: document.get_document("token").ok().map(ResumeToken::from_raw),
            time: document.get_timestamp("time").ok().map(Into::into),
        }
    }
}

impl Gap {
    /// The first place that holds nothing, or `at`.
    pub(crate) fn first(&self) -> Seq {
        Seq::new(self.at.get().saturating_sub(self.places))
    }

    /// The gap as a document; `None` if a token is not one, which never happens.
    pub(crate) fn to_document(&self) -> Option<RawDocumentBuf> {
        let mut document = RawDocumentBuf::new();
        document.append(cstr!("at"), self.at.get().cast_signed());
        document.append(cstr!("places"), self.places.cast_signed());
        document.append(cstr!("cause"), self.cause.as_str());
        document.append(cstr!("before"), self.before.to_document()?);
        document.append(cstr!("after"), self.after.to_document()?);
        document.append(cstr!("noticed"), bson::DateTime::from(self.noticed));
        Some(document)
    }

    pub(crate) fn from_document(document: &RawDocument) -> Option<Self> {
        let number = |name: &str| document.get_i64(name).ok().map(i64::cast_unsigned);
        let cause = document.get_str("cause").ok()?;
        let edge = |name: &str| document.get_document(name).ok().map(Edge::from_document);
        let gap = Self {
            at: Seq::new(number("at")?),
            places: number("places")?,
            cause: GapCause::ALL.into_iter().find(|known| known.as_str() == cause)?,
            before: edge("before")?,
            after: edge("after")?,
            noticed: document.get_datetime("noticed").ok()?.into(),
        };
        (gap.places <= gap.at.get()).then_some(gap)
    }

    /// The gap as the log keeps it, with the number of the append that it is part of.
    pub(crate) fn encode(&self, ordinal: u64) -> Option<Vec<u8>> {
        let mut document = self.to_document()?;
        document.append(cstr!("append"), ordinal.cast_signed());
        frame::encode(MAGIC, &document)
    }

    /// Reads what [`encode`](Self::encode) made.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(u64, Self)> {
        let document = frame::decode(MAGIC, bytes)?;
        let ordinal = document.get_i64("append").ok()?.cast_unsigned();
        Some((ordinal, Self::from_document(document)?))
    }
}

/// Gaps as an array of documents; `None` if a token is not one, which never happens.
pub(crate) fn to_array(gaps: &[Gap]) -> Option<RawArrayBuf> {
    let mut array = RawArrayBuf::new();
    for gap in gaps {
        array.push(gap.to_document()?);
    }
    Some(array)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn what_is_written_is_what_is_read() {
        for (cause, places) in GapCause::ALL.into_iter().zip([0, 0, 0, 12]) {
            let gap = Gap { places, cause, ..samples::gap(40) };
            let bytes = gap.encode(7).unwrap();
            assert_eq!(Gap::decode(&bytes), Some((7, gap.clone())));
            assert_eq!(gap.first(), Seq::new(40 - places));
        }
        let bare = Gap { before: Edge::default(), after: Edge::default(), ..samples::gap(40) };
        assert_eq!(Gap::decode(&bare.encode(0).unwrap()), Some((0, bare)));
    }

    #[test]
    fn people_read_what_is_missing_and_why() {
        let gap = samples::gap(40);
        assert_eq!(
            gap.to_string(),
            "before #40: the oplog no longer reached back, between 1970-01-01T00:00:04Z and \
             1970-01-01T00:00:10Z"
        );
        let gap = Gap { cause: GapCause::Damaged, places: 5, before: Edge::default(), ..gap };
        assert_eq!(gap.to_string(), "#35 to #39 missing: the tape was damaged");
    }
}
