//! What would be sent to a database, made and not sent.

use changetape_tape::Metadata;

use super::definition::{self, Plan, Quorum};
use super::statement::{self, Form};
use super::{Subject, post_images, split};
use crate::page::Outgoing;
use crate::sink::{Sink, Taken};
use crate::summary::Tally;
use crate::{BaseProgress, Error, Extent, Progress, Restoration, Restored, Stop};

/// Makes the commands of events and of a base, and sends none.
#[derive(Debug, Default)]
pub(in crate::sink) struct Unsent {
    form: Form,
}

impl Unsent {
    fn make(&self, outgoing: &Outgoing<'_>, tally: &mut Tally) -> Result<(), Error> {
        let (seq, event) = (outgoing.seq, &outgoing.event);
        let bad = Error::event(seq);
        if let Some(reason) = split(event).map_err(&bad)? {
            tally.skip(seq, reason);
            return Ok(());
        }
        let Some(subject) = Subject::of(outgoing)? else { return Ok(()) };
        if let Some(command) = statement::command(event, self.form).map_err(&bad)? {
            let statements = statement::statements(event, command, self.form).map_err(&bad)?;
            for _ in statements.iter().filter(|statement| statement.inexact) {
                tally.inexact(seq, &subject.namespace);
            }
            return Ok(());
        }
        let Subject { operation, namespace, .. } = subject;
        let plan = definition::plan(event, &operation, &namespace, Quorum::Majority);
        if let Plan::Skip(reason) = plan.map_err(&bad)? {
            tally.skip(seq, reason);
        }
        Ok(())
    }
}

impl Sink for Unsent {
    fn begin(&mut self, tape: &Metadata) -> Result<(), Error> {
        self.form.post_images = post_images(tape);
        Ok(())
    }

    /// Reads all of the base, as a restoration would.
    fn restore(
        &mut self,
        base: &Restoration,
        progress: &Progress,
        stop: &Stop,
    ) -> Result<Restored, Error> {
        let mut restored = Restored { extent: Extent::Whole, ..Restored::default() };
        for part in base.parts() {
            let namespace = part.namespace();
            let bad = |source| Error::Definition { namespace: Box::new(namespace.clone()), source };
            definition::create(&part.creation(), &namespace).map_err(bad)?;
            if let Some(indexes) = part.indexes() {
                definition::create_indexes(&indexes, &namespace, Quorum::Majority).map_err(bad)?;
            }
            for block in base.blocks(part) {
                let block = block.map_err(Error::tape)?;
                for document in block.documents() {
                    restored.documents += 1;
                    restored.bytes += document.as_bytes().len() as u64;
                }
                progress.restoring(Some(BaseProgress {
                    documents: restored.documents,
                    of: base.documents(),
                    namespace: namespace.clone(),
                    builds_indexes: false,
                }));
                if stop.is_requested() {
                    progress.restoring(None);
                    return Ok(Restored { extent: Extent::Part, ..restored });
                }
            }
            restored.collections += 1;
        }
        progress.restoring(None);
        Ok(restored)
    }

    fn deliver(
        &mut self,
        due: &[Outgoing<'_>],
        tally: &mut Tally,
        _stop: &Stop,
    ) -> Result<Taken, Error> {
        due.iter().try_for_each(|outgoing| self.make(outgoing, tally))?;
        Ok(Taken::Events(due.len()))
    }
}
