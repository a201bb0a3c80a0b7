//! Filling a window.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use changetape_core::{Namespace, Seq};

use super::{MAX_EVENTS, MAX_WINDOW_BYTES, Order, Regrouping, Share, Window};
use crate::Error;
use crate::page::Outgoing;
use crate::sink::mongod::identity::Identity;
use crate::sink::mongod::recorded::{self, Transactions};
use crate::sink::mongod::run::STATEMENT_OVERHEAD;
use crate::sink::mongod::split;
use crate::sink::mongod::statement::{self, Command, Form, Statement};

/// How events are gathered.
#[derive(Debug, Clone, Copy)]
pub(in crate::sink::mongod) struct Rules {
    pub(in crate::sink::mongod) form: Form,
    pub(in crate::sink::mongod) order: Order,
    /// Which events may not be parted.
    pub(in crate::sink::mongod) recorded: Transactions,
    /// For how many transactions, at most.
    pub(in crate::sink::mongod) shares: usize,
}

/// An event that a window takes.
struct Read<'e> {
    namespace: Namespace,
    command: Command,
    document: Identity<'e>,
    statements: Vec<Statement>,
    bytes: usize,
}

impl Window {
    /// Gathers events from the first on, as long as they change documents and there is room. What
    /// belongs together is in it as a whole, or not.
    ///
    /// `regrouping` says what a collection lets be done with its events.
    pub(in crate::sink::mongod) fn gather<E: From<Error>>(
        due: &[Outgoing<'_>],
        rules: Rules,
        mut regrouping: impl FnMut(&Namespace) -> Result<Regrouping, E>,
    ) -> Result<Self, E> {
        let mut gathering = Gathering::new(rules, due);
        let mut bytes = 0;
        let mut left = due;
        loop {
            let (unit, rest) = left.split_at(recorded::unit(left, rules.recorded));
            bytes += unit.iter().map(size).sum::<usize>();
            let events = gathering.window.events;
            let is_full = events + unit.len() > MAX_EVENTS || bytes > MAX_WINDOW_BYTES;
            if unit.is_empty() || (is_full && events > 0) {
                break;
            }
            let read = match read(unit, rules.form) {
                Ok(Some(read)) => read,
                Ok(None) => break,
                // What comes before it is sound.
                Err(_) if events > 0 => break,
                Err(error) => return Err(error.into()),
            };
            for event in &read {
                gathering.know(&event.namespace, &mut regrouping)?;
            }
            if read.iter().any(|event| gathering.is_alone(&event.namespace)) {
                break;
            }
            for (outgoing, event) in unit.iter().zip(read) {
                gathering.add(outgoing.seq, event);
            }
            left = rest;
        }
        gathering.window.shares.retain(|share| !share.events.is_empty());
        Ok(gathering.window)
    }
}

/// A window that is being filled.
struct Gathering<'e> {
    window: Window,
    rules: Rules,
    namespaces: Vec<(Namespace, Regrouping)>,
    /// The last command with an event that has to come before.
    of_document: HashMap<(usize, Identity<'e>), usize>,
    of_namespace: HashMap<usize, usize>,
}

impl<'e> Gathering<'e> {
    fn new(rules: Rules, due: &[Outgoing<'_>]) -> Self {
        let reach = due.get(..MAX_EVENTS).unwrap_or(due);
        // What may not be parted may be of any documents.
        let is_shared =
            rules.recorded == Transactions::Off || recorded::plain(reach) == reach.len();
        let mut shares = Vec::new();
        shares.resize_with(if is_shared { rules.shares.max(1) } else { 1 }, Share::default);
        Self {
            window: Window { shares, events: 0, repeats: false },
            rules,
            namespaces: Vec::new(),
            of_document: HashMap::new(),
            of_namespace: HashMap::new(),
        }
    }

    fn find(&self, ns: &Namespace) -> Option<(usize, Regrouping)> {
        let at = self.namespaces.iter().rposition(|(known, _)| known == ns)?;
        self.namespaces.get(at).map(|(_, regrouping)| (at, *regrouping))
    }

    /// Learns what a collection lets be done with its events.
    fn know<E>(
        &mut self,
        ns: &Namespace,
        regrouping: impl FnOnce(&Namespace) -> Result<Regrouping, E>,
    ) -> Result<(), E> {
        if self.find(ns).is_none() {
            self.namespaces.push((ns.clone(), regrouping(ns)?));
        }
        Ok(())
    }

    fn is_alone(&self, ns: &Namespace) -> bool {
        self.find(ns).is_none_or(|(_, regrouping)| regrouping == Regrouping::Alone)
    }

    /// Adds an event, behind those that it has to follow.
    fn add(&mut self, seq: Seq, event: Read<'e>) {
        let Some((number, regrouping)) = self.find(&event.namespace) else { return };
        let document = (number, event.document);
        let order = self.rules.order;
        let at = match (order, regrouping) {
            (Order::Global, _) => 0,
            (Order::Document, Regrouping::Free) => hash(&document),
            _ => number,
        } % self.window.shares.len();
        let Some(share) = self.window.shares.get_mut(at) else { return };
        let after = match order {
            Order::Document => self.of_document.get(&document).copied(),
            Order::Namespace => self.of_namespace.get(&number).copied(),
            Order::Global => share.groups.len().checked_sub(1),
        };
        let (ns, statements) = (&event.namespace, event.statements);
        let at = share.place(ns, event.command, statements.len(), event.bytes, after.unwrap_or(0));
        let Some(group) = share.groups.get_mut(at) else { return };
        let index = self.window.events;
        group.bytes += event.bytes;
        for statement in statements {
            group.run.push(index, seq, statement);
        }
        share.events.push(index);
        let is_again = self.of_document.insert(document, at).is_some();
        self.window.repeats |= is_again && event.command == Command::Update;
        self.of_namespace.insert(number, at);
        self.window.events += 1;
    }
}

/// What of a window's room an event takes.
fn size(outgoing: &Outgoing<'_>) -> usize {
    outgoing.event.as_bytes().len() + STATEMENT_OVERHEAD
}

/// Reads events that may not be parted; `None` if one of them does not change a document, or is only
/// a part of an event.
fn read<'e>(unit: &'e [Outgoing<'_>], form: Form) -> Result<Option<Vec<Read<'e>>>, Error> {
    let mut all = Vec::with_capacity(unit.len());
    for outgoing in unit {
        let (bad, event) = (Error::event(outgoing.seq), &outgoing.event);
        let is_part = split(event).map_err(&bad)?.is_some();
        let command = statement::command(event, form).map_err(&bad)?.filter(|_| !is_part);
        let Some((command, namespace)) = command.zip(event.namespace().map_err(&bad)?) else {
            return Ok(None);
        };
        let document = Identity::of(event).map_err(&bad)?;
        let statements = statement::statements(event, command, form).map_err(&bad)?;
        all.push(Read { namespace, command, document, statements, bytes: size(outgoing) });
    }
    Ok(Some(all))
}

/// Spreads documents over transactions.
fn hash(document: &(usize, Identity<'_>)) -> usize {
    let mut hasher = DefaultHasher::new();
    document.hash(&mut hasher);
    usize::try_from(hasher.finish() >> 32).unwrap_or_default()
}
