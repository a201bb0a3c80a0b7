//! A certificate that a test deployment makes for itself.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;

/// A self-signed certificate for loopback addresses: who trusts `authority` trusts it.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    /// The certificate alone, PEM, as `tlsCAFile` takes it.
    pub(crate) authority: PathBuf,
    /// The certificate and its key, PEM, as a server takes them.
    pub(crate) with_key: PathBuf,
}

impl Certificate {
    /// Makes one and writes its files into `directory`.
    pub(crate) fn create(directory: &Path) -> Result<Self, Error> {
        let names = ["127.0.0.1", "localhost"].map(ToOwned::to_owned);
        let made = rcgen::generate_simple_self_signed(names)
            .map_err(|source| Error::Certificate { source: Box::new(source) })?;
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let authority = write(directory.join("certificate.pem"), &certificate)?;
        let with_key = write(directory.join("certificate-and-key.pem"), &(certificate + &key))?;
        Ok(Self { authority, with_key })
    }
}

fn write(path: PathBuf, text: &str) -> Result<PathBuf, Error> {
    fs::write(&path, text).map_err(|source| Error::file("write", &path, source))?;
    Ok(path)
}
