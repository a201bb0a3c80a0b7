//! How far a replay has come, kept on its target.
//!
//! One document for each tape, in `changetape.progress`:
//!
//! | field | is |
//! | --- | --- |
//! | `_id` | the tape, by where and when it was recorded |
//! | `covers` | which of its events were asked for, and under which names, as flags |
//! | `next` | the sequence number to go on with: everything before it is applied |
//! | `held` | the expiries that are held back while the replay lasts (see [`held`](super::held)) |
//!
//! What is applied in a transaction carries it along, so that both are there or neither. What is not
//! is followed by it: after a crash in between, the last command is executed once more, and finds its
//! work done.

use bson::raw::RawDocumentBuf;
use bson::{cstr, rawdoc};
use changetape_core::{Namespace, Seq};

use super::held::Held;
use super::reply::{Reply, whole};
use super::target::{Target, Trouble, batch, majority};
use super::{Halt, MongodSink, Subject};
use crate::resume::Coverage;
use crate::{Error, Stop};

/// Where it is kept.
pub(super) const DATABASE: &str = "changetape";
const COLLECTION: &str = "progress";

/// `Unauthorized`.
const UNAUTHORIZED: i32 = 13;

/// The progress of one replay.
#[derive(Debug)]
pub(super) struct Kept {
    coverage: Coverage,
}

impl Kept {
    /// Takes over what a target keeps of a replay, and where that goes on.
    ///
    /// # Errors
    /// [`Error::OtherPart`], and what keeps it from being read.
    pub(super) fn resume(
        target: &Target,
        coverage: &Coverage,
    ) -> Result<(Self, Option<Seq>, Held), Error> {
        let find = rawdoc! {
            "find": COLLECTION, "filter": {"_id": &*coverage.tape}, "limit": 1, "singleBatch": true,
        };
        let found = target.ask(DATABASE, find, "read the progress of the replay");
        let found = batch(found.map_err(Error::deployment)?).into_iter().next();
        let progress = Self { coverage: coverage.clone() };
        let Some(found) = found else {
            return Ok((progress, None, Held::default()));
        };
        let covers = found.get_str("covers").unwrap_or_default();
        if covers != coverage.covers {
            let (there, asked) = (covers.to_owned(), coverage.covers.clone());
            return Err(Error::OtherPart { there, asked });
        }
        let next = found.get("next").and_then(whole).and_then(|next| u64::try_from(next).ok());
        let held = found.get_array("held").map(|held| Held::from_array(held)).unwrap_or_default();
        Ok((progress, next.map(Seq::new), held))
    }

    /// Keeps it, or what is `held` as well, outside of a transaction.
    pub(super) fn keep(
        &self,
        target: &mut Target,
        next: Option<Seq>,
        held: Option<&Held>,
        stop: &Stop,
    ) -> Result<(), Trouble> {
        write(target, self.command(next, held), stop)
    }

    /// The command that keeps it, or what is `held` as well, to be run in a transaction.
    pub(super) fn command(&self, next: Option<Seq>, held: Option<&Held>) -> RawDocumentBuf {
        let mut set = rawdoc! {"covers": &*self.coverage.covers};
        if let Some(next) = next {
            set.append(cstr!("next"), next.get().cast_signed());
        }
        if let Some(held) = held {
            set.append(cstr!("held"), held.to_array());
        }
        let update =
            rawdoc! {"q": {"_id": &*self.coverage.tape}, "u": {"$set": set}, "upsert": true};
        rawdoc! {"update": COLLECTION, "updates": [update]}
    }
}

/// Where it is kept, for messages.
pub(super) fn namespace() -> Namespace {
    Namespace::collection(DATABASE, COLLECTION)
}

/// Lets a target forget how far replays of the same tape have come.
pub(super) fn forget(target: &mut Target, coverage: &Coverage, stop: &Stop) -> Result<(), Trouble> {
    let delete = rawdoc! {"q": {"_id": &*coverage.tape}, "limit": 1};
    match write(target, rawdoc! {"delete": COLLECTION, "deletes": [delete]}, stop) {
        // Whoever may not write there keeps nothing there either.
        Err(Trouble::Refused(refusal)) if refusal.code == UNAUTHORIZED => Ok(()),
        done => done,
    }
}

fn write(target: &mut Target, mut command: RawDocumentBuf, stop: &Stop) -> Result<(), Trouble> {
    command.append(cstr!("writeConcern"), majority());
    let reply = target.write(DATABASE, &command, stop)?;
    match Reply::read(&reply).as_ref().and_then(Reply::first_error) {
        Some(error) => Err(Trouble::Refused(error.refusal.clone())),
        None => Ok(()),
    }
}

impl MongodSink {
    /// Keeps that an event is applied, and everything before it, if progress is kept.
    pub(super) fn keep_progress(&mut self, done: &Subject, stop: &Stop) -> Result<(), Halt> {
        let Some(progress) = &self.progress else { return Ok(()) };
        let (next, held) = (Some(done.seq.next()), self.held.changed());
        let kept = progress.keep(&mut self.target, next, held, stop);
        kept.map_err(|trouble| self.failure(done, trouble))?;
        self.held.is_changed = false;
        Ok(())
    }
}
