//! In which order collections and views are made.

use std::collections::HashSet;

use changetape_core::Namespace;
use changetape_tape::Definition;

/// Collections first, as they come; then views, each behind what it is on. A view may be on a view,
/// whose collation the server compares with its own.
pub(super) fn views_last<T>(all: Vec<T>, definition: impl Fn(&T) -> &Definition) -> Vec<T> {
    let (mut left, mut ordered): (Vec<T>, Vec<T>) =
        all.into_iter().partition(|one| view_on(definition(one)).is_some());
    while !left.is_empty() {
        let waiting: HashSet<Namespace> =
            left.iter().map(|view| definition(view).namespace()).collect();
        let waits = |view: &T| view_on(definition(view)).is_some_and(|on| waiting.contains(&on));
        let (still, free): (Vec<T>, Vec<T>) = left.into_iter().partition(waits);
        if free.is_empty() {
            // Views in a circle, which no server has: it will say so.
            ordered.extend(still);
            break;
        }
        ordered.extend(free);
        left = still;
    }
    ordered
}

/// What a view is on; `None` of a collection.
fn view_on(definition: &Definition) -> Option<Namespace> {
    let on = definition.options.get_str("viewOn").ok()?;
    Some(Namespace::collection(definition.db.as_str(), on))
}
