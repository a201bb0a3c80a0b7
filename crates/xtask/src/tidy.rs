//! `cargo xtask tidy`: the rules of the house that no compiler checks.
//!
//! - [`imports`]: who may import whom; `docs/architecture.md` says why.
//! - [`sources`]: every source file says what it is, fits in the head, and skips no test.

mod imports;
mod sources;

use anyhow::{Result, bail};

/// Prints every breach; fails if there is one.
pub(crate) fn run() -> Result<()> {
    let mut breaches = imports::check()?;
    breaches.extend(sources::check()?);
    for breach in &breaches {
        println!("{breach}");
    }
    match breaches.len() {
        0 => Ok(()),
        1 => bail!("one rule of the house is broken"),
        many => bail!("{many} rules of the house are broken"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_workspace_is_tidy() {
        let mut breaches = super::imports::check().unwrap();
        breaches.extend(super::sources::check().unwrap());
        assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
    }
}
