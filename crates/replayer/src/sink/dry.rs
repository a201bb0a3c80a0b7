//! The sink of a dry run: takes what another would, counts it, and delivers nothing.
//!
//! ```text
//! due events ─► what the other would leave out, or could not deliver ─► counted
//! ```
//! No connection is made and no file. What the other sink would leave out is left out here by the
//! same code, and an event or a base that it could not make a command or a line of is the same error.
//! What only a target knows is not known: which events it would refuse, or find done already.

use std::collections::BTreeMap;
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bson::raw::RawDocumentBuf;
use changetape_core::{Namespace, OperationType};
use changetape_tape::Metadata;

use super::{Sink, Taken};
use crate::page::Outgoing;
use crate::summary::Tally;
use crate::{Error, Progress, Restoration, Restored, Stop};

/// A dry run, and what it has counted so far; clones are of the same.
#[derive(Debug, Clone, Default)]
pub struct DryRun(Arc<Mutex<Counted>>);

/// What a dry run would have delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Bytes of the events.
    pub bytes: u64,
    /// Events by operation.
    pub operations: BTreeMap<OperationType, u64>,
    /// Events by namespace, under the names that they would get. Those without one are not there.
    pub namespaces: BTreeMap<Namespace, u64>,
    /// Transactions that were recorded.
    pub transactions: Transactions,
}

/// Transactions among events: events that follow one another with the same `lsid` and `txnNumber`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Transactions {
    /// How many.
    pub count: u64,
    /// How many events they have together.
    pub events: u64,
    /// How many the one with the most has.
    pub largest: u64,
}

impl DryRun {
    /// What was counted so far.
    #[must_use]
    pub fn counted(&self) -> Counted {
        self.now().clone()
    }

    fn now(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes what another sink would.
pub(super) struct DrySink {
    /// Leaves out what the other would, and has nowhere to deliver to.
    other: Box<dyn Sink>,
    run: DryRun,
    /// The transaction of the last event, and how many events it has so far.
    transaction: Option<(RawDocumentBuf, i64, u64)>,
}

impl DrySink {
    pub(super) fn new(other: Box<dyn Sink>, run: DryRun) -> Self {
        Self { other, run, transaction: None }
    }

    fn count(&mut self, outgoing: &Outgoing<'_>) -> Result<(), changetape_core::Error> {
        let event = &outgoing.event;
        let mut counted = self.run.now();
        counted.bytes += event.as_bytes().len() as u64;
        *counted.operations.entry(event.operation_type()?).or_default() += 1;
        if let Some(namespace) = event.namespace()? {
            *counted.namespaces.entry(namespace).or_default() += 1;
        }
        let Some((session, number)) = event.transaction()? else {
            self.transaction = None;
            return Ok(());
        };
        let events = match &mut self.transaction {
            Some((its_session, its_number, events))
                if *its_number == number && its_session.as_bytes() == session.as_bytes() =>
            {
                *events += 1;
                *events
            }
            other => {
                *other = Some((session.to_owned(), number, 1));
                counted.transactions.count += 1;
                1
            }
        };
        counted.transactions.events += 1;
        counted.transactions.largest = counted.transactions.largest.max(events);
        Ok(())
    }
}

impl Sink for DrySink {
    fn begin(&mut self, tape: &Metadata) -> Result<(), Error> {
        self.other.begin(tape)
    }

    fn restore(
        &mut self,
        base: &Restoration,
        progress: &Progress,
        stop: &Stop,
    ) -> Result<Restored, Error> {
        self.other.restore(base, progress, stop)
    }

    fn deliver(
        &mut self,
        due: &[Outgoing<'_>],
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<Taken, Error> {
        for outgoing in due {
            let left_out = tally.left_out();
            self.other.deliver(slice::from_ref(outgoing), tally, stop)?;
            if tally.left_out() == left_out {
                self.count(outgoing).map_err(Error::event(outgoing.seq))?;
            }
        }
        Ok(Taken::Events(due.len()))
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;
    use changetape_core::{ChangeEvent, Seq};

    use super::*;
    use crate::sink::null::NullSink;

    #[test]
    fn events_of_one_transaction_follow_one_another() {
        let event = |transaction: Option<(i32, i64)>| {
            let mut event = rawdoc! {"operationType": "insert", "ns": {"db": "a", "coll": "b"}};
            if let Some((session, number)) = transaction {
                event.append(bson::cstr!("lsid"), rawdoc! {"id": session});
                event.append(bson::cstr!("txnNumber"), number);
            }
            ChangeEvent::from(event)
        };
        let of = [Some((1, 1)), Some((1, 1)), Some((2, 1)), Some((2, 2)), None, Some((2, 2))];
        let events: Vec<_> = (0..)
            .zip(of)
            .map(|(n, of)| Outgoing {
                seq: Seq::new(n),
                event: event(of),
                transaction: crate::Transaction::None,
                due: crate::clock::Instant::default(),
            })
            .collect();
        let run = DryRun::default();
        let mut sink = DrySink::new(Box::new(NullSink), run.clone());
        // Where an offer ends no transaction does.
        for due in [&events[..1], &events[1..]] {
            sink.deliver(due, &mut Tally::default(), &Stop::default()).unwrap();
        }
        let counted = run.counted();
        assert_eq!(counted.transactions, Transactions { count: 4, events: 5, largest: 2 });
        let namespace = Namespace::collection("a", "b");
        assert_eq!(counted.namespaces, BTreeMap::from([(namespace, 6)]));
        assert_eq!(counted.operations, BTreeMap::from([(OperationType::Insert, 6)]));
    }
}
