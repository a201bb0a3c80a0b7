//! What the answers say about the state that the target was in.

use changetape_core::Namespace;

use super::reply::Reply;
use super::run::Planned;
use super::statement::{Effect, Form};
use super::{Halt, MongodSink, Subject};
use crate::Stop;
use crate::summary::{Divergence, Tally};

/// What is found where a document was to be updated.
pub(super) const MISSING: &str = "no such document to update";

/// Counts what the answer to a command says, and tells how many of the documents that it was to
/// update were missing.
pub(super) fn tell(
    done: &[Planned],
    reply: &Reply,
    namespace: &Namespace,
    form: &mut Form,
    tally: &mut Tally,
) -> u64 {
    let (mut inserted_anew, mut present) = (false, false);
    for (index, planned) in done.iter().enumerate() {
        let upserted = reply.upserted.contains(&index);
        match planned.effect {
            Effect::PutAgain => {
                tally.adapt(u64::from(!upserted));
                inserted_anew |= upserted;
                present |= !upserted;
            }
            Effect::Replace => tally.adapt(u64::from(upserted)),
            Effect::Insert | Effect::Update | Effect::Delete | Effect::Prepare => {}
        }
        if planned.inexact {
            tally.inexact(planned.seq, namespace);
        }
    }
    // As soon as documents are new again, plain inserts are quicker again.
    if inserted_anew && !present {
        form.documents_exist = false;
    }
    let missing = (done.len() as u64).saturating_sub(reply.n);
    if done.iter().any(|planned| planned.effect == Effect::Delete) {
        tally.adapt(missing);
        return 0;
    }
    missing
}

impl MongodSink {
    /// Tells what the reply to a run says about the state of the target.
    pub(super) fn settle(
        &mut self,
        done: &[Planned],
        reply: &Reply,
        subject: &Subject,
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<(), Halt> {
        let missing = tell(done, reply, &subject.namespace, &mut self.form, tally);
        if missing > 0 {
            self.find_missing(done, missing, subject, tally, stop)?;
        }
        Ok(())
    }

    /// A command says how many documents were missing, not which. One look for each says.
    fn find_missing(
        &mut self,
        done: &[Planned],
        missing: u64,
        subject: &Subject,
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<(), Halt> {
        tally.diverge(missing);
        let mut unexplained = missing;
        for planned in done.iter().filter(|planned| planned.effect == Effect::Update) {
            if unexplained == 0 || !tally.wants_divergences() {
                break;
            }
            let namespace = &subject.namespace;
            let there = self.target.has_document(namespace, &planned.query, stop);
            if !there.map_err(|trouble| self.failure(subject, trouble))? {
                unexplained -= 1;
                let found = MISSING;
                tally.list(Divergence { seq: planned.seq, namespace: namespace.clone(), found });
            }
        }
        Ok(())
    }
}
