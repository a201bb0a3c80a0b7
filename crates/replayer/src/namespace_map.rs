//! `NamespaceMap`: playing a tape's namespaces under other names.
//!
//! A rule maps one collection (`shop.orders=test.orders`) or one whole database (`shop=test`,
//! also written `shop.*=test.*`). The first rule that covers a namespace decides; what no
//! rule covers keeps its name.
//!
//! # One to one
//! Two collections of the tape must never end up in one, for then no document of it could be
//! trusted. What the rules alone show is refused when they are read; what only the tape can
//! show (a namespace that keeps its name, and is also a rule's target) is refused at the
//! first event that shows it, or before anything is played if the base does.

mod rewrite;
mod rule;

use changetape_core::{ChangeEvent, Namespace, OperationType, Seq};
use changetape_tape::Definition;

use crate::Error;
use rule::Rule;

/// Rules that rename namespaces. The default has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamespaceMap {
    rules: Vec<Rule>,
}

/// What a map makes of an event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Mapped {
    /// No rule concerns it.
    Unchanged,
    /// The event under its new names.
    Changed(ChangeEvent<'static>),
    /// It cannot be played under other names; why.
    Impossible(&'static str),
}

impl NamespaceMap {
    /// Reads rules in order, each as `--map-ns` takes it.
    ///
    /// # Errors
    /// [`Error::BadMap`] for a rule that cannot be read, repeats or contradicts an earlier
    /// one, or could never apply because of an earlier one.
    pub fn parse<S: AsRef<str>>(rules: impl IntoIterator<Item = S>) -> Result<Self, Error> {
        let mut map = Self::default();
        for text in rules {
            let rule: Rule = text.as_ref().parse()?;
            for earlier in &map.rules {
                rule.check_beside(earlier)?;
            }
            map.rules.push(rule);
        }
        Ok(map)
    }

    /// The rules in their order, as they are given.
    pub(crate) fn rules(&self) -> impl Iterator<Item = impl std::fmt::Display> {
        self.rules.iter()
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The name under which a namespace is played.
    #[must_use]
    pub fn target(&self, ns: &Namespace) -> Namespace {
        self.resolve(ns).0
    }

    /// An event under its new names.
    ///
    /// # Errors
    /// [`Error::Event`] if its namespaces cannot be read, [`Error::MapCollision`] if it would
    /// end up where others do.
    pub(crate) fn apply(&self, seq: Seq, event: &ChangeEvent<'_>) -> Result<Mapped, Error> {
        if self.is_empty() {
            return Ok(Mapped::Unchanged);
        }
        let bad = Error::event(seq);
        let Some(ns) = event.namespace().map_err(&bad)? else { return Ok(Mapped::Unchanged) };
        let target = self.checked(Some(seq), &ns)?;
        let renamed_to = match event.renamed_to().map_err(&bad)? {
            Some(to) => Some((self.checked(Some(seq), &to)?, to)),
            None => None,
        };
        if event.operation_type().map_err(&bad)? == OperationType::DropDatabase
            && self.rules.iter().any(|rule| rule.brings_a_collection_into(&target.db))
        {
            return Ok(Mapped::Impossible(
                "dropping this database would take collections along that are mapped into it",
            ));
        }
        if target == ns && renamed_to.as_ref().is_none_or(|(target, to)| target == to) {
            // A view may still be on a collection that has a new name.
            if event.operation_description().map_err(&bad)?.is_none() {
                return Ok(Mapped::Unchanged);
            }
        }
        rewrite::event(self, event, &ns, &target).map_err(bad)
    }

    /// A definition of the base under its new names.
    ///
    /// # Errors
    /// [`Error::MapCollision`] as for an event, [`Error::ViewApart`] for a view that would leave
    /// what it is on, [`Error::Definition`] if its options cannot be read.
    pub(crate) fn definition(&self, definition: &Definition) -> Result<Definition, Error> {
        if self.is_empty() {
            return Ok(definition.clone());
        }
        let ns = definition.namespace();
        let target = self.checked(None, &ns)?;
        let bad = |source| Error::Definition { namespace: Box::new(ns.clone()), source };
        let options = rewrite::options(self, &definition.options, &ns, &target).map_err(bad)?;
        let Some(options) = options else {
            let on = definition.options.get_str("viewOn").unwrap_or_default();
            let on = Namespace::collection(ns.db.as_str(), on);
            return Err(Error::ViewApart { view: Box::new(ns), on: Box::new(on) });
        };
        let coll = target.coll.unwrap_or_default();
        Ok(Definition { db: target.db, coll, options, ..definition.clone() })
    }

    /// The name under which a namespace is played, if nothing else is played there. `seq` is the
    /// event's; a base has none.
    pub(crate) fn checked(&self, seq: Option<Seq>, ns: &Namespace) -> Result<Namespace, Error> {
        let (target, by) = self.resolve(ns);
        let collides = |rule: &&Rule| match by {
            // It keeps its name: nothing else may be given that name.
            None => rule.leads_to(&target),
            // Its whole database moves: no single collection may be put in its place.
            Some(by) if !by.is_collection() => rule.is_collection() && rule.leads_to(&target),
            Some(_) => false,
        };
        match self.rules.iter().find(collides) {
            None => Ok(target),
            Some(rule) => Err(Error::MapCollision {
                seq,
                namespace: Box::new(target),
                tape: Box::new(ns.clone()),
                rule: rule.to_string(),
            }),
        }
    }

    fn resolve(&self, ns: &Namespace) -> (Namespace, Option<&Rule>) {
        let found = self.rules.iter().find_map(|rule| Some((rule.target(ns)?, Some(rule))));
        found.unwrap_or_else(|| (ns.clone(), None))
    }
}

#[cfg(test)]
mod tests;
