//! `Standalone`: a `mongod` that is no replica set and so has no change streams.

use mongodb::Client;

use crate::data_directory::DataDirectory;
use crate::server::Server;
use crate::{Error, mongod};

/// A standalone server on a loopback port, for what has to say that it will not do.
#[derive(Debug)]
pub struct Standalone {
    // Before the directory, so that it has ended before that is removed.
    server: Server,
    _directory: DataDirectory,
}

impl Standalone {
    /// Starts one; it accepts connections when this returns.
    ///
    /// # Errors
    /// [`Error::NoMongod`], [`Error::ServerEnded`], [`Error::TooLate`].
    pub async fn start() -> Result<Self, Error> {
        let directory = DataDirectory::create("standalone")?;
        let mut server = Server::start(mongod::find()?, directory.path().to_owned(), Vec::new())?;
        server.listening_somewhere().await?;
        Ok(Self { server, _directory: directory })
    }

    /// Its URI.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("mongodb://{}/", self.server.address())
    }

    /// A new client of it.
    ///
    /// # Errors
    /// [`Error::Mongo`] if the driver refuses its options.
    pub async fn client(&self) -> Result<Client, Error> {
        Client::with_uri_str(self.uri()).await.map_err(Error::mongo("making a client"))
    }
}
