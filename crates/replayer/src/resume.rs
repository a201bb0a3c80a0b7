//! `Coverage`: which part of which tape a replay plays, and how far it has come on its target.
//!
//! A target that keeps the progress of a replay keeps with it what that replay covers: going on with
//! another selection, or under other names, would leave out what one of the two leaves out.

use bson::oid::ObjectId;
use changetape_tape::Metadata;

use crate::selection::kept;
use crate::{NamespaceMap, ReplayOptions, Selection};

/// What a replay covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// The tape, by where and when it was recorded.
    pub(crate) tape: String,
    /// Which of its events, and under which names; for people, too.
    pub(crate) covers: String,
}

impl Coverage {
    pub(crate) fn of(tape: &Metadata, options: &ReplayOptions) -> Self {
        let source = &tape.source;
        let id = source.replica_set_id.map(ObjectId::to_hex);
        let recorded =
            format!("{} at {}", id.as_ref().unwrap_or(&source.replica_set), tape.created_at);
        Self { tape: recorded, covers: covers(&options.selection, &options.map) }
    }
}

fn covers(selection: &Selection, map: &NamespaceMap) -> String {
    let mut parts = Vec::new();
    let mut add = |what: &str, values: Vec<String>| {
        if !values.is_empty() {
            parts.push(format!("{what} {}", values.join(",")));
        }
    };
    let sorted = |mut values: Vec<String>| {
        values.sort_unstable();
        values.dedup();
        values
    };
    let texts = |values: &[_]| values.iter().map(ToString::to_string).collect();
    add("--include", sorted(texts(&selection.namespaces.include)));
    // What is never applied need not be told.
    let exclude = selection.namespaces.exclude.iter().filter(|pattern| **pattern != kept());
    add("--exclude", sorted(exclude.map(ToString::to_string).collect()));
    add("--op", sorted(selection.operations.iter().map(ToString::to_string).collect()));
    add("--start", selection.start.iter().map(ToString::to_string).collect());
    // Not the end: a later one goes on from an earlier one.
    // The first that covers a namespace decides: their order counts.
    add("--map-ns", map.rules().map(|rule| rule.to_string()).collect());
    if parts.is_empty() { "everything".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_the_same_is_the_same_part() {
        let part = |include: &[&str], map: &[&str]| {
            let mut selection = Selection::default();
            selection.namespaces.include = include.iter().map(|ns| ns.parse().unwrap()).collect();
            covers(&selection, &NamespaceMap::parse(map).unwrap())
        };
        assert_eq!(part(&[], &[]), "everything");
        assert_eq!(part(&["b", "a.x", "b"], &[]), "--include a.x,b.*");
        assert_eq!(part(&["b"], &["b=c", "a=d"]), "--include b.* --map-ns b=c,a=d");
        assert_ne!(part(&[], &["b=c", "a=d"]), part(&[], &["a=d", "b=c"]));
    }
}
