//! `Deployment`: a client and what messages need to know about where it leads.

use std::time::Duration;

use bson::{Document, doc};
use mongodb::Client;
use mongodb::options::{ClientOptions, Tls};

use crate::monitor::Monitor;
use crate::{Error, PATIENCE, uri};

/// How long to look for a server before giving up, unless the connection string says
/// (`serverSelectionTimeoutMS`). The driver's own 30 s is long to stare at a typo.
const SERVER_SELECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long closing cursors may keep a program from ending.
const CLOSING: Duration = Duration::from_secs(2);

/// How many connections may be being made at a time, unless the connection string says
/// (`maxConnecting`). One that dies in the middle of that is in the way of others until the system
/// gives it up; the driver's own 2 are soon used up by them.
const MAX_CONNECTING: u32 = 10;

/// A MongoDB deployment that has answered.
#[derive(Debug, Clone)]
pub struct Deployment {
    client: Client,
    hosts: String,
    user: Option<String>,
    tls: bool,
    pub(crate) monitor: Monitor,
    pub(crate) patience: Duration,
    hello: Document,
}

/// What kind of deployment it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// A single mongod.
    Standalone,
    /// A replica set, with its name.
    ReplicaSet(String),
    /// A sharded cluster, reached through a mongos.
    Sharded,
}

impl Deployment {
    /// Connects and waits for an answer.
    ///
    /// # Errors
    /// [`Error::BadUri`] if the connection string cannot be read, otherwise what stood in the
    /// way, named with the hosts.
    pub async fn connect(uri: &str) -> Result<Self, Error> {
        let mut options = uri::parse(uri).await?;
        options.app_name.get_or_insert_with(|| "changetape".to_owned());
        let looking = *options.server_selection_timeout.get_or_insert(SERVER_SELECTION_TIMEOUT);
        options.max_connecting.get_or_insert(MAX_CONNECTING);
        let monitor = Monitor::default();
        options.sdam_event_handler = Some(monitor.handler());

        let hosts = hosts(&options);
        let user = options.credential.as_ref().and_then(|c| c.username.clone());
        let tls = matches!(options.tls, Some(Tls::Enabled(_)));
        let client = Client::with_options(options)
            .map_err(|error| Error::BadUri { reason: error.kind.to_string() })?;
        // The connection string may say to look for a server for longer than an answer takes.
        let patience = looking.saturating_add(PATIENCE);
        let hello = Document::new();
        let mut deployment = Self { client, hosts, user, tls, monitor, patience, hello };
        deployment.hello = deployment.admin(doc! {"hello": 1}, "greet the server").await?;
        Ok(deployment.with_patience(PATIENCE))
    }

    /// The driver's client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// `host:port` of every host in the connection string, comma-separated.
    #[must_use]
    pub fn hosts(&self) -> &str {
        &self.hosts
    }

    /// The user name of the connection string.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Whether the connection string asks for TLS.
    #[must_use]
    pub fn uses_tls(&self) -> bool {
        self.tls
    }

    /// Lets go of the deployment: cursors that are still open there are closed. Waits for that
    /// only briefly, for a server that is away closes them by itself.
    pub async fn close(self) {
        let shutdown = self.client.shutdown();
        // Whether it was in time makes no difference to anybody.
        let _ = tokio::time::timeout(CLOSING, shutdown.into_future()).await;
    }

    /// Whether a server has ever answered: then it speaks as we do, TLS included.
    pub(crate) fn has_answered(&self) -> bool {
        !self.hello.is_empty()
    }

    /// What kind of deployment answered.
    #[must_use]
    pub fn topology(&self) -> Topology {
        if let Ok(name) = self.hello.get_str("setName") {
            Topology::ReplicaSet(name.to_owned())
        } else if self.hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid") {
            Topology::Sharded
        } else {
            Topology::Standalone
        }
    }

    /// Runs a command on `admin` with the connection string's read preference.
    ///
    /// # Errors
    /// What stood in the way of `doing` (an infinitive, for the message).
    pub async fn admin(&self, command: Document, doing: &str) -> Result<Document, Error> {
        let admin = self.client.database("admin");
        let mut run = admin.run_command(command);
        if let Some(criteria) = self.client.selection_criteria().cloned() {
            run = run.selection_criteria(criteria);
        }
        self.answer(run).await.map_err(|error| self.explain(error, doing))
    }
}

fn hosts(options: &ClientOptions) -> String {
    let hosts: Vec<String> = options.hosts.iter().map(ToString::to_string).collect();
    hosts.join(",")
}
