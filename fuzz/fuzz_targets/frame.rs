//! A catalog, metadata, a gap, a checkpoint, totals: whatever small thing a tape keeps.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| changetape_tape::fuzzing::frame(input));
