//! A resume token: from bytes as a tape keeps it, and from text as people type it.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| changetape_core::fuzzing::token(input));
