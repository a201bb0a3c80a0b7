//! `Collections`: which collections there are, after the events so far, and what they have to be.
//!
//! A collection is a *lineage*, whatever it is called: a rename moves it, with its documents, and
//! what is created under a name that was dropped is another one. Lineages are numbered as they
//! appear, so they are the same in every pass.
//!
//! A collection that the base has, or that the tape sees created, is known as a *whole*: what is in
//! it and not expected is extra. Of one that was there before the tape, only what events are about
//! is judged.

use std::collections::{BTreeMap, BTreeSet};

use bson::raw::RawDocument;
use changetape_core::{ChangeEvent, Error, Namespace, OperationType};

use super::definition::{Definition, Kind};
use crate::conversion;

/// A collection's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Lineage(u32);

/// A collection or view.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Collection {
    pub(super) lineage: Lineage,
    /// Whether all of its content is known.
    pub(super) whole: bool,
    pub(super) definition: Definition,
}

/// What an event means for documents, other than its own.
#[derive(Debug, PartialEq)]
pub(super) enum Effect {
    Nothing,
    /// These collections are gone, with their documents.
    Dropped(Vec<Lineage>),
    /// This collection is a capped one now, with the documents that fit.
    Converted(Lineage),
}

/// The collections and views, by name.
#[derive(Debug, Default)]
pub(super) struct Collections {
    named: BTreeMap<Namespace, Collection>,
    /// Names that lead nowhere any more.
    gone: BTreeSet<Namespace>,
    /// Databases that were dropped: whatever is in them came after that.
    emptied: BTreeSet<String>,
    next: u32,
}

impl Lineage {
    #[cfg(test)]
    pub(super) fn new(number: u32) -> Self {
        Self(number)
    }
}

impl Collections {
    /// What there is.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Namespace, &Collection)> {
        self.named.iter()
    }

    /// Names under which there must not be anything.
    pub(super) fn gone(&self) -> impl Iterator<Item = &Namespace> {
        self.gone.iter()
    }

    /// Databases in which there must not be anything but what is expected.
    pub(super) fn emptied(&self) -> impl Iterator<Item = &str> {
        self.emptied.iter().map(String::as_str)
    }

    /// The collection that events of this name are about now.
    pub(super) fn at(&mut self, ns: &Namespace) -> &Collection {
        self.known(ns)
    }

    /// Takes a collection that is in the base.
    pub(super) fn put(&mut self, base: &changetape_tape::Definition) -> Result<Lineage, Error> {
        Ok(self.begin(base.namespace(), Definition::in_base(base)?))
    }

    /// Takes an event that is about no document.
    pub(super) fn apply(&mut self, event: &ChangeEvent<'_>) -> Result<Effect, Error> {
        let Some(ns) = event.namespace()? else { return Ok(Effect::Nothing) };
        match event.operation_type()? {
            OperationType::Create => {
                let dropped = self.named.get(&ns).map(|collection| collection.lineage);
                self.begin(ns, Definition::created(described(event)?)?);
                return Ok(Effect::Dropped(dropped.into_iter().collect()));
            }
            OperationType::Drop => {
                let dropped = self.named.remove(&ns).map(|collection| collection.lineage);
                self.gone.insert(ns);
                return Ok(Effect::Dropped(dropped.into_iter().collect()));
            }
            OperationType::Rename => {
                let to = event.renamed_to()?.ok_or(Error::MissingField { field: "to" })?;
                return Ok(self.rename(ns, to));
            }
            OperationType::DropDatabase => return Ok(self.drop_database(ns.db)),
            OperationType::Modify => self.known(&ns).definition.modify(described(event)?)?,
            OperationType::CreateIndexes => {
                self.known(&ns).definition.create_indexes(described(event)?)?;
            }
            OperationType::DropIndexes => {
                self.known(&ns).definition.drop_indexes(described(event)?)?;
            }
            _ => {}
        }
        Ok(Effect::Nothing)
    }

    fn rename(&mut self, from: Namespace, to: Namespace) -> Effect {
        let moved = self.known(&from).clone();
        self.named.remove(&from);
        let converts = conversion::is_copy(&from);
        self.gone.insert(from);
        self.gone.remove(&to);
        if converts {
            // The copy has the new definition; its documents were copied out of sight.
            let converted = self.known(&to);
            converted.definition = moved.definition;
            return Effect::Converted(converted.lineage);
        }
        let dropped = self.named.insert(to, moved).map(|collection| collection.lineage);
        Effect::Dropped(dropped.into_iter().collect())
    }

    fn drop_database(&mut self, db: String) -> Effect {
        let names: Vec<_> = self.named.keys().filter(|ns| ns.db == db).cloned().collect();
        let dropped = names.iter().filter_map(|ns| self.named.remove(ns));
        let dropped = dropped.map(|collection| collection.lineage).collect();
        self.gone.extend(names);
        self.emptied.insert(db);
        Effect::Dropped(dropped)
    }

    fn begin(&mut self, ns: Namespace, definition: Definition) -> Lineage {
        self.next += 1;
        let lineage = Lineage(self.next);
        self.gone.remove(&ns);
        self.named.insert(ns, Collection { lineage, whole: true, definition });
        lineage
    }

    /// The collection of this name; one that was there before the tape if it is new to it.
    fn known(&mut self, ns: &Namespace) -> &mut Collection {
        let next = &mut self.next;
        let gone = &mut self.gone;
        self.named.entry(ns.clone()).or_insert_with(|| {
            gone.remove(ns);
            *next += 1;
            let (lineage, whole) = (Lineage(*next), false);
            Collection { lineage, whole, definition: Definition::default() }
        })
    }
}

impl Collection {
    /// Whether the tape can say what is in it.
    pub(super) fn is_judged(&self) -> bool {
        self.definition.kind != Some(Kind::TimeSeries)
    }

    /// Whether it can have documents of its own.
    pub(super) fn has_documents(&self) -> bool {
        !matches!(self.definition.kind, Some(Kind::TimeSeries | Kind::View))
    }
}

fn described<'e>(event: &'e ChangeEvent<'_>) -> Result<&'e RawDocument, Error> {
    let missing = Error::MissingField { field: "operationDescription" };
    event.operation_description()?.ok_or(missing)
}

#[cfg(test)]
mod tests;
