//! `Deployment`: one of one's own, or one that the environment names.

use mongodb::Client;

use crate::{Error, ReplicaSet};

/// What runs on any replica set, and so can be pointed at one that is there already: of
/// another version, sharded, or started by `docker compose up`.
///
/// It must be one that may be written to and emptied.
#[derive(Debug)]
#[must_use]
pub enum Deployment {
    /// Started for this test; it goes when this is dropped.
    Own(Box<ReplicaSet>),
    /// Somebody's, by its URI.
    External(String),
}

impl Deployment {
    /// The one to record: `CHANGETAPE_TEST_URI`, else a single node of one's own.
    ///
    /// # Errors
    /// See [`ReplicaSetBuilder::start`](crate::ReplicaSetBuilder::start).
    pub async fn source() -> Result<Self, Error> {
        Self::named_or_own("CHANGETAPE_TEST_URI").await
    }

    /// The one to replay into: `CHANGETAPE_TEST_TARGET_URI`, else a single node of one's own.
    ///
    /// # Errors
    /// See [`ReplicaSetBuilder::start`](crate::ReplicaSetBuilder::start).
    pub async fn target() -> Result<Self, Error> {
        Self::named_or_own("CHANGETAPE_TEST_TARGET_URI").await
    }

    /// Its URI, credentials included.
    #[must_use]
    pub fn uri(&self) -> String {
        match self {
            Self::Own(set) => set.uri(),
            Self::External(uri) => uri.clone(),
        }
    }

    /// A new client of it. It lives on the runtime that this is called in.
    ///
    /// # Errors
    /// [`Error::Mongo`] if the driver refuses the URI.
    pub async fn client(&self) -> Result<Client, Error> {
        match self {
            Self::Own(set) => set.client(),
            Self::External(uri) => {
                Client::with_uri_str(uri).await.map_err(Error::mongo("making a client"))
            }
        }
    }

    async fn named_or_own(variable: &str) -> Result<Self, Error> {
        match std::env::var(variable) {
            Ok(uri) if !uri.trim().is_empty() => Ok(Self::External(uri)),
            _ => Ok(Self::Own(Box::new(ReplicaSet::single().start().await?))),
        }
    }
}
