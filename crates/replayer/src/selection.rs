//! `Selection`: which events of a tape take part in a replay.

use std::ops::Range;

use changetape_core::{
    ChangeEvent, Namespace, NamespaceFilter, NamespacePattern, OperationType, Position, Seq,
};
use changetape_tape::TapeReader;

use crate::Error;
use crate::sink::mongod::DATABASE;

/// Which events take part. The default is all of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    /// By namespace. A rename belongs if its old name or its new name does; an event without
    /// a namespace (`invalidate`) always does.
    pub namespaces: NamespaceFilter,
    /// By operation type; empty means all.
    pub operations: Vec<OperationType>,
    /// The first event that takes part; `None` for the tape's first.
    pub start: Option<Position>,
    /// The first event that no longer does; `None` for none.
    pub end: Option<Position>,
}

/// Leaves out what Changetape itself keeps on a database that it replays into (see
/// [`sink::mongod`](crate::sink::mongod)). A tape has it where its source was once such a target, and
/// played into another it would be taken for what that one keeps.
pub fn leave_out_kept(namespaces: &mut NamespaceFilter) {
    namespaces.exclude.push(kept());
}

/// Where it keeps that.
pub(crate) fn kept() -> NamespacePattern {
    NamespacePattern::database(DATABASE)
}

impl Selection {
    /// The part of a tape between start and end; empty if the end comes first.
    ///
    /// # Errors
    /// [`Error::Tape`] if the tape cannot be read.
    pub fn range(&self, tape: &TapeReader) -> Result<Range<Seq>, Error> {
        range(tape, self.start, self.end)
    }

    /// Whether an event inside the range takes part.
    ///
    /// # Errors
    /// What is wrong with the event, if its fields cannot be read.
    pub fn covers(&self, event: &ChangeEvent<'_>) -> Result<bool, changetape_core::Error> {
        // Namespaces are not looked at where nobody asks for them: this is done for each event.
        if !self.operations.is_empty() && !self.covers_kind(None, Some(&event.operation_type()?)) {
            return Ok(false);
        }
        if self.namespaces.is_empty() {
            return Ok(true);
        }
        let covers = |ns: &Namespace| self.covers_kind(Some(ns), None);
        Ok(match event.namespace()? {
            None => true,
            Some(old) => covers(&old) || event.renamed_to()?.is_some_and(|new| covers(&new)),
        })
    }

    /// Whether an event of this kind takes part; what is not known of it may be anything.
    #[must_use]
    pub fn covers_kind(&self, ns: Option<&Namespace>, operation: Option<&OperationType>) -> bool {
        let by_operation = self.operations.is_empty()
            || operation.is_none_or(|operation| self.operations.contains(operation));
        let by_namespace =
            self.namespaces.is_empty() || ns.is_none_or(|ns| self.namespaces.matches(ns));
        by_operation && by_namespace
    }
}

/// The part of a tape between two places; empty if the end comes first.
pub(crate) fn range(
    tape: &TapeReader,
    start: Option<Position>,
    end: Option<Position>,
) -> Result<Range<Seq>, Error> {
    let seek = |position: Option<Position>, otherwise| match position {
        Some(position) => tape.seek(position).map_err(Error::tape),
        None => Ok(otherwise),
    };
    let start = seek(start, tape.start())?;
    let end = seek(end, tape.end())?;
    Ok(start..end.max(start))
}

#[cfg(test)]
mod tests {
    use bson::raw::RawDocumentBuf;
    use bson::rawdoc;

    use super::*;

    fn covers(include: &[&str], exclude: &[&str], event: RawDocumentBuf) -> bool {
        let patterns = |texts: &[&str]| texts.iter().map(|p| p.parse().unwrap()).collect();
        let namespaces = NamespaceFilter { include: patterns(include), exclude: patterns(exclude) };
        let selection = Selection { namespaces, ..Selection::default() };
        selection.covers(&ChangeEvent::from(event)).unwrap()
    }

    #[test]
    fn a_namespace_decides() {
        let insert = || rawdoc! {"operationType": "insert", "ns": {"db": "shop", "coll": "orders"}};
        assert!(covers(&[], &[], insert()));
        assert!(covers(&["shop"], &[], insert()));
        assert!(!covers(&["shop.items"], &[], insert()));
        assert!(!covers(&["shop"], &["*.orders"], insert()));
    }

    #[test]
    fn a_rename_belongs_by_either_name() {
        let rename = || {
            rawdoc! {
                "operationType": "rename",
                "ns": {"db": "shop", "coll": "new"},
                "to": {"db": "shop", "coll": "orders"},
            }
        };
        assert!(covers(&["shop.new"], &[], rename()));
        assert!(covers(&["shop.orders"], &[], rename()));
        assert!(!covers(&["shop.items"], &[], rename()));
        assert!(covers(&["shop"], &["shop.new"], rename()), "the new name still belongs");
        assert!(!covers(&["shop"], &["shop.new", "shop.orders"], rename()));
    }

    #[test]
    fn an_event_without_a_namespace_belongs() {
        assert!(covers(&["shop"], &[], rawdoc! {"operationType": "invalidate"}));
    }

    #[test]
    fn operation_types_decide() {
        let selection = Selection {
            operations: vec![OperationType::Insert, OperationType::Other("odd".into())],
            ..Selection::default()
        };
        for (operation, expected) in [("insert", true), ("odd", true), ("delete", false)] {
            let event = ChangeEvent::from(rawdoc! {"operationType": operation});
            assert_eq!(selection.covers(&event).unwrap(), expected, "{operation}");
        }
        assert!(selection.covers(&ChangeEvent::from(rawdoc! {})).is_err());
    }
}
