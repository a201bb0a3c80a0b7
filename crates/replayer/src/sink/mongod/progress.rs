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
//! work done. Each change expects what the one before it has left, so that two replays that go on at
//! the same time do not undo each other's work: one of them ends. A replay that does not go on forgets
//! it, as it is no longer true then.

use bson::raw::{RawArrayBuf, RawBson, RawDocumentBuf};
use bson::{Document, cstr, rawdoc};
use changetape_core::{Namespace, Seq};

use super::held::Held;
use super::reply::{Reply, whole};
use super::target::{Target, Trouble, batch, majority};
use super::{Halt, MongodSink};
use crate::resume::Coverage;
use crate::{Error, Stop};

/// Where it is kept. No event is applied there: see [`leave_out_kept`](crate::leave_out_kept).
pub(crate) const DATABASE: &str = "changetape";
const COLLECTION: &str = "progress";

/// `Unauthorized`.
const UNAUTHORIZED: i32 = 13;

/// What is attempted when it is read or kept, as an infinitive.
const READ: &str = "tell how far the replay has come";
pub(super) const KEEP: &str = "keep in changetape.progress how far the replay has come";

/// Why it could not be kept.
const OVERTAKEN: &str = "another replay of the tape goes on there, and only one may at a time";

/// The progress of one replay.
#[derive(Debug)]
pub(super) struct Kept {
    coverage: Coverage,
    /// What the target has. Whoever changes it meanwhile is another replay.
    next: Option<Seq>,
}

impl Kept {
    /// Takes over what a target keeps of a replay: where that goes on, and what it holds.
    ///
    /// # Errors
    /// [`Error::OtherPart`], and what keeps it from being read.
    pub(super) fn resume(target: &Target, coverage: &Coverage) -> Result<(Self, Held), Error> {
        let mut find = rawdoc! {
            "find": COLLECTION, "filter": {"_id": &*coverage.tape}, "limit": 1, "singleBatch": true,
        };
        if target.has_transactions() {
            // Not what may be rolled back, nor less than a commit under way is about to make it.
            find.append(cstr!("readConcern"), rawdoc! {"level": "linearizable"});
        }
        let found = target.ask(DATABASE, find, READ).map_err(Error::deployment)?;
        let coverage = coverage.clone();
        let Some(found) = batch(found).into_iter().next() else {
            return Ok((Self { coverage, next: None }, Held::default()));
        };
        let covers = found.get_str("covers").unwrap_or_default();
        if covers != coverage.covers {
            return Err(Error::OtherPart { there: covers.to_owned(), asked: coverage.covers });
        }
        let next = found.get("next").and_then(whole).and_then(|next| u64::try_from(next).ok());
        Ok((Self { coverage, next: next.map(Seq::new) }, held(&found)))
    }

    /// Where the replay goes on, if it has begun.
    pub(super) fn next(&self) -> Option<Seq> {
        self.next
    }

    /// The command that keeps it, or what is `held` as well, to be run in a transaction.
    pub(super) fn command(&self, next: Option<Seq>, held: Option<&Held>) -> RawDocumentBuf {
        self.change(next, held, &[self.next])
    }

    /// The same, where what is there is one of these.
    fn change(
        &self,
        next: Option<Seq>,
        held: Option<&Held>,
        expected: &[Option<Seq>],
    ) -> RawDocumentBuf {
        let number = |seq: Seq| seq.get().cast_signed();
        let mut set = rawdoc! {"covers": &*self.coverage.covers};
        if let Some(next) = next {
            set.append(cstr!("next"), number(next));
        }
        if let Some(held) = held {
            set.append(cstr!("held"), held.to_array());
        }
        let mut there = RawArrayBuf::new();
        for seq in expected {
            there.push(seq.map_or(RawBson::Null, |seq| number(seq).into()));
        }
        let query = rawdoc! {"_id": &*self.coverage.tape, "next": {"$in": there}};
        let is_new = self.next.is_none();
        let update = rawdoc! {"q": query, "u": {"$set": set}, "upsert": is_new};
        rawdoc! {"update": COLLECTION, "updates": [update]}
    }

    /// Keeps it outside of a transaction; why not, in words, if another replay has.
    pub(super) fn keep(
        &mut self,
        target: &mut Target,
        next: Option<Seq>,
        held: Option<&Held>,
        stop: &Stop,
    ) -> Result<Result<(), String>, Trouble> {
        // Sent again since its answer was lost, it finds its own work.
        let mut command = self.change(next, held, &[self.next, next.or(self.next)]);
        command.append(cstr!("writeConcern"), majority());
        let reply = target.write(DATABASE, &command, stop)?;
        let kept = is_kept(&reply);
        if kept.is_ok() {
            self.has(next);
        }
        Ok(kept)
    }

    /// The target has it now.
    pub(super) fn has(&mut self, next: Option<Seq>) {
        self.next = next.or(self.next);
    }
}

/// Whether the command that keeps progress has; why not, in words.
pub(super) fn is_kept(reply: &Document) -> Result<(), String> {
    const DUPLICATE_KEY: i32 = 11000;
    let Some(reply) = Reply::read(reply) else { return Err(reply.to_string()) };
    match reply.first_error() {
        Some(error) if error.refusal.code != DUPLICATE_KEY => Err(error.refusal.to_string()),
        None if reply.n == 1 => Ok(()),
        _ => Err(OVERTAKEN.to_owned()),
    }
}

/// Lets a target forget how far replays of the same tape have come; what they held.
pub(super) fn forget(
    target: &mut Target,
    coverage: &Coverage,
    stop: &Stop,
) -> Result<Held, Trouble> {
    let mut command = rawdoc! {"findAndModify": COLLECTION, "query": {"_id": &*coverage.tape}};
    command.append(cstr!("remove"), true);
    command.append(cstr!("writeConcern"), majority());
    if let Some(number) = target.next_transaction() {
        // Sent again since its answer was lost, it has the same answer.
        command.append(cstr!("txnNumber"), number);
    }
    match target.write(DATABASE, &command, stop) {
        Ok(reply) => {
            let held = reply.get_document("value").map(held).unwrap_or_default();
            for expiry in held.expiries() {
                // For whoever kills the replay.
                let seconds = expiry.seconds;
                tracing::info!("{expiry} does not fire now; its expireAfterSeconds was {seconds}");
            }
            Ok(held)
        }
        // Whoever may not write there keeps nothing there either.
        Err(Trouble::Refused(refusal)) if refusal.code == UNAUTHORIZED => Ok(Held::default()),
        Err(trouble) => Err(trouble),
    }
}

/// Where it is kept.
pub(super) fn namespace() -> Namespace {
    Namespace::collection(DATABASE, COLLECTION)
}

fn held(found: &Document) -> Held {
    found.get_array("held").map(|held| Held::from_array(held)).unwrap_or_default()
}

impl MongodSink {
    /// Keeps that an event is applied, and everything before it, if progress is kept.
    pub(super) fn keep_progress(&mut self, done: Seq, stop: &Stop) -> Result<(), Halt> {
        let next = done.next();
        self.keep(Some(next), stop, next)
    }

    /// Keeps what is held, and where to go on if that is known; everything before `applied` is.
    pub(super) fn keep(
        &mut self,
        next: Option<Seq>,
        stop: &Stop,
        applied: Seq,
    ) -> Result<(), Halt> {
        let Some(progress) = &mut self.progress else { return Ok(()) };
        let kept = progress.keep(&mut self.target, next, self.held.changed(), stop);
        match kept.map_err(|trouble| self.unable(KEEP, applied, trouble))? {
            Ok(()) => {
                self.held.is_changed = false;
                Ok(())
            }
            Err(reason) => Err(self.not_done(KEEP, applied, reason)),
        }
    }

    /// What a transaction has kept.
    pub(super) fn has_kept(&mut self, next: Seq) {
        if let Some(progress) = &mut self.progress {
            progress.has(Some(next));
            self.held.is_changed = false;
        }
    }
}
