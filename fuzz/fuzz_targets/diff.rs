//! An update diff and a document: the diff read, applied to the document, and described.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| changetape_core::fuzzing::diff(input));
