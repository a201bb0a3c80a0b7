//! What is asked for.

use anyhow::{Context as _, Result, bail};

/// How many moments, without `--moments`.
const MOMENTS: usize = 300;

/// Which moments, and of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// At how many moments of each recording the power is lost.
    pub(crate) moments: usize,
    /// What decides which, and what survives.
    pub(crate) seed: u64,
    /// Whether the recordings of an earlier run are taken.
    pub(crate) again: bool,
    /// Of which recording alone, by its name.
    pub(crate) only: Option<String>,
}

impl Options {
    /// Reads the command line.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self> {
        // Short enough to be typed.
        let seed = fastrand::u32(..).into();
        let mut options = Self { moments: MOMENTS, seed, again: false, only: None };
        let mut arguments = arguments.into_iter();
        while let Some(flag) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{flag} needs a value"));
            let number = |text: String| {
                text.parse::<u64>().with_context(|| format!("{flag} {text}: expected a number"))
            };
            match flag.as_str() {
                "--moments" => options.moments = usize::try_from(number(value()?)?)?,
                "--seed" => options.seed = number(value()?)?,
                "--only" => options.only = Some(value()?),
                "--again" => options.again = true,
                _ => bail!("{flag}: expected --moments N, --seed N, --only NAME or --again"),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_can_be_repeated_and_mistakes_are_named() {
        let parse = |line: &str| Options::parse(line.split_whitespace().map(str::to_owned));
        let only = Some("large".to_owned());
        let expected = Options { moments: 5, seed: 7, again: true, only };
        assert!(
            parse("--seed 7 --again --moments 5 --only large")
                .is_ok_and(|options| options == expected)
        );
        assert!(parse("").is_ok_and(|options| options.moments == MOMENTS && !options.again));
        for (bad, said) in [("--moments", "needs"), ("--seed x", "expected"), ("5", "expected")] {
            assert!(parse(bad).is_err_and(|error| error.to_string().contains(said)), "{bad}");
        }
    }
}
