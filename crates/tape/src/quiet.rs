//! Panics of the embedded log as errors.
//!
//! sled panics where a file is not what it expects. A tape's user must get a sentence, so
//! each call into sled goes through [`catch`], and the panic hook's own report of it (which
//! would land on the terminal between ours) is left out. Panics of anyone else are reported
//! as before.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// What a call panicked with.
#[derive(Debug, thiserror::Error)]
#[error("panicked: {0}")]
pub(crate) struct Panicked(String);

/// Calls, and returns a panic as an error.
///
/// The caller must not go on using what the call was about: it is in no known state. That is
/// what makes the assertion of unwind safety hold.
pub(crate) fn catch<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                report(info);
            }
        }));
    });
    let was_quiet = QUIET.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(call));
    QUIET.set(was_quiet);
    result.map_err(|payload| Panicked(message(payload.as_ref())))
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_message() {
        assert_eq!(catch(|| 7).unwrap(), 7);
        let error = catch(|| panic!("number {}", 5)).unwrap_err();
        assert_eq!(error.to_string(), "panicked: number 5");
        assert!(!QUIET.get(), "panics after it are reported again");
    }
}
