//! Goal: bad input gets one clear sentence and the right exit code, and harms nothing.
//!
//! Method: each mistake is made with the program itself, against real servers, and the one
//! sentence it prints is checked for what a user needs to know.

mod arguments;
mod failed;
mod source;
mod tape;
mod target;

/// A password that must not show up anywhere.
pub(crate) const SECRET: &str = "Pa55phrase";

/// A server that cannot be had is looked for until this is over, and the reason is known only
/// after the first attempt: on a busy machine that takes its time.
const SOON: &str = "serverSelectionTimeoutMS=5000";
