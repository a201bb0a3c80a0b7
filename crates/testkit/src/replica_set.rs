//! `ReplicaSet`: a replica set of one's own, to write to, kill and restart.
//!
//! ```no_run
//! # async fn f() -> Result<(), changetape_testkit::Error> {
//! use changetape_testkit::ReplicaSet;
//!
//! let mut set = ReplicaSet::three_with_auth().start().await?;
//! let primary = set.primary().await?;
//! set.kill(primary);
//! assert_ne!(set.primary().await?, primary);
//! set.restart(primary).await?;
//! # Ok(()) }
//! ```
//! Dropping a set kills its servers and removes their data.

mod builder;
mod initiate;
mod transport;

use std::path::Path;
use std::time::Instant;

use bson::{Document, doc};
use mongodb::Client;
use mongodb::options::{ClientOptions, Credential};

pub use builder::ReplicaSetBuilder;
use transport::{Transport, direct_client};

use crate::data_directory::DataDirectory;
use crate::server::{PATIENCE, POLL, Server};
use crate::{Error, Proxy};

/// The root user of a set with authentication.
const USER: &str = "root";
/// Its password. Not even a URI of this one may show up in a message, so it has characters
/// that must be escaped in URIs: who prints it unescaped is found out, too.
const PASSWORD: &str = "open/se:same@1";
const PASSWORD_IN_URI: &str = "open%2Fse%3Asame%401";

/// A replica set on loopback ports.
#[derive(Debug)]
pub struct ReplicaSet {
    // Before the directory, so that they are dropped, and have ended, before it is removed.
    nodes: Vec<Server>,
    name: String,
    access: Access,
    transport: Transport,
    options: ClientOptions,
    /// One for each node, if the set is reached through proxies.
    proxies: Vec<Proxy>,
    // Removed on drop.
    _directory: DataDirectory,
}

/// Whether clients must log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Open,
    KeyFile,
}

impl ReplicaSet {
    /// One node without authentication.
    pub fn single() -> ReplicaSetBuilder {
        ReplicaSetBuilder::new()
    }

    /// Three nodes with key file authentication and a root user: a small production set.
    pub fn three_with_auth() -> ReplicaSetBuilder {
        ReplicaSetBuilder::new().nodes(3).auth(true)
    }

    /// The set's URI, all nodes, name and root's credentials included.
    #[must_use]
    pub fn uri(&self) -> String {
        self.uri_as(USER, PASSWORD_IN_URI)
    }

    /// The URI as another user's. Both parts must be percent-encoded where URIs require it.
    /// Without authentication it is the plain [`uri`](Self::uri).
    #[must_use]
    pub fn uri_as(&self, user: &str, password: &str) -> String {
        let hosts: Vec<_> = (0..self.nodes.len()).map(|node| self.host(node)).collect();
        let login = match self.access {
            Access::Open => String::new(),
            Access::KeyFile => format!("{user}:{password}@"),
        };
        let tls = self.transport.as_query();
        format!("mongodb://{login}{}/?replicaSet={}{tls}", hosts.join(","), self.name)
    }

    /// The file of the certificate that clients must trust, if the set requires TLS.
    #[must_use]
    pub fn certificate_authority(&self) -> Option<&Path> {
        match &self.transport {
            Transport::Plain => None,
            Transport::Tls(certificate) => Some(&certificate.authority),
        }
    }

    /// The set's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Root's password, unescaped; it must not appear in any message.
    #[must_use]
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// How many nodes there are, running or not.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// A node's port, which it keeps for life.
    ///
    /// # Panics
    /// If there is no such node.
    #[must_use]
    pub fn port(&self, node: usize) -> u16 {
        self.node(node).port()
    }

    /// The proxy through which clients, and the other nodes, reach a node; see
    /// [`ReplicaSetBuilder::behind_proxies`].
    ///
    /// # Panics
    /// If there is no such node, or no proxies were asked for.
    #[must_use]
    #[expect(clippy::panic, reason = "a test that names a proxy it does not have is wrong")]
    pub fn proxy(&self, node: usize) -> &Proxy {
        match self.proxies.get(node) {
            Some(proxy) => proxy,
            None => panic!("there is no proxy before node {node}"),
        }
    }

    /// A node as the set knows it: what clients that discover the set connect to.
    fn host(&self, node: usize) -> String {
        match self.proxies.get(node) {
            Some(proxy) => format!("127.0.0.1:{}", proxy.port()),
            None => self.node(node).address(),
        }
    }

    /// A new client of the whole set, logged in as root. It lives on the runtime that this
    /// is called in.
    ///
    /// # Errors
    /// [`Error::Mongo`] if the driver refuses its options.
    pub fn client(&self) -> Result<Client, Error> {
        Client::with_options(self.options.clone()).map_err(Error::mongo("making a client"))
    }

    /// A new client of one node, whatever its state, logged in as root.
    ///
    /// # Errors
    /// [`Error::Mongo`] if the driver refuses its options.
    ///
    /// # Panics
    /// If there is no such node.
    pub async fn client_of(&self, node: usize) -> Result<Client, Error> {
        direct_client(self.node(node), &self.transport, self.credential()).await
    }

    /// Kills a node (SIGKILL). It has ended when this returns; its data stay.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn kill(&mut self, node: usize) {
        self.node_mut(node).kill();
    }

    /// Ends a node in order (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// [`Error::TooLate`].
    ///
    /// # Panics
    /// If there is no such node.
    pub async fn stop(&mut self, node: usize) -> Result<(), Error> {
        self.node_mut(node).stop().await
    }

    /// Starts a node again on its port, with its data. It accepts connections when this
    /// returns; what it becomes then, [`primary`](Self::primary) or
    /// [`wait_until_healthy`](Self::wait_until_healthy) waits for. Does nothing to a node that runs.
    ///
    /// # Errors
    /// [`Error::ServerEnded`], [`Error::TooLate`].
    ///
    /// # Panics
    /// If there is no such node.
    pub async fn restart(&mut self, node: usize) -> Result<(), Error> {
        self.node_mut(node).restart().await
    }

    /// Which node is primary; waits until one is.
    ///
    /// # Errors
    /// [`Error::TooLate`] if none becomes primary.
    pub async fn primary(&mut self) -> Result<usize, Error> {
        let deadline = Instant::now() + PATIENCE;
        let mut clients = Vec::new();
        for (index, node) in self.nodes.iter_mut().enumerate() {
            if node.is_running() {
                clients.push((index, direct_client(node, &self.transport, None).await?));
            }
        }
        loop {
            for (index, client) in &clients {
                if hello(client).await.is_some_and(|reply| is_true(&reply, "isWritablePrimary")) {
                    return Ok(*index);
                }
            }
            if Instant::now() > deadline {
                return Err(self.node(0).too_late("no primary was elected"));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until there is a primary and every running node follows it.
    ///
    /// # Errors
    /// [`Error::TooLate`].
    pub async fn wait_until_healthy(&mut self) -> Result<(), Error> {
        self.primary().await?;
        let deadline = Instant::now() + PATIENCE;
        for node in &mut self.nodes {
            if !node.is_running() {
                continue;
            }
            let client = direct_client(node, &self.transport, None).await?;
            while !hello(&client).await.is_some_and(|reply| {
                is_true(&reply, "isWritablePrimary") || is_true(&reply, "secondary")
            }) {
                if Instant::now() > deadline {
                    return Err(node.too_late("a node did not become primary or secondary"));
                }
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }

    /// Makes the primary step down; it has when this returns. A lone node becomes primary
    /// again by itself after a second.
    ///
    /// # Errors
    /// [`Error::Mongo`] if the server refuses, [`Error::TooLate`] if there is no primary.
    pub async fn step_down(&mut self) -> Result<(), Error> {
        let primary = self.primary().await?;
        let alone = self.nodes.len() == 1;
        let command = if alone {
            doc! {"replSetStepDown": 1, "secondaryCatchUpPeriodSecs": 0, "force": true}
        } else {
            doc! {"replSetStepDown": 30, "secondaryCatchUpPeriodSecs": 20}
        };
        let client = self.client_of(primary).await?;
        client.database("admin").run_command(command).await.map_err(Error::mongo("step down"))?;
        Ok(())
    }

    fn credential(&self) -> Option<Credential> {
        (self.access == Access::KeyFile).then(root)
    }

    #[expect(clippy::panic, reason = "a test that names a node it does not have is wrong")]
    fn node(&self, index: usize) -> &Server {
        match self.nodes.get(index) {
            Some(node) => node,
            None => panic!("the set has {} nodes, no node {index}", self.nodes.len()),
        }
    }

    #[expect(clippy::panic, reason = "a test that names a node it does not have is wrong")]
    fn node_mut(&mut self, index: usize) -> &mut Server {
        let nodes = self.nodes.len();
        match self.nodes.get_mut(index) {
            Some(node) => node,
            None => panic!("the set has {nodes} nodes, no node {index}"),
        }
    }
}

fn root() -> Credential {
    Credential::builder().username(USER.to_owned()).password(PASSWORD.to_owned()).build()
}

/// A node's own view of itself; `None` while it does not answer.
async fn hello(client: &Client) -> Option<Document> {
    client.database("admin").run_command(doc! {"hello": 1}).await.ok()
}

fn is_true(reply: &Document, field: &str) -> bool {
    reply.get_bool(field).unwrap_or(false)
}
