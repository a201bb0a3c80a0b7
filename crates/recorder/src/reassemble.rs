//! Events that arrived in fragments, whole again.
//!
//! A server that has `$changeStreamSplitLargeEvent` sends an event over 16 MB as fragments:
//! consecutive events, each with a resume token of its own, `splitEvent: {fragment: i, of: n}`
//! (`i` from 1) and some of the event's top-level fields. One reply may end between two of them.
//!
//! The whole event is the last fragment's `_id`, then the fields of all fragments in the order in
//! which they came, without `splitEvent`. The server deals the fields out by their size, so their
//! order is not that of an event that was sent in one piece.
//!
//! Invariant: the token that goes onto the tape never lies between two fragments. A recording
//! that is interrupted there goes on before the first, and the server sends all of them again.

use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf};
use changetape_core::{ChangeEvent, ResumeToken};

use crate::Error;
use crate::pipeline::LargeEvents;

/// An event may have at most as many bytes as a tape takes; more are not collected.
const MOST_BYTES: usize = 64 << 20;

/// What of a reply goes onto the tape.
#[derive(Debug, PartialEq)]
pub(crate) struct Selected {
    pub(crate) pieces: Vec<Piece>,
    /// Where the stream continues after them.
    pub(crate) token: ResumeToken,
}

/// One event.
#[derive(Debug, PartialEq)]
pub(crate) enum Piece {
    /// As it was sent: its place in the reply.
    Sent(usize),
    /// Put together from fragments.
    Whole(Box<RawDocumentBuf>),
}

impl Piece {
    /// The event, where `sent` is what the reply holds.
    pub(crate) fn of<'a>(&'a self, sent: &[&'a RawDocument]) -> Option<&'a RawDocument> {
        match self {
            Self::Sent(place) => sent.get(*place).copied(),
            Self::Whole(event) => Some(event),
        }
    }
}

/// Puts the fragments of a stream's events together.
#[derive(Debug)]
pub(crate) struct Reassembler {
    large_events: LargeEvents,
    /// The event whose fragments are arriving.
    part: Option<Part>,
}

#[derive(Debug)]
struct Part {
    /// The fields so far, without `_id`.
    fields: RawDocumentBuf,
    /// The fragment that must come next, and how many there are.
    next: i64,
    of: i64,
}

/// What one event of a reply turned out to be.
enum Taken {
    Sent,
    Fragment,
    Last(RawDocumentBuf),
}

impl Reassembler {
    /// For a stream that is opened now. In one whose events are not split, nothing is looked for:
    /// a field of that name is the user's own.
    pub(crate) fn new(large_events: LargeEvents) -> Self {
        Self { large_events, part: None }
    }

    /// The first `wanted` events of a reply, and the token after them: the reply's own if they
    /// are all it holds. `None` if it holds nothing but fragments of an event that goes on in the
    /// next reply; then there is nothing to write yet, not even a token.
    pub(crate) fn select(
        &mut self,
        sent: &[&RawDocument],
        token_of_reply: ResumeToken,
        wanted: u64,
    ) -> Result<Option<Selected>, Error> {
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let mut pieces = Vec::with_capacity(sent.len().min(wanted));
        let mut rest = sent.iter().enumerate();
        let mut last = None;
        while pieces.len() < wanted
            && let Some((place, event)) = rest.next()
        {
            match self.take(event)? {
                Taken::Sent => pieces.push(Piece::Sent(place)),
                Taken::Last(event) => pieces.push(Piece::Whole(Box::new(event))),
                Taken::Fragment => continue,
            }
            last = Some(*event);
        }
        let is_all = rest.next().is_none() && self.part.is_none();
        let token = match last {
            _ if is_all => token_of_reply,
            Some(last) => ChangeEvent::from(last).token()?,
            None => return Ok(None),
        };
        Ok(Some(Selected { pieces, token }))
    }

    fn take(&mut self, event: &RawDocument) -> Result<Taken, Error> {
        let found = match self.large_events {
            LargeEvents::Split => fragment(event)?,
            LargeEvents::Refused => None,
        };
        let mut part = match (self.part.take(), found) {
            (None, None) => return Ok(Taken::Sent),
            (None, Some((1, of))) => Part { fields: RawDocumentBuf::new(), next: 1, of },
            (Some(part), Some(found)) if found == (part.next, part.of) => part,
            (part, found) => return Err(out_of_order(part.as_ref(), found)),
        };
        for field in event {
            let (name, value) = field.map_err(|_| unreadable())?;
            if name.as_str() != "_id" && name.as_str() != "splitEvent" {
                part.fields.append(name, value);
            }
        }
        if part.fields.as_bytes().len() > MOST_BYTES {
            return Err(Error::BadFragment {
                expected: format!("no more than {MOST_BYTES} bytes"),
                found: describe(found),
            });
        }
        if part.next < part.of {
            part.next += 1;
            self.part = Some(part);
            return Ok(Taken::Fragment);
        }
        let mut whole = RawDocumentBuf::new();
        if let Some(token) = event.get("_id").map_err(|_| unreadable())? {
            whole.append(bson::cstr!("_id"), token);
        }
        for field in &part.fields {
            let (name, value) = field.map_err(|_| unreadable())?;
            whole.append(name, value);
        }
        Ok(Taken::Last(whole))
    }
}

/// Which fragment of how many an event is, if it is one.
fn fragment(event: &RawDocument) -> Result<Option<(i64, i64)>, Error> {
    let number = |split: &RawDocument, field| match split.get(field) {
        Ok(Some(RawBsonRef::Int32(number))) => Ok(number.into()),
        Ok(Some(RawBsonRef::Int64(number))) => Ok(number),
        _ => Err(Error::BadReply { missing: "the number of a fragment" }),
    };
    match event.get("splitEvent").map_err(|_| unreadable())? {
        Some(RawBsonRef::Document(split)) => {
            Ok(Some((number(split, "fragment")?, number(split, "of")?)))
        }
        Some(_) | None => Ok(None),
    }
}

fn unreadable() -> Error {
    Error::BadReply { missing: "a readable event" }
}

fn out_of_order(part: Option<&Part>, found: Option<(i64, i64)>) -> Error {
    let expected = match part {
        Some(part) => describe(Some((part.next, part.of))),
        None => "the first fragment".to_owned(),
    };
    Error::BadFragment { expected, found: describe(found) }
}

fn describe(fragment: Option<(i64, i64)>) -> String {
    match fragment {
        Some((number, of)) => format!("fragment {number} of {of}"),
        None => "an event that is none".to_owned(),
    }
}

#[cfg(test)]
mod tests;
