//! Conversions of collections into capped ones, as a tape shows them.
//!
//! `convertToCapped` shows as a `create` under a temporary name and a `rename` over the collection. The
//! documents that it copies in between are in no change stream; it copies them in the order in which
//! they were written. So that order shows from then on, and what fills a collection that is converted
//! later has to keep it.

use changetape_core::{Namespace, OperationType};
use changetape_tape::TapeReader;

use crate::Error;

/// Whether a name is that of the copy that a conversion makes.
pub(crate) fn is_copy(ns: &Namespace) -> bool {
    let coll = ns.coll.as_deref().unwrap_or_default();
    coll.starts_with("tmp") && coll.contains(".convertToCapped.")
}

/// Whether there is a conversion on a tape, in whichever part. What cannot be read is left to whoever
/// plays it.
pub(crate) fn any(tape: &TapeReader) -> Result<bool, Error> {
    let may_be = |ns: Option<&Namespace>, operation: Option<&OperationType>| {
        ns.is_none_or(is_copy)
            && operation.is_none_or(|operation| *operation == OperationType::Create)
    };
    for block in tape.blocks(tape.start()).until(tape.end()).keeping(may_be) {
        let Ok(block) = block else { break };
        for recorded in block.events() {
            let bad = Error::event(recorded.seq);
            if recorded.event.namespace().map_err(bad)?.as_ref().is_some_and(is_copy) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
