//! What is said of a base that is restored before the events.

use changetape_replayer::{BaseProgress, Extent, Restored};
use serde_json::{Value, json};

use crate::progress::Line;
use crate::report;

/// How far it is.
pub(super) fn line(base: &BaseProgress, rate: f64) -> Line {
    let BaseProgress { documents, of, namespace, builds_indexes } = base;
    let what = if *builds_indexes { "the indexes of " } else { "" };
    let text = format!(
        "base: {} of {}, {}, {what}{namespace}",
        report::count(*documents),
        report::counted(*of, "document"),
        report::rate(rate)
    );
    Line { text, part: Some((*documents, *of)) }
}

/// What came of it, for people.
pub(super) fn text(base: &Restored) -> String {
    let dropped = match base.dropped {
        0 => String::new(),
        dropped => format!(", dropping {} first", report::collections(dropped)),
    };
    match base.extent {
        Extent::Nothing => "stopped before anything of the base was restored".to_owned(),
        Extent::Part => format!(
            "stopped in the middle of the base{dropped}: the target holds only a part of it \
             ({}, {}), which --base --drop begins again",
            report::counted(base.documents, "document"),
            report::bytes(base.bytes),
        ),
        Extent::Whole => format!(
            "restored a base of {} ({}) of {} in {}{dropped}",
            report::counted(base.documents, "document"),
            report::bytes(base.bytes),
            report::collections(base.collections),
            report::duration(base.elapsed),
        ),
    }
}

/// The same for programs.
pub(super) fn json(base: &Restored) -> Value {
    json!({
        "restored": match base.extent {
            Extent::Nothing => "nothing",
            Extent::Part => "part",
            Extent::Whole => "whole",
        },
        "collections": base.collections,
        "documents": base.documents,
        "bytes": base.bytes,
        "dropped": base.dropped,
        "elapsedSeconds": base.elapsed.as_secs_f64(),
    })
}

#[cfg(test)]
mod tests {
    use changetape_core::Namespace;

    use super::*;

    #[test]
    fn a_line_says_how_much_is_there_and_what_is_being_done() {
        let namespace = Namespace::collection("shop", "orders");
        let base = BaseProgress { documents: 3_000, of: 12_000, namespace, builds_indexes: false };
        let now = line(&base, 950.0);
        assert_eq!(now.text, "base: 3 000 of 12 000 documents, 950/s, shop.orders");
        assert_eq!(now.part, Some((3_000, 12_000)));
        let later = line(&BaseProgress { builds_indexes: true, ..base }, 0.0);
        assert!(later.text.ends_with(", the indexes of shop.orders"), "{}", later.text);
    }

    #[test]
    fn what_came_of_it_is_told_with_what_was_dropped() {
        let restored = |extent, dropped| Restored { extent, dropped, ..Restored::default() };
        let nothing = text(&restored(Extent::Nothing, 0));
        assert_eq!(nothing, "stopped before anything of the base was restored");
        let part = text(&restored(Extent::Part, 1));
        let says = "middle of the base, dropping 1 collection or view first: the target holds only";
        assert!(part.contains(says), "{part}");
        let whole = text(&restored(Extent::Whole, 0));
        let says = "restored a base of 0 documents (0 B) of 0 collections and views in 0.00 s";
        assert_eq!(whole, says);
    }
}
