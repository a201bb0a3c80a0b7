//! Holding expiries back on the target, and putting them right.
//!
//! - What the target has already is found when a collection is first met, as its indexes are looked
//!   at then anyway. It is kept, with `--resume`, before it is changed.
//! - What the tape brings is held in what its events become; see [`held`].
//! - At the end of a replay everything is put right, also when it was stopped or has failed, unless
//!   it is to go on with `--resume`: the documents that the rest of the tape speaks of are still
//!   needed then. A collection or index that is gone needs nothing.

use std::time::Duration;

use bson::Document;
use changetape_core::{ChangeEvent, Namespace, OperationType};

use super::definition::Found;
use super::held;
use super::target::Trouble;
use super::{Halt, MongodSink, Subject};
use crate::{Completion, Error, Expiries, Expiry, LeftHeld, Stop};

/// How long a target that is away is waited for after a replay that did not come to its end:
/// whoever has stopped it waits too.
const PATIENCE: Duration = Duration::from_secs(10);

/// `NamespaceNotFound` and `IndexNotFound`.
const GONE: [i32; 2] = [26, 27];

impl MongodSink {
    /// Holds back what would expire documents of a collection that the target has.
    pub(super) fn hold_present(
        &mut self,
        ns: &Namespace,
        collection: &Document,
        indexes: &[Document],
        subject: &Subject,
        stop: &Stop,
    ) -> Result<(), Halt> {
        let firing = held::firing(ns, collection, indexes);
        if firing.is_empty() {
            return Ok(());
        }
        for expiry in &firing {
            // For whoever kills the replay.
            let seconds = expiry.seconds;
            tracing::info!("{expiry} does not fire now; its expireAfterSeconds was {seconds}");
            self.held.take_over(expiry.clone());
        }
        self.keep(None, stop, subject.seq)?;
        for expiry in firing {
            let done = self.target.define(&ns.db, &held::hold_back(&expiry), stop);
            let doing = format!("hold back what expires in {ns}");
            done.map_err(|trouble| self.unable(&doing, subject.seq, trouble))?;
        }
        Ok(())
    }

    /// What an event is applied as while expiries are held back; `None` if as itself.
    pub(super) fn hold_back(
        &mut self,
        event: &ChangeEvent<'_>,
        subject: &Subject,
        stop: &Stop,
    ) -> Result<Option<ChangeEvent<'static>>, Halt> {
        use OperationType::{Create, CreateIndexes, Modify};
        let (bad, ns) = (Error::event(subject.seq), &subject.namespace);
        if !matches!(subject.operation, Create | CreateIndexes | Modify) {
            return Ok(None);
        }
        let Some(description) = event.operation_description().map_err(&bad)? else {
            return Ok(None);
        };
        if !held::has_expiry(description).map_err(&bad)? {
            return Ok(None);
        }
        let indexes = self.look(ns, subject, stop)?;
        let description = match subject.operation {
            Create => self.held.create(description, ns),
            CreateIndexes => self.held.create_indexes(description, ns, &indexes),
            _ => self.held.modify(description, ns, &indexes),
        };
        let event = description.and_then(|described| held::describe(event, &described));
        Ok(Some(event.map_err(&bad)?))
    }

    /// The indexes that a collection has on the target, with what expires held back.
    fn look(
        &mut self,
        ns: &Namespace,
        subject: &Subject,
        stop: &Stop,
    ) -> Result<Vec<Document>, Halt> {
        let collection = self.target.collection(ns, stop);
        let Some(collection) = collection.map_err(|trouble| self.failure(subject, trouble))? else {
            return Ok(Vec::new());
        };
        let indexes = self.target.indexes(ns, stop);
        let indexes = indexes.map_err(|trouble| self.failure(subject, trouble))?;
        self.hold_present(ns, &collection, &indexes, subject, stop)?;
        Ok(indexes)
    }

    /// Follows what an event does with what is held.
    pub(super) fn follow(
        &mut self,
        event: &ChangeEvent<'_>,
        subject: &Subject,
        found: Found,
        stop: &Stop,
    ) -> Result<(), Halt> {
        if self.held.is_empty() {
            return Ok(());
        }
        let (bad, ns) = (Error::event(subject.seq), &subject.namespace);
        match subject.operation {
            OperationType::Drop | OperationType::DropDatabase => self.held.drop(ns),
            OperationType::DropIndexes => {
                if let Some(description) = event.operation_description().map_err(&bad)? {
                    self.held.drop_indexes(description, ns).map_err(&bad)?;
                }
            }
            OperationType::Rename => {
                let Some(to) = event.renamed_to().map_err(&bad)? else { return Ok(()) };
                match found {
                    Found::AsExpected => self.held.rename(ns, &to),
                    // What the new name has was held under one of the two.
                    Found::AlreadySo => {
                        let indexes = self.look(&to, subject, stop)?;
                        self.held.renamed(ns, &to, &indexes);
                    }
                    Found::Divergent(_) => {}
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Puts everything right that is held, unless a replay is to go on with it.
    pub(super) fn let_go(&mut self, completion: Completion, stop: &Stop) -> Expiries {
        let mut expiries = Expiries::default();
        if self.progress.is_some() && completion == Completion::Part {
            expiries.held = self.held.len() as u64;
            return expiries;
        }
        let stop = match completion {
            Completion::Whole => stop.clone(),
            // That one has been requested, perhaps.
            Completion::Part => {
                self.target.set_max_outage(PATIENCE);
                Stop::default()
            }
        };
        let mut in_the_way = None;
        for expiry in self.held.expiries() {
            let reason = match &in_the_way {
                Some(reason) => String::clone(reason),
                None => match self.put_right(&expiry, &stop) {
                    Ok(is_there) => {
                        expiries.put_right += u64::from(is_there);
                        self.held.remove(&expiry);
                        continue;
                    }
                    Err(Trouble::Refused(refusal)) => refusal.to_string(),
                    // Nor would the others be answered.
                    Err(trouble) => in_the_way.insert(in_words(&trouble)).clone(),
                },
            };
            expiries.left.push(LeftHeld { expiry, reason });
        }
        let kept = match (&mut self.progress, self.held.changed()) {
            (Some(progress), Some(held)) => {
                progress.keep(&mut self.target, None, Some(held), &stop)
            }
            _ => Ok(Ok(())),
        };
        if let Err(reason) = kept.unwrap_or_else(|trouble| Err(in_words(&trouble))) {
            // Which puts it right once more.
            tracing::warn!("the next --resume will not know that expiries are right: {reason}");
        }
        expiries
    }

    /// Whether there was something to be put right.
    fn put_right(&mut self, expiry: &Expiry, stop: &Stop) -> Result<bool, Trouble> {
        match self.target.write(&expiry.namespace.db, &held::put_right(expiry), stop) {
            Ok(_) => Ok(true),
            Err(Trouble::Refused(refusal)) if GONE.contains(&refusal.code) => Ok(false),
            Err(trouble) => Err(trouble),
        }
    }
}

fn in_words(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Stopped => "stopped before the target had answered".to_owned(),
        Trouble::Refused(refusal) => refusal.to_string(),
        Trouble::Failed(error) | Trouble::Interrupted(error) => error.to_string(),
        Trouble::Away { source, .. } => source.to_string(),
    }
}
