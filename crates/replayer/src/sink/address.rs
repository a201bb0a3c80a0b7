//! `SinkAddress`: a sink as the command line names it.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use std::{fmt, io};

use changetape_deployment::{Deployment, check_uri, redact};

use super::Sink;
use super::dry::{DryRun, DrySink};
use super::lines::{LinesSink, Overwrite, Shown};
use super::mongod::{MongodSink, OnError, Order, Transactions, Unsent};
use super::null::NullSink;
use crate::Error;

/// Where a replay delivers, as the command line names it.
#[derive(Clone, PartialEq, Eq)]
pub enum SinkAddress {
    /// `mongodb://…` or `mongodb+srv://…`: a deployment to apply the events to. May contain
    /// a password, which neither `Display` nor `Debug` shows.
    Mongodb(String),
    /// `-`: standard output.
    Stdout,
    /// `file:PATH`.
    File(PathBuf),
    /// `null:`.
    Null,
}

/// How a sink is to deliver; each sink takes of it what concerns it.
#[derive(Debug, Default)]
pub struct SinkOptions {
    /// Which events are printed.
    pub shown: Shown,
    /// Whether a file that is there may be replaced.
    pub overwrite: Overwrite,
    /// How long to wait for a deployment that goes away; a minute if `None`.
    pub max_outage: Option<Duration>,
    /// Which events a database gets in the order of the tape.
    pub order: Order,
    /// What a database makes of recorded transactions.
    pub transactions: Transactions,
    /// How many transactions apply events to a database at the same time.
    pub workers: Option<NonZeroUsize>,
    /// What is done about an event that a database refuses.
    pub on_error: OnError,
    /// Deliver nothing, and count here what would be delivered.
    pub dry_run: Option<DryRun>,
}

impl SinkAddress {
    /// Refuses a sink that no base can be restored into, before it is opened.
    ///
    /// # Errors
    /// [`Error::BaseNeedsDatabase`].
    pub fn check_takes_base(&self) -> Result<(), Error> {
        match self {
            Self::Mongodb(_) => Ok(()),
            Self::Stdout | Self::File(_) | Self::Null => Err(Error::BaseNeedsDatabase),
        }
    }

    /// Opens the sink: connects to the deployment, creates the file; neither in a dry run.
    ///
    /// # Errors
    /// [`Error::Deployment`] if the deployment does not answer, [`Error::FileExists`] or
    /// [`Error::Write`] if the file cannot be created.
    pub async fn open(&self, options: SinkOptions) -> Result<Box<dyn Sink>, Error> {
        let SinkOptions { shown, overwrite, max_outage, order, transactions, .. } = options;
        let SinkOptions { workers, on_error, dry_run, .. } = options;
        if let Some(run) = dry_run {
            return Ok(Box::new(DrySink::new(self.rehearse(shown, overwrite)?, run)));
        }
        Ok(match self {
            Self::Mongodb(uri) => {
                let deployment = Deployment::connect(uri).await.map_err(Error::deployment)?;
                let sink = MongodSink::new(deployment).await?;
                let sink = sink.with_order(order).with_transactions(transactions);
                let mut sink = sink.with_on_error(on_error);
                if let Some(max_outage) = max_outage {
                    sink = sink.with_max_outage(max_outage);
                }
                if let Some(workers) = workers {
                    sink = sink.with_workers(workers);
                }
                Box::new(sink)
            }
            Self::Stdout => Box::new(LinesSink::stdout(shown)),
            Self::File(path) => Box::new(LinesSink::create(path, overwrite, shown)?),
            Self::Null => Box::new(NullSink),
        })
    }
}

impl SinkAddress {
    /// The sink with nowhere to deliver to.
    fn rehearse(&self, shown: Shown, overwrite: Overwrite) -> Result<Box<dyn Sink>, Error> {
        Ok(match self {
            Self::Mongodb(uri) => {
                check_uri(uri).map_err(Error::deployment)?;
                Box::new(Unsent::default())
            }
            Self::File(path) if overwrite == Overwrite::Never && path.exists() => {
                return Err(Error::FileExists { path: path.clone() });
            }
            Self::Stdout | Self::File(_) => {
                Box::new(LinesSink::new(io::sink(), self.to_string(), shown))
            }
            Self::Null => Box::new(NullSink),
        })
    }
}

impl FromStr for SinkAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text == "-" {
            return Ok(Self::Stdout);
        }
        if text == "null:" {
            return Ok(Self::Null);
        }
        if text.starts_with("mongodb://") || text.starts_with("mongodb+srv://") {
            return Ok(Self::Mongodb(text.to_owned()));
        }
        match text.strip_prefix("file:") {
            Some(path) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err(Error::BadSink { input: redact(text) }),
        }
    }
}

impl fmt::Display for SinkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mongodb(uri) => f.write_str(&redact(uri)),
            Self::Stdout => f.write_str("standard output"),
            Self::File(path) => path.display().fmt(f),
            Self::Null => f.write_str("null:"),
        }
    }
}

impl fmt::Debug for SinkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SinkAddress({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_accepted_form_is_read() {
        for (text, address) in [
            ("-", SinkAddress::Stdout),
            ("null:", SinkAddress::Null),
            ("file:out.ndjson", SinkAddress::File("out.ndjson".into())),
            ("file:/tmp/a b", SinkAddress::File("/tmp/a b".into())),
            ("mongodb://db1/", SinkAddress::Mongodb("mongodb://db1/".into())),
            ("mongodb+srv://db", SinkAddress::Mongodb("mongodb+srv://db".into())),
        ] {
            assert_eq!(text.parse::<SinkAddress>().unwrap(), address);
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_forms_it_could_have() {
        for text in ["", "file:", "null", "out.json", "http://x", "mongo://x", "nats://x"] {
            let error = text.parse::<SinkAddress>().unwrap_err().to_string();
            for form in ["mongodb://", "mongodb+srv://", "file:PATH", "null:", "- ("] {
                assert!(error.contains(form), "{text:?}: {error}");
            }
        }
    }

    #[test]
    fn only_a_database_takes_a_base() {
        for (text, takes) in
            [("-", false), ("null:", false), ("file:x", false), ("mongodb://x", true)]
        {
            let address: SinkAddress = text.parse().unwrap();
            assert_eq!(address.check_takes_base().is_ok(), takes, "{text}");
        }
    }

    #[test]
    fn no_password_is_ever_shown() {
        let address: SinkAddress = "mongodb://anna:secret@db1/".parse().unwrap();
        assert_eq!(address.to_string(), "mongodb://anna:***@db1/");
        assert!(!format!("{address:?}").contains("secret"));
        let error = "mongo://anna:secret@db1/".parse::<SinkAddress>().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}
