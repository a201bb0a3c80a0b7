//! Putting a base in place.
//!
//! ```text
//! what has the names ─► refuse, or drop ─► for each part: create ─► documents ─► indexes
//! ```
//! - Nothing is written before it is known that no name is taken, or that what has one may go.
//! - Documents go in commands of one kind, by the bounds that [`run`](super::run) has, in the order
//!   of the base; each is the bytes that were recorded, or takes the form that keeps them (see
//!   `statement`). They come before the indexes, which are built once then.
//! - Commands carry transaction numbers and wait for a majority, as those of events: what is sent
//!   again is not done twice, and what is acknowledged stays.
//! - What the target has kept of how far replays of the tape had come is forgotten first; once the base
//!   is whole, that is kept.
//! - Nothing expires until the replay is over (see [`held`](super::held)).
//! - Whoever else writes there meanwhile is met as an error: nothing is taken for the base's own.

mod error;

use std::time::Instant;

use changetape_core::{Namespace, Seq};

use super::Halt;
use super::definition::{self, Definition, Found, Plan};
use super::held::Held;
use super::progress;
use super::reply::Reply;
use super::run::{MAX_BYTES, MAX_STATEMENTS, Run, STATEMENT_OVERHEAD, Terms};
use super::statement::{self, Command};
use super::target::{Target, Trouble};
use crate::base::Part;
use crate::{BaseProgress, Error, Existing, Extent, Progress, Restoration, Restored, Stop};
pub use error::RestoreError;

/// How many namespaces a message names.
const NAMED: usize = 5;

/// What is done with the documents of a namespace.
const TAKE: &str = "take documents of";

/// Restores a base: how much of it is then there.
pub(super) fn restore(
    target: &mut Target,
    held: &mut Held,
    base: &Restoration,
    progress: &Progress,
    stop: &Stop,
) -> Result<Restored, Error> {
    let started = Instant::now();
    let restored = Restored::default();
    let mut work = Work { target, held, base, progress, stop, restored };
    let result = work.restore();
    progress.restoring(None);
    let restored = Restored { elapsed: started.elapsed(), ..work.restored };
    match result {
        Ok(()) => Ok(Restored { extent: Extent::Whole, ..restored }),
        Err(Halt::Stopped) => Ok(restored),
        Err(Halt::Failed(error)) if restored.extent == Extent::Nothing => Err(error),
        Err(Halt::Failed(error)) => {
            let (documents, of) = (restored.documents, base.documents());
            Err(Error::PartOfBase { documents, of, source: Box::new(error) })
        }
    }
}

/// A restoration under way.
struct Work<'a> {
    target: &'a mut Target,
    held: &'a mut Held,
    base: &'a Restoration,
    progress: &'a Progress,
    stop: &'a Stop,
    restored: Restored,
}

/// Documents for one command.
struct Batch {
    command: Command,
    run: Run,
    statements: usize,
    /// Of the statements, and of the documents alone.
    bytes: usize,
    document_bytes: u64,
}

impl Work<'_> {
    fn restore(&mut self) -> Result<(), Halt> {
        self.clear()?;
        for part in self.base.parts() {
            let namespace = part.namespace();
            self.show(&namespace, false);
            self.create(part, &namespace)?;
            self.fill(part, &namespace)?;
            if let Some(indexes) = part.indexes() {
                self.show(&namespace, true);
                let indexes = self.held.create_indexes(&indexes, &namespace, &[]);
                let indexes = indexes.map_err(bad(&namespace))?;
                let quorum = self.target.quorum();
                let command = definition::create_indexes(&indexes, &namespace, quorum);
                let command = command.map_err(bad(&namespace))?;
                self.define(&command, "build the indexes of", &namespace)?;
            }
            self.restored.collections += 1;
        }
        Ok(())
    }

    /// Sees to it that nothing has a name that the base needs.
    fn clear(&mut self) -> Result<(), Halt> {
        let mut found = Vec::new();
        for part in self.base.parts() {
            let namespace = part.namespace();
            let there = self.target.collection(&namespace, self.stop);
            let failure = |trouble| self.failure(trouble, "look for", &namespace);
            if there.map_err(failure)?.is_some() {
                found.push(namespace);
            }
        }
        let (hosts, what) = (self.target.hosts().to_owned(), named(&found));
        match self.base.existing() {
            _ if found.is_empty() => {}
            Existing::Refuse => {
                return Err(Error::BaseMeets { hosts, what, found: found.len() }.into());
            }
            Existing::Drop => tracing::info!("dropping {what} at {hosts}, for the base"),
        }
        // What there was of this tape is about to go.
        let forgotten = progress::forget(self.target, self.base.coverage(), self.stop);
        *self.held = forgotten.map_err(|trouble| {
            self.failure(trouble, "forget the progress in", &progress::namespace())
        })?;
        self.held.is_changed = true;
        for namespace in found {
            let command = definition::drop(&namespace).map_err(bad(&namespace))?;
            self.define(&command, "drop", &namespace)?;
            self.held.drop(&namespace);
            self.restored.dropped += 1;
        }
        Ok(())
    }

    fn create(&mut self, part: &Part, namespace: &Namespace) -> Result<(), Halt> {
        let creation = self.held.create(&part.creation(), namespace).map_err(bad(namespace))?;
        let plan = definition::create(&creation, namespace).map_err(bad(namespace))?;
        match plan {
            Plan::Commands(commands) => {
                commands.iter().try_for_each(|command| self.define(command, "create", namespace))
            }
            // No recorder takes a base of it.
            Plan::Skip(reason) => Err(impossible("create", namespace, reason.into_owned())),
        }
    }

    /// Inserts the documents of a part.
    fn fill(&mut self, part: &Part, namespace: &Namespace) -> Result<(), Halt> {
        let mut batch: Option<Batch> = None;
        for block in self.base.blocks(part) {
            let block = block.map_err(Error::tape)?;
            for document in block.documents() {
                let document = document.as_bytes();
                let (command, statement) =
                    statement::restoring(document).map_err(bad(namespace))?;
                let ready = batch.take_if(|batch| !batch.takes(command, statement.bytes.len()));
                if let Some(batch) = ready {
                    self.send(batch, namespace)?;
                }
                let batch = batch.get_or_insert_with(|| Batch::begin(command, namespace));
                batch.push(statement, document.len());
            }
        }
        match batch {
            Some(batch) => self.send(batch, namespace),
            None => Ok(()),
        }
    }

    fn send(&mut self, mut batch: Batch, namespace: &Namespace) -> Result<(), Halt> {
        self.go_on()?;
        let number = self.target.next_transaction();
        let command = batch.run.command(Terms::Alone(number)).map_err(bad(namespace))?;
        let answer = self.target.write(&namespace.db, &command, self.stop);
        let answer = answer.map_err(|trouble| self.failure(trouble, TAKE, namespace))?;
        let reply = Reply::read(&answer);
        if let Some(error) = reply.as_ref().and_then(Reply::first_error) {
            let refused = Trouble::Refused(error.refusal.clone());
            return Err(self.failure(refused, TAKE, namespace));
        }
        if reply.is_none_or(|reply| reply.n != batch.run.wants()) {
            let (hosts, doing) = (self.target.hosts().to_owned(), format!("{TAKE} {namespace}"));
            let answer = answer.to_string().chars().take(300).collect();
            return Err(failed(RestoreError::Answer { hosts, doing, answer }));
        }
        self.restored.documents += batch.run.wants();
        self.restored.bytes += batch.document_bytes;
        self.show(namespace, false);
        Ok(())
    }

    /// Runs a command that makes or drops something, and finds what it expects.
    fn define(
        &mut self,
        command: &Definition,
        doing: &str,
        namespace: &Namespace,
    ) -> Result<(), Halt> {
        let before = self.restored.extent;
        self.go_on()?;
        match definition::execute(self.target, command, namespace, self.stop) {
            // A command that is sent again finds its own work.
            Ok(Found::AsExpected | Found::AlreadySo) => Ok(()),
            Ok(Found::Divergent(found)) => {
                Err(impossible(doing, namespace, format!("there is {found} meanwhile")))
            }
            Err(trouble) => {
                if matches!(trouble, Trouble::Refused(_)) {
                    // It has changed nothing.
                    self.restored.extent = before;
                }
                Err(self.failure(trouble, doing, namespace))
            }
        }
    }

    /// Before anything is written: not after a stop.
    fn go_on(&mut self) -> Result<(), Halt> {
        if self.stop.is_requested() {
            return Err(Halt::Stopped);
        }
        self.restored.extent = Extent::Part;
        Ok(())
    }

    fn show(&self, namespace: &Namespace, builds_indexes: bool) {
        self.progress.restoring(Some(BaseProgress {
            documents: self.restored.documents,
            of: self.base.documents(),
            namespace: namespace.clone(),
            builds_indexes,
        }));
    }

    /// `doing` is what was attempted with a namespace, as an infinitive.
    fn failure(&self, trouble: Trouble, doing: &str, namespace: &Namespace) -> Halt {
        let doing = format!("{doing} {namespace}");
        let hosts = self.target.hosts().to_owned();
        failed(match trouble {
            Trouble::Stopped => return Halt::Stopped,
            Trouble::Refused(refusal) => RestoreError::Refused { hosts, doing, refusal },
            Trouble::Failed(source) => RestoreError::Failed { hosts, doing, source },
            Trouble::Away { waited, source } => RestoreError::Away { waited, source },
            Trouble::Interrupted(source) => RestoreError::Interrupted { source },
        })
    }
}

impl Batch {
    fn begin(command: Command, namespace: &Namespace) -> Self {
        let run = Run::begin(command, namespace);
        Self { command, run, statements: 0, bytes: 0, document_bytes: 0 }
    }

    /// Whether another statement of so many bytes may be added.
    fn takes(&self, command: Command, bytes: usize) -> bool {
        command == self.command
            && self.statements < MAX_STATEMENTS
            && self.bytes + bytes + STATEMENT_OVERHEAD <= MAX_BYTES
    }

    fn push(&mut self, statement: statement::Statement, document_len: usize) {
        self.bytes += statement.bytes.len() + STATEMENT_OVERHEAD;
        self.document_bytes += document_len as u64;
        // All of a base lies before the first event.
        self.run.push(self.statements, Seq::ZERO, statement);
        self.statements += 1;
    }
}

fn impossible(doing: &str, namespace: &Namespace, reason: String) -> Halt {
    failed(RestoreError::Impossible { doing: format!("{doing} {namespace}"), reason })
}

fn failed(error: RestoreError) -> Halt {
    Error::Restore(Box::new(error)).into()
}

/// The first of some namespaces by name, and how many more there are.
fn named(all: &[Namespace]) -> String {
    let mut names: Vec<String> = all.iter().take(NAMED).map(ToString::to_string).collect();
    if all.len() > NAMED {
        names.push(format!("{} more", all.len() - NAMED));
    }
    names.join(", ")
}

/// The error for what a base does not say as it must.
fn bad(namespace: &Namespace) -> impl Fn(changetape_core::Error) -> Error {
    move |source| Error::Definition { namespace: Box::new(namespace.clone()), source }
}
