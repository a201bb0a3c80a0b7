//! `SinkAddress`: a sink as the command line names it.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use changetape_deployment::{Deployment, check_uri, redact};

use super::Sink;
use super::dry::{DryRun, DrySink};
use super::mongod::{MongodSink, OnError, Order, Transactions, Unsent};
use super::null::NullSink;
use super::stream::{self, Consumers, Form, OnDisconnect, Role, SocketAddress, StreamSink};
use crate::{Error, Overwrite, Stop};

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
    /// `tcp://HOST:PORT` or `unix:PATH`: a consumer.
    Socket(SocketAddress),
    /// `null:`.
    Null,
}

/// How a sink is to deliver; each sink takes of it what concerns it.
#[derive(Debug, Default)]
pub struct SinkOptions {
    /// How events are written to a file or a consumer.
    pub form: Form,
    /// Whether a file that is there may be replaced.
    pub overwrite: Overwrite,
    /// Whether a consumer connects, or is connected to.
    pub role: Role,
    /// What is done when a consumer goes away.
    pub on_disconnect: OnDisconnect,
    /// How long to wait for a deployment, or a consumer, that goes away; a minute if `None`.
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
    /// Ends the wait for a first consumer. It is the replay's own.
    pub stop: Stop,
}

impl SinkAddress {
    /// Refuses a sink that no base can be restored into, before it is opened.
    ///
    /// # Errors
    /// [`Error::BaseNeedsDatabase`].
    pub fn check_takes_base(&self) -> Result<(), Error> {
        match self {
            Self::Mongodb(_) => Ok(()),
            _ => Err(Error::BaseNeedsDatabase),
        }
    }

    /// Opens the sink: connects to the deployment, creates the file, listens for a consumer; nothing
    /// of it in a dry run. (A consumer is waited for, or connected to, when the replay begins.)
    ///
    /// # Errors
    /// [`Error::Deployment`] if the deployment does not answer, [`Error::FileExists`] or
    /// [`Error::Write`] if the file cannot be created, [`Error::Listen`] or [`Error::NotASocket`] if
    /// nobody can be listened for.
    pub async fn open(&self, options: SinkOptions) -> Result<Box<dyn Sink>, Error> {
        let SinkOptions { form, overwrite, role, on_disconnect, stop, .. } = options;
        let SinkOptions { max_outage, order, transactions, workers, on_error, dry_run, .. } =
            options;
        if let Some(run) = dry_run {
            return Ok(Box::new(DrySink::new(self.rehearse(form, overwrite)?, run)));
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
            Self::Stdout => Box::new(StreamSink::stdout(form)?),
            Self::File(path) => Box::new(StreamSink::create(path, overwrite, form)?),
            Self::Socket(address) => {
                let max_outage = max_outage.unwrap_or(stream::MAX_OUTAGE);
                let consumers = Consumers::new(address, role, on_disconnect, max_outage)?;
                Box::new(StreamSink::to(consumers, form, stop))
            }
            Self::Null => Box::new(NullSink),
        })
    }
}

impl SinkAddress {
    /// The sink with nowhere to deliver to.
    fn rehearse(&self, form: Form, overwrite: Overwrite) -> Result<Box<dyn Sink>, Error> {
        Ok(match self {
            Self::Mongodb(uri) => {
                check_uri(uri).map_err(Error::deployment)?;
                Box::new(Unsent::default())
            }
            Self::File(path) if overwrite == Overwrite::Never && path.exists() => {
                return Err(Error::FileExists { path: path.clone() });
            }
            Self::Stdout | Self::File(_) | Self::Socket(_) => Box::new(StreamSink::nowhere(form)),
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
            _ => SocketAddress::parse(text)
                .map(Self::Socket)
                .ok_or_else(|| Error::BadSink { input: redact(text) }),
        }
    }
}

impl fmt::Display for SinkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mongodb(uri) => f.write_str(&redact(uri)),
            Self::Stdout => f.write_str("standard output"),
            Self::File(path) => path.display().fmt(f),
            Self::Socket(address) => address.fmt(f),
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
            ("tcp://db1:9000", SinkAddress::Socket(SocketAddress::Tcp("db1:9000".into()))),
            ("unix:/tmp/a b", SinkAddress::Socket(SocketAddress::Unix("/tmp/a b".into()))),
            ("mongodb://db1/", SinkAddress::Mongodb("mongodb://db1/".into())),
            ("mongodb+srv://db", SinkAddress::Mongodb("mongodb+srv://db".into())),
        ] {
            assert_eq!(text.parse::<SinkAddress>().unwrap(), address);
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_forms_it_could_have() {
        for text in ["", "file:", "null", "out.json", "http://x", "tcp://x", "unix:", "nats://x"] {
            let error = text.parse::<SinkAddress>().unwrap_err().to_string();
            for form in
                ["mongodb://", "mongodb+srv://", "file:PATH", "tcp://", "unix:", "null:", "- ("]
            {
                assert!(error.contains(form), "{text:?}: {error}");
            }
        }
    }

    #[test]
    fn only_a_database_takes_a_base() {
        for (text, takes) in
            [("-", false), ("null:", false), ("tcp://x:1", false), ("mongodb://x", true)]
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
