//! An update diff and a document: the diff read, applied to the document, and described.

#![no_main]

use bson::raw::RawDocument;
use changetape_core::{DisambiguatedPaths, UpdateDiff};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
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
});
