//! Events that are about no document, applied one by one.

use super::definition::{self, Found, Plan};
use super::refused::Resolved;
use super::target::Trouble;
use super::{Halt, MongodSink, Subject};
use crate::page::Outgoing;
use crate::summary::{Divergence, Tally};
use crate::{Error, Stop};

impl MongodSink {
    /// Runs the command of one event that is not about documents.
    pub(super) fn define(
        &mut self,
        outgoing: &Outgoing<'_>,
        subject: &Subject,
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<(), Halt> {
        self.regrouping.clear();
        let quorum = self.target.quorum();
        let held = self.hold_back(&outgoing.event, subject, stop)?;
        let event = held.as_ref().unwrap_or(&outgoing.event);
        let plan = definition::plan(event, &subject.operation, &subject.namespace, quorum);
        let commands = match plan.map_err(Error::event(subject.seq))? {
            Plan::Commands(commands) => commands,
            Plan::Skip(reason) => {
                tally.skip(subject.seq, reason);
                return Ok(());
            }
        };
        let mut already_so = false;
        for command in commands {
            let found = loop {
                match definition::execute(&mut self.target, &command, &subject.namespace, stop) {
                    Ok(found) => break found,
                    Err(Trouble::Refused(refusal)) => {
                        if self.refused(subject, refusal, tally, stop)? == Resolved::LeftOut {
                            return Ok(());
                        }
                    }
                    Err(trouble) => return Err(self.failure(subject, trouble)),
                }
            };
            self.follow(event, subject, found, stop)?;
            match found {
                Found::AsExpected => {}
                Found::AlreadySo => already_so = true,
                Found::Divergent(found) => {
                    tally.diverge(1);
                    let (seq, namespace) = (subject.seq, subject.namespace.clone());
                    tally.list(Divergence { seq, namespace, found });
                }
            }
        }
        tally.adapt(u64::from(already_so));
        Ok(())
    }
}
