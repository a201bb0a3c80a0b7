//! A block, as it is and with its checksums made right.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| changetape_tape::fuzzing::block(input));
