//! A base: opened, and read from one end to the other.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

/// In memory: each input is written there, as a tape's.
static SCRATCH: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let directory = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let tape = directory.join(format!("changetape-fuzz-{}.tape", std::process::id()));
    std::fs::create_dir_all(&tape).expect("a place for the base");
    tape
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    changetape_tape::fuzzing::base(input, &SCRATCH).expect("a place for the base");
});
