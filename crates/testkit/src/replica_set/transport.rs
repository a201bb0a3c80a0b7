//! How a set's nodes are connected to.

use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use mongodb::Client;
use mongodb::options::{ClientOptions, Credential};

use crate::Error;
use crate::certificate::Certificate;
use crate::server::Server;

/// How long one question to one server may take.
const SERVER_TIMEOUT: Duration = Duration::from_secs(5);

/// How clients must connect.
#[derive(Debug, Clone)]
pub(super) enum Transport {
    Plain,
    Tls(Certificate),
}

impl Transport {
    /// The end of a URI's query.
    pub(super) fn as_query(&self) -> String {
        match self {
            Self::Plain => String::new(),
            Self::Tls(certificate) => {
                let path = certificate.authority.as_os_str().as_bytes();
                let mut query = "&tls=true&tlsCAFile=".to_owned();
                for &byte in path {
                    match byte {
                        b'/' | b'.' | b'-' | b'_' => query.push(char::from(byte)),
                        byte if byte.is_ascii_alphanumeric() => query.push(char::from(byte)),
                        byte => query.extend(['%', hex(byte >> 4), hex(byte & 15)]),
                    }
                }
                query
            }
        }
    }
}

/// A client of one node, whatever the node's state.
pub(super) async fn direct_client(
    node: &Server,
    transport: &Transport,
    login: Option<Credential>,
) -> Result<Client, Error> {
    let tls = transport.as_query();
    let uri = format!("mongodb://{}/?directConnection=true{tls}", node.address());
    let mut options =
        ClientOptions::parse(uri).await.map_err(Error::mongo("parsing a test server's URI"))?;
    options.credential = login;
    options.server_selection_timeout = Some(SERVER_TIMEOUT);
    Client::with_options(options).map_err(Error::mongo("making a client"))
}

fn hex(digit: u8) -> char {
    char::from_digit(digit.into(), 16).unwrap_or('0')
}
