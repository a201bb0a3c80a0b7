//! A resume token: from bytes as a tape keeps it, and from text as people type it.

#![no_main]

use changetape_core::{Position, ResumeToken};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let look = |token: &ResumeToken| {
        let _ = (token.data(), token.cluster_time(), token.to_string(), format!("{token:?}"));
        let raw = token.to_raw().expect("it was a document when it was taken");
        assert_eq!(ResumeToken::from_raw(&raw), *token);
    };
    if let Ok(token) = ResumeToken::from_bytes(input) {
        look(&token);
    }
    if let Ok(text) = std::str::from_utf8(input) {
        if let Ok(token) = ResumeToken::from_data(text) {
            look(&token);
        }
        let _ = text.parse::<Position>();
    }
});
