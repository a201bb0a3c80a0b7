//! `Run`: the events at the front that fit into one command.
//!
//! Pure: events in, one command out.
//!
//! # One statement for each document
//! The server keeps a record of the statements of a command that changed something, and of no
//! others. When a command is sent again, a statement that changed nothing is executed again,
//! while those after it, which did, are not. It must then find what it found before, and so
//! no other statement of the command may change its document. Therefore a run of updates
//! ends before the second event of a document, and an event of several statements is as many
//! runs. Inserts and deletes need no such end: an insert changes something or fails, and no
//! delete brings back what another did not find.

use std::collections::HashSet;

use bson::raw::RawDocumentBuf;
use changetape_core::raw::{DocumentWriter, kind};
use changetape_core::{Namespace, Seq};

use super::identity::Identity;
use super::split;
use super::statement::{self, Command, Effect, Form};
use super::target::write_concern;
use crate::Error;
use crate::page::Outgoing;

/// The most statements in one command. The server's own limit is 100 000; beyond a thousand
/// there is nothing left to gain, and a stop or a failure is noticed later.
pub(super) const MAX_STATEMENTS: usize = 1000;

/// The most bytes of statements in one command, unless a single one has more. A command that
/// is one document may have 16 MiB and 16 KiB over, as the largest document with its command
/// around it must fit.
pub(super) const MAX_BYTES: usize = 16 * 1024 * 1024 - 64 * 1024;

/// What a statement has at most besides the bytes of its event.
pub(super) const STATEMENT_OVERHEAD: usize = 256;

/// How a command is run.
#[derive(Debug, Clone, Copy)]
pub(super) enum Terms {
    /// By itself, under a number of the session by which the server knows it again; `None` where
    /// it keeps no account of them.
    Alone(Option<i64>),
    /// In a transaction, which has a number and a write concern of its own.
    InTransaction,
}

/// What a statement is about.
#[derive(Debug)]
pub(super) struct Planned {
    /// Which of the events that were offered.
    pub(super) event: usize,
    pub(super) seq: Seq,
    pub(super) effect: Effect,
    pub(super) query: RawDocumentBuf,
    pub(super) inexact: bool,
}

/// Events that fit into one command, and the command.
pub(super) struct Run {
    command: Command,
    writer: DocumentWriter,
    planned: Vec<Planned>,
}

impl Run {
    /// Gathers events from the first on, which must change a document of `namespace`, while
    /// they are for the same namespace and the same command, for documents that differ, and
    /// there is room. Of the first event, `prepared` statements were run before.
    pub(super) fn gather(
        due: &[Outgoing<'_>],
        namespace: &Namespace,
        form: Form,
        prepared: usize,
    ) -> Result<Self, Error> {
        let mut command = None;
        let mut run = None;
        let mut documents = HashSet::new();
        let mut bytes = 0;
        for (index, outgoing) in due.iter().enumerate() {
            let bad = Error::event(outgoing.seq);
            let event = &outgoing.event;
            bytes += event.as_bytes().len() + STATEMENT_OVERHEAD;
            let Some(its) = statement::command(event, form).map_err(&bad)? else { break };
            let fits = *command.get_or_insert(its) == its
                && (run.is_none() || bytes <= MAX_BYTES)
                && event.namespace().map_err(&bad)?.as_ref() == Some(namespace)
                && split(event).map_err(&bad)?.is_none();
            let run = run.get_or_insert_with(|| Self::begin(its, namespace));
            if !fits || run.planned.len() >= MAX_STATEMENTS {
                break;
            }
            if its == Command::Update && !documents.insert(Identity::of(event).map_err(&bad)?) {
                break;
            }
            let statements = statement::statements(event, its, form).map_err(&bad)?;
            let several = statements.len() > 1;
            if several && index > 0 {
                break;
            }
            let done = if index == 0 { prepared } else { 0 };
            if let Some(statement) = statements.into_iter().nth(done) {
                run.push(index, outgoing.seq, statement);
            }
            if several {
                break;
            }
        }
        Ok(run.unwrap_or_else(|| Self::begin(Command::Update, namespace)))
    }

    pub(super) fn is_insert(&self) -> bool {
        self.command == Command::Insert
    }

    /// How many documents the statements find, or put there, where all of them are as recorded; what
    /// is to be deleted may be gone.
    pub(super) fn wants(&self) -> u64 {
        let deletes = self.command == Command::Delete;
        if deletes { 0 } else { self.planned.len() as u64 }
    }

    /// Whether there is an event of several statements: a document that is missing is missing to
    /// each.
    pub(super) fn prepares(&self) -> bool {
        self.planned.iter().any(|planned| planned.effect == Effect::Prepare)
    }

    /// The statements, in the order of the command.
    pub(super) fn planned(&self) -> &[Planned] {
        &self.planned
    }

    /// Takes the command out.
    pub(super) fn command(
        &mut self,
        terms: Terms,
    ) -> Result<RawDocumentBuf, changetape_core::Error> {
        let mut writer = std::mem::take(&mut self.writer);
        writer.close();
        writer.value(kind::BOOLEAN, b"ordered", &[1]);
        if self.command != Command::Delete {
            // The documents passed, or were let pass, where they were recorded.
            writer.value(kind::BOOLEAN, b"bypassDocumentValidation", &[1]);
        }
        if let Terms::Alone(number) = terms {
            write_concern(&mut writer);
            if let Some(number) = number {
                writer.value(kind::INT64, b"txnNumber", &number.to_le_bytes());
            }
        }
        writer.finish()
    }

    pub(super) fn begin(command: Command, namespace: &Namespace) -> Self {
        let (verb, statements): (&[u8], &[u8]) = match command {
            Command::Insert => (b"insert", b"documents"),
            Command::Update => (b"update", b"updates"),
            Command::Delete => (b"delete", b"deletes"),
        };
        let mut writer = DocumentWriter::with_capacity(1024);
        writer.string(verb, namespace.coll.as_deref().unwrap_or_default().as_bytes());
        writer.open(kind::ARRAY, statements);
        Self { command, writer, planned: Vec::new() }
    }

    pub(super) fn push(&mut self, event: usize, seq: Seq, statement: statement::Statement) {
        let name = self.planned.len().to_string();
        self.writer.value(kind::DOCUMENT, name.as_bytes(), &statement.bytes);
        let statement::Statement { effect, query, inexact, .. } = statement;
        self.planned.push(Planned { event, seq, effect, query, inexact });
    }
}

#[cfg(test)]
mod tests;
