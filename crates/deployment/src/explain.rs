//! From a driver's error to a sentence that names the host and the cause.

use std::io;

use mongodb::error::{
    Error as DriverError, ErrorKind, RESUMABLE_CHANGE_STREAM_ERROR, RETRYABLE_WRITE_ERROR,
    TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT,
};

use crate::{Deployment, Error, Refusal};

/// `AuthenticationFailed`.
const AUTHENTICATION_FAILED: i32 = 18;

/// Codes that mean "not now" or "not this node": waiting or another node helps.
///
/// Source: the retryable-reads and SDAM specifications ("not writable primary", "node is
/// recovering", "node is shutting down", network errors between servers), and
/// `CursorNotFound` from the change streams specification.
const TRANSIENT_CODES: &[i32] = &[
    6, 7, 43, 63, 89, 91, 133, 134, 150, 189, 234, 262, 317, 9001, 10107, 11600, 11602, 13388,
    13435, 13436,
];

/// Whether trying again later, perhaps on another node, can succeed.
#[must_use]
pub fn is_transient(error: &DriverError) -> bool {
    match error.kind.as_ref() {
        ErrorKind::Io(_)
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::ServerSelection { .. }
        | ErrorKind::DnsResolve { .. } => true,
        _ => {
            error.contains_label(RESUMABLE_CHANGE_STREAM_ERROR)
                || error.contains_label(RETRYABLE_WRITE_ERROR)
                || error.contains_label(TRANSIENT_TRANSACTION_ERROR)
                || error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT)
                || error_code(error).is_some_and(|code| TRANSIENT_CODES.contains(&code))
        }
    }
}

/// The server's error code, where the server answered with one.
#[must_use]
pub fn error_code(error: &DriverError) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}

impl Deployment {
    /// Says what a driver's error means. `doing` is what was attempted, as an infinitive:
    /// "open the change stream".
    #[must_use]
    pub fn explain(&self, error: DriverError, doing: &str) -> Error {
        let hosts = self.hosts().to_owned();
        let doing = doing.to_owned();
        match *error.kind {
            ErrorKind::Authentication { message, .. } => self.authentication(message),
            ErrorKind::Command(command) if command.code == AUTHENTICATION_FAILED => {
                self.authentication(command.message)
            }
            ErrorKind::Command(command) => Error::Refused {
                hosts,
                doing,
                refusal: Refusal {
                    code: command.code,
                    name: command.code_name,
                    message: command.message,
                },
            },
            ErrorKind::ServerSelection { message, .. } => self.unreachable(&message),
            ErrorKind::Io(cause) => self.connection(hosts, &cause),
            other => Error::Failed { hosts, doing, cause: other.to_string() },
        }
    }

    fn authentication(&self, detail: String) -> Error {
        Error::Authentication {
            hosts: self.hosts().to_owned(),
            user: self.user().unwrap_or_default().to_owned(),
            detail,
        }
    }

    /// No server could be selected: the last heartbeat that failed knows why.
    fn unreachable(&self, message: &str) -> Error {
        match self.monitor.last_failure() {
            Some((host, failure)) => match *failure.kind {
                ErrorKind::Io(cause) => self.connection(host, &cause),
                ErrorKind::DnsResolve { message, .. } => {
                    Error::Unreachable { hosts: host, cause: message }
                }
                other => Error::Unreachable { hosts: host, cause: other.to_string() },
            },
            // Every server answers its heartbeats, so it is what they say that does not fit.
            None => Error::Unreachable {
                hosts: self.hosts().to_owned(),
                cause: format!(
                    "its servers answer, but none can be used now; is a primary elected, and \
                     does replicaSet name the right set? The driver says: {}",
                    first_sentence(message)
                ),
            },
        }
    }

    fn connection(&self, hosts: String, cause: &io::Error) -> Error {
        let text = cause.to_string();
        match (self.uses_tls(), cause.kind()) {
            (true, io::ErrorKind::InvalidData) if text.contains("certificate") => Error::Tls {
                hosts,
                cause: format!(
                    "{text}; name the authority that signed the server's certificate with \
                     tlsCAFile=…"
                ),
            },
            (_, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
                if self.has_answered() =>
            {
                Error::Unreachable { hosts, cause: "the server closed the connection".to_owned() }
            }
            (true, io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => Error::Tls {
                hosts,
                cause: format!("{text}; if the server does not use TLS, leave tls=true out"),
            },
            (false, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => Error::Tls {
                hosts,
                cause: "the server closed the connection without an answer; if it requires TLS, \
                        add tls=true to the connection string"
                    .to_owned(),
            },
            (_, io::ErrorKind::ConnectionRefused) => Error::Unreachable {
                hosts,
                cause: "connection refused; is mongod running there, and is the port right?"
                    .to_owned(),
            },
            _ => Error::Unreachable { hosts, cause: readable(&text) },
        }
    }
}

/// The resolver's words for an unknown host are not everybody's.
fn readable(text: &str) -> String {
    if text.contains("failed to lookup address information") {
        "the host name is not known".to_owned()
    } else {
        text.to_owned()
    }
}

/// The driver appends the whole topology to the sentence; the sentence is enough.
fn first_sentence(message: &str) -> &str {
    message.split(" Topology:").next().unwrap_or(message)
}
