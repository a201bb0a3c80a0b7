//! How a replica set is to be, before it is started.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use mongodb::options::ClientOptions;

use super::{Access, ReplicaSet, Transport, initiate};
use crate::certificate::Certificate;
use crate::data_directory::DataDirectory;
use crate::server::Server;
use crate::{Error, Proxy, mongod};

/// What a [`ReplicaSet`] is to be like. By default: one node, no authentication.
#[derive(Debug, Clone)]
#[must_use]
pub struct ReplicaSetBuilder {
    name: String,
    nodes: usize,
    access: Access,
    tls: Tls,
    network: Network,
    server: Release,
    flags: Vec<OsString>,
}

#[derive(Debug, Clone, Copy)]
enum Release {
    /// Whichever is there.
    Any,
    /// 6.0.9 or later.
    Newer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Network {
    Direct,
    BehindProxies,
}

#[derive(Debug, Clone, Copy)]
enum Tls {
    Off,
    Required,
}

impl ReplicaSetBuilder {
    pub(super) fn new() -> Self {
        let name = format!("rs{:08x}", fastrand::u32(..));
        let (access, tls, network) = (Access::Open, Tls::Off, Network::Direct);
        Self { name, nodes: 1, access, tls, network, server: Release::Any, flags: Vec::new() }
    }

    /// The set's name; one that no other set has, unless told.
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// How many nodes, all of them electable; at least one.
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes.max(1);
        self
    }

    /// Whether there is key file authentication and a root user.
    pub fn auth(mut self, auth: bool) -> Self {
        self.access = if auth { Access::KeyFile } else { Access::Open };
        self
    }

    /// Whether clients and nodes must use TLS, with a certificate that the set makes for
    /// itself; see [`ReplicaSet::certificate_authority`].
    pub fn tls(mut self, tls: bool) -> Self {
        self.tls = if tls { Tls::Required } else { Tls::Off };
        self
    }

    /// Whether each node is known to the set by the port of a [`Proxy`] before it:
    /// then clients that discover the set, and the other nodes, reach it by a network that can be
    /// cut. See [`ReplicaSet::proxy`].
    pub fn behind_proxies(mut self, behind: bool) -> Self {
        self.network = if behind { Network::BehindProxies } else { Network::Direct };
        self
    }

    /// Servers of 6.0.9 or later, which send events over 16 MB in fragments.
    pub fn newer_server(mut self) -> Self {
        self.server = Release::Newer;
        self
    }

    /// The size of the oplog in MiB. `mongod --oplogSize` takes 1 and more (6.0.5 refuses 0
    /// only); the 990 MB that the manual gives as least is the limit of `replSetResizeOplog`.
    ///
    /// The oplog is cut only up to the last checkpoint and only while something is written,
    /// so a checkpoint is taken every second instead of every minute. With 1 MiB, under
    /// steady writes, the oldest entry was gone after 1 s (6.0.5; after 60 s otherwise).
    pub fn oplog_mib(self, mib: u32) -> Self {
        self.flag("--oplogSize").flag(mib.to_string()).flag("--syncdelay").flag("1")
    }

    /// A server parameter to start with.
    pub fn set_parameter(self, name: &str, value: &str) -> Self {
        self.flag("--setParameter").flag(format!("{name}={value}"))
    }

    /// One more argument for each `mongod`.
    pub fn flag(mut self, flag: impl Into<OsString>) -> Self {
        self.flags.push(flag.into());
        self
    }

    /// Starts the set; every node is primary or secondary when this returns.
    ///
    /// # Errors
    /// [`Error::NoMongod`]; [`Error::ServerEnded`] or [`Error::TooLate`], with the end of
    /// the log, if a server does not come up.
    pub async fn start(self) -> Result<ReplicaSet, Error> {
        let mongod = match self.server {
            Release::Any => mongod::find()?,
            Release::Newer => mongod::find_newer()?,
        };
        let directory = DataDirectory::create("replica-set")?;
        let name = self.name;
        let mut flags = vec!["--replSet".into(), name.clone().into()];
        if self.access == Access::KeyFile {
            flags.extend(["--keyFile".into(), key_file(directory.path())?.into_os_string()]);
        }
        let transport = match self.tls {
            Tls::Off => Transport::Plain,
            Tls::Required => Transport::Tls(Certificate::create(directory.path())?),
        };
        flags.extend(tls_flags(&transport));
        flags.extend(self.flags.iter().cloned());
        let start_node = |index| {
            let node_directory = directory.path().join(format!("node-{index}"));
            Server::start(mongod.clone(), node_directory, flags.clone())
        };
        let mut nodes = (0..self.nodes).map(start_node).collect::<Result<Vec<_>, _>>()?;
        for node in &mut nodes {
            node.listening_somewhere().await?;
        }
        let mut proxies = Vec::new();
        if self.network == Network::BehindProxies {
            for node in &nodes {
                proxies.push(Proxy::start(node.port()).await?);
            }
        }
        let options = ClientOptions::default();
        let mut set = ReplicaSet {
            nodes,
            name,
            access: self.access,
            transport,
            options,
            proxies,
            _directory: directory,
        };
        set.options = ClientOptions::parse(set.uri())
            .await
            .map_err(Error::mongo("parsing the test set's URI"))?;
        initiate::initiate(&mut set).await?;
        Ok(set)
    }
}

fn tls_flags(transport: &Transport) -> Vec<OsString> {
    let Transport::Tls(certificate) = transport else { return Vec::new() };
    let mut flags = ["--tlsMode", "requireTLS", "--tlsAllowConnectionsWithoutCertificates"]
        .map(OsString::from)
        .to_vec();
    flags.extend(["--tlsCertificateKeyFile".into(), certificate.with_key.clone().into()]);
    flags.extend(["--tlsCAFile".into(), certificate.authority.clone().into()]);
    flags
}

/// The secret by which the nodes know each other.
fn key_file(directory: &Path) -> Result<PathBuf, Error> {
    let path = directory.join("key");
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        // mongod refuses a key that others can read.
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| write!(file, "{:032x}", fastrand::u128(..)));
    written.map_err(|source| Error::file("write", &path, source))?;
    Ok(path)
}
