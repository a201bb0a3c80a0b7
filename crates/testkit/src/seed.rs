//! The seed of a randomised test.

/// The variable that repeats a run.
pub const SEED: &str = "CHANGETAPE_TEST_SEED";

/// A seed for a test: `CHANGETAPE_TEST_SEED` if it is set, else a new one. It is printed, so
/// that a test that failed can be run again as it was.
///
/// # Panics
/// If the variable is not a number: testing with another seed than the one asked for would
/// look like success.
#[must_use]
#[expect(clippy::panic, reason = "see the documentation")]
pub fn seed() -> u64 {
    let seed = match std::env::var(SEED) {
        Ok(text) => match text.trim().parse() {
            Ok(seed) => seed,
            Err(error) => panic!("{SEED} is {text:?}: {error}"),
        },
        // Short enough to be typed.
        Err(_) => fastrand::u32(..).into(),
    };
    println!("{SEED}={seed}");
    seed
}
