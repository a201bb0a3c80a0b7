//! What stands on a bench's command line: flags, each followed by its value.

use std::env;
use std::str::FromStr;

use crate::Error;

/// The arguments of this process.
#[derive(Debug)]
pub struct Arguments(Vec<String>);

impl Arguments {
    /// Those that it was started with. What `cargo bench` adds is among them, and asked for by nobody.
    #[must_use]
    pub fn given() -> Self {
        Self(env::args().collect())
    }

    /// The value of a flag, if it is there.
    #[must_use]
    pub fn text(&self, flag: &str) -> Option<&str> {
        let at = self.0.iter().position(|argument| argument == flag)?;
        self.0.get(at + 1).map(String::as_str)
    }

    /// The same, where the bench cannot do without.
    ///
    /// # Errors
    /// If the flag is not there, or its value cannot be read.
    pub fn required<T: FromStr>(&self, flag: &str) -> Result<T, Error>
    where
        Error: From<T::Err>,
    {
        Ok(self.text(flag).ok_or_else(|| format!("no {flag}"))?.parse()?)
    }

    /// The same, where there is something to do without.
    ///
    /// # Errors
    /// If its value cannot be read.
    pub fn or<T: FromStr>(&self, flag: &str, otherwise: T) -> Result<T, Error>
    where
        Error: From<T::Err>,
    {
        Ok(self.text(flag).map_or(Ok(otherwise), str::parse)?)
    }
}
