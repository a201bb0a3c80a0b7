//! What fuzzing reaches: what reads events, diffs and tokens, given anything.
//!
//! No part of the interface, and there only with the feature `fuzzing`; `fuzz/` has the targets.

use bson::raw::RawDocument;

use crate::{
    ChangeEvent, DisambiguatedPaths, Position, PublicOptions, ResumeToken, UpdateDiff, public_event,
};

/// Asks an event for each of its fields, and for what a `watch()` would have shown of it.
pub fn event(input: &[u8]) {
    let Ok(event) = ChangeEvent::from_bytes(input) else { return };
    let _ = (event.token(), event.operation_type(), event.cluster_time(), event.wall_time());
    let _ = (event.namespace(), event.renamed_to(), event.document_key(), event.full_document());
    let _ = (event.raw_update(), event.update_description(), event.operation_description());
    let _ = event.transaction();
    for options in [PublicOptions::plain(), PublicOptions::expanded("6.1.0")] {
        if let Ok(Some(public)) = public_event(&event, options) {
            assert!(
                ChangeEvent::from_bytes(public.as_bytes()).is_ok(),
                "what is shown is an event"
            );
        }
    }
    assert_eq!(event.clone().into_owned().as_bytes(), input);
}

/// Reads an update diff, applies it to the document behind it, and describes it.
pub fn diff(input: &[u8]) {
    // The diff is as long as it says, what follows is the document.
    let Some(len) = input.first_chunk().map(|len| u32::from_le_bytes(*len) as usize) else {
        return;
    };
    let Some((diff, document)) = input.split_at_checked(len) else { return };
    let Ok(diff) = RawDocument::from_bytes(diff) else { return };
    let Ok(update) = UpdateDiff::from_raw(diff) else { return };
    for paths in [DisambiguatedPaths::Omit, DisambiguatedPaths::Show] {
        let _ = update.describe(paths);
    }
    if let Ok(document) = RawDocument::from_bytes(document) {
        let _ = update.apply(document);
    }
}

/// Reads a resume token: from bytes as a tape keeps it, and from text as people type it.
pub fn token(input: &[u8]) {
    if let Ok(token) = ResumeToken::from_bytes(input) {
        look_at(&token);
    }
    if let Ok(text) = std::str::from_utf8(input) {
        if let Ok(token) = ResumeToken::from_data(text) {
            look_at(&token);
        }
        let _ = text.parse::<Position>();
    }
}

/// Asks a token for everything that it tells.
fn look_at(token: &ResumeToken) {
    let _ = (token.data(), token.cluster_time(), token.to_string(), format!("{token:?}"));
    let raw = token.to_raw();
    assert!(raw.is_ok_and(|raw| ResumeToken::from_raw(&raw) == *token), "it was a document");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    /// The inputs that fuzzing begins with, and those that once were too much.
    fn corpus(target: &str) -> BTreeMap<String, Vec<u8>> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
        let input = |entry: std::fs::DirEntry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        };
        entries.map(input).collect()
    }

    #[test]
    fn the_corpus_is_harmless() {
        for target in ["event", "diff", "token"] {
            let inputs = corpus(target);
            assert!(!inputs.is_empty(), "{target}: no inputs");
            for (name, input) in inputs {
                println!("{target}/{name}");
                match target {
                    "event" => event(&input),
                    "diff" => diff(&input),
                    _ => token(&input),
                }
            }
        }
    }

    #[test]
    fn the_corpus_is_what_is_to_be_read() {
        let events = corpus("event");
        let insert = ChangeEvent::from_bytes(&events["insert"]).unwrap();
        assert!(insert.full_document().unwrap().is_some());
        assert!(ResumeToken::from_bytes(&corpus("token")["bytes"]).unwrap().data().is_some());
        let fields = &corpus("diff")["fields"];
        let len = u32::from_le_bytes(*fields.first_chunk().unwrap()) as usize;
        let (diff, document) = fields.split_at(len);
        let update = UpdateDiff::from_raw(RawDocument::from_bytes(diff).unwrap()).unwrap();
        assert!(update.apply(RawDocument::from_bytes(document).unwrap()).is_ok());
    }
}
