//! An event: each field that is asked for, and what a `watch()` would have shown of it.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| changetape_core::fuzzing::event(input));
