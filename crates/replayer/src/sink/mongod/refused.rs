//! Events that the target refuses, and what is done about them.
//!
//! | [`OnError`] | what is done |
//! | --- | --- |
//! | `Stop` | the replay ends with the event, the target's answer and what can be done |
//! | `Skip` | the event is left out, counted and listed; the replay goes on behind it |
//! | `Ask` | somebody sees the event and the answer, and says |
//!
//! Only what the target refuses can be left out: it has understood the event, and has said no. A
//! target that is away and an event that cannot be read end a replay whatever is chosen.
//!
//! A command of several events that is refused as a whole does not say which of them is at fault: the
//! first of them is tried again by itself. After a refusal a command has one event, and after each
//! that is taken the next has twice as many, so that what is refused in rows is not sent in rows.

use std::fmt;

use changetape_core::{Namespace, OperationType, Seq};
use changetape_deployment::Refusal;

use super::target::Trouble;
use super::{Halt, MongodSink, Subject};
use crate::Stop;
use crate::summary::Tally;

/// What is done about an event that the target refuses.
#[derive(Debug, Default)]
pub enum OnError {
    /// The replay ends there.
    #[default]
    Stop,
    /// The event is left out.
    Skip,
    /// Somebody is asked.
    Ask(Box<dyn Ask>),
}

/// Who is asked about an event that the target refuses.
pub trait Ask: fmt::Debug + Send {
    /// Asks. Returns soon once a stop is requested; what it returns does not matter then.
    fn ask(&mut self, refused: &RefusedEvent, stop: &Stop) -> Answer;
}

/// What is to be done about an event that the target refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The replay ends there.
    Stop,
    /// It is left out.
    Skip,
    /// It is left out, and so is whatever else is refused; nobody is asked again.
    SkipAll,
    /// It is tried again: what was in its way may be mended.
    Retry,
}

/// An event that the target refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedEvent {
    /// The event.
    pub seq: Seq,
    /// Its operation.
    pub operation: OperationType,
    /// Where it was to be applied.
    pub namespace: Namespace,
    /// The target's answer.
    pub refusal: Refusal,
    /// Where the transaction begins that it was applied in, if it was recorded in one: nothing of
    /// that is there.
    pub transaction: Option<Seq>,
}

/// What becomes of an event that the target refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resolved {
    /// It is left out, and told.
    LeftOut,
    /// It is to be tried again.
    TryAgain,
}

impl RefusedEvent {
    /// What it means, and what can be done, where that is known.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        advice(self.refusal.code)
    }

    /// What is applied, and how to go on.
    pub(super) fn what_now(&self) -> String {
        let skip = "--on-error skip leaves out what is refused";
        match self.transaction {
            None => {
                let (seq, next) = (self.seq, self.seq.next());
                format!(
                    "everything before {seq} is applied, {skip}, and --start '{next}' goes on behind it"
                )
            }
            Some(begins) => format!(
                "everything before {begins}, where its transaction begins, is applied, and {skip}"
            ),
        }
    }
}

impl fmt::Display for RefusedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, operation, namespace, refusal, .. } = self;
        write!(f, "the {operation} at {seq} on {namespace}: {refusal}")
    }
}

/// By the codes of MongoDB's `error_codes.yml`, and those that have no name there.
fn advice(code: i32) -> Option<&'static str> {
    Some(match code {
        // Unauthorized.
        13 => {
            "the user needs the roles readWriteAnyDatabase and dbAdminAnyDatabase, or what they \
             allow"
        }
        // NamespaceNotFound.
        26 => "what was there before the tape is missing, which a base (--base) would bring",
        // DuplicateKey.
        11000 => {
            "a document that the tape does not know has that value, and has to go first, or the \
             target has to be empty"
        }
        // BSONObjectTooLarge, and what updates and the storage say instead.
        10334 | 17419 | 17420 => {
            "the document is another than was recorded, where it had room: an empty target and a \
             base (--base) would have the same"
        }
        // OutOfDiskSpace.
        14031 => "the target's disk is full, and needs room first",
        // CommandNotSupportedOnView.
        166 => "the target has a view of that name, where the source had a collection",
        // CommandNotFound, CommandNotSupported, InvalidIndexSpecificationOption, a stage and a field
        // that are not known.
        59 | 115 | 197 | 40324 | 40415 => {
            "the target's version does not know that: it takes one as new as the source's"
        }
        _ => return None,
    })
}

impl MongodSink {
    /// Settles what becomes of an event that the target has refused.
    ///
    /// # Errors
    /// The end of the replay, if that is what was chosen, or a stop was requested meanwhile.
    pub(super) fn refused(
        &mut self,
        subject: &Subject,
        refusal: Refusal,
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<Resolved, Halt> {
        let event = subject.refused(refusal);
        let answer = match &mut self.on_error {
            OnError::Stop => Answer::Stop,
            OnError::Skip => Answer::Skip,
            OnError::Ask(whom) => {
                let answer = whom.ask(&event, stop);
                if stop.is_requested() {
                    return Err(Halt::Stopped);
                }
                answer
            }
        };
        match answer {
            Answer::Stop => return Err(self.failure(subject, Trouble::Refused(event.refusal))),
            Answer::Retry => return Ok(Resolved::TryAgain),
            Answer::SkipAll => self.on_error = OnError::Skip,
            Answer::Skip => {}
        }
        // At once: nobody would be told at the end if the replay did not come that far.
        if tally.refuse(event.clone()) {
            tracing::warn!("left out {event}");
        }
        Ok(Resolved::LeftOut)
    }
}

impl Subject {
    pub(super) fn refused(&self, refusal: Refusal) -> RefusedEvent {
        let Self { seq, operation, namespace, transaction } = self.clone();
        RefusedEvent { seq, operation, namespace, refusal, transaction }
    }
}

#[cfg(test)]
mod tests {
    use super::super::TargetError;
    use super::*;

    fn refused(code: i32, name: &str) -> TargetError {
        let refusal = Refusal { code, name: name.to_owned(), message: "no".to_owned() };
        let (operation, namespace) = (OperationType::Insert, Namespace::collection("shop", "a"));
        let (seq, transaction) = (Seq::new(7), None);
        let event = Box::new(RefusedEvent { seq, operation, namespace, refusal, transaction });
        TargetError::Refused { hosts: "db1:27017".to_owned(), event }
    }

    #[test]
    fn a_refusal_says_in_one_sentence_what_it_was_and_what_can_be_done() {
        let text = refused(11000, "DuplicateKey").to_string();
        let expected = "db1:27017 refused the insert at #7 on shop.a: no (11000 DuplicateKey): a \
                        document that the tape does not know has that value, and has to go first, \
                        or the target has to be empty; everything before #7 is applied, --on-error \
                        skip leaves out what is refused, and --start '#8' goes on behind it";
        assert_eq!(text, expected);
        let text = refused(2, "BadValue").to_string();
        let expected = "db1:27017 refused the insert at #7 on shop.a: no (2 BadValue); everything \
                        before #7 is applied, --on-error skip leaves out what is refused, and \
                        --start '#8' goes on behind it";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_refusal_in_a_transaction_says_that_nothing_of_it_is_there() {
        let TargetError::Refused { hosts, mut event } = refused(2, "BadValue") else { panic!() };
        event.transaction = Some(Seq::new(5));
        let error = TargetError::Refused { hosts, event };
        let expected = "db1:27017 refused the insert at #7 on shop.a: no (2 BadValue); everything \
                        before #5, where its transaction begins, is applied, and --on-error skip \
                        leaves out what is refused";
        assert_eq!((error.to_string().as_str(), error.seq()), (expected, Seq::new(5)));
    }

    #[test]
    fn what_can_be_done_depends_on_the_answer() {
        for (code, says) in [
            (13, "dbAdminAnyDatabase"),
            (26, "--base"),
            (11000, "does not know"),
            (10334, "another than was recorded"),
            (14031, "room"),
            (166, "a view"),
            (40324, "version"),
        ] {
            assert!(advice(code).is_some_and(|advice| advice.contains(says)), "{code}");
        }
        assert_eq!(advice(1), None);
    }
}
