//! A segment: read as one, and looked through for what it still holds.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

/// In memory: each input is written there.
static SCRATCH: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let directory = if memory.is_dir() { memory } else { std::env::temp_dir() };
    directory.join(format!("changetape-fuzz-{}.seg", std::process::id()))
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    changetape_tape::fuzzing::segment(input, &SCRATCH).expect("a place for the segment");
});
