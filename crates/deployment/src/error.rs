//! Why a deployment could not be reached or did not do what it was asked.

use thiserror::Error;

/// A failure between us and a deployment, named with its hosts and without any password.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection string is at fault: the user's mistake.
    #[error("the connection string cannot be used: {reason}")]
    BadUri {
        /// What is wrong with it.
        reason: String,
    },
    /// No server answered, or none that could serve.
    #[error("cannot reach {hosts}: {cause}")]
    Unreachable {
        /// `host:port`, comma-separated.
        hosts: String,
        /// What stood in the way.
        cause: String,
    },
    /// TLS on one side only, or a certificate that is not trusted.
    #[error("cannot agree on TLS with {hosts}: {cause}")]
    Tls {
        /// `host:port`, comma-separated.
        hosts: String,
        /// What stood in the way.
        cause: String,
    },
    /// The server does not accept user name or password.
    #[error(
        "{hosts} refused user {user:?}: wrong user name or password, or the user belongs to \
         another database (set authSource)"
    )]
    Authentication {
        /// `host:port`, comma-separated.
        hosts: String,
        /// The user name, as in the connection string.
        user: String,
        /// The server's own words.
        detail: String,
    },
    /// A single mongod that is no replica set.
    #[error(
        "{hosts} is a standalone mongod, and change streams need a replica set: start it with \
         --replSet rs0, then run once: mongosh {hosts} --eval 'rs.initiate()'"
    )]
    Standalone {
        /// `host:port`.
        hosts: String,
    },
    /// The server understood and said no.
    #[error("{hosts} refused to {doing}: {refusal}")]
    Refused {
        /// `host:port`, comma-separated.
        hosts: String,
        /// What was attempted, as an infinitive.
        doing: String,
        /// The server's answer.
        refusal: Refusal,
    },
    /// Anything else the driver reports, such as a connection that broke.
    #[error("could not {doing} at {hosts}: {cause}")]
    Failed {
        /// `host:port`, comma-separated.
        hosts: String,
        /// What was attempted, as an infinitive.
        doing: String,
        /// What stood in the way.
        cause: String,
    },
}

impl Error {
    /// The server's error code, where the server answered with one.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal.code),
            _ => None,
        }
    }
}

/// A server's refusal, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The error code, as in MongoDB's `error_codes.yml`.
    pub code: i32,
    /// The code's name, such as `Unauthorized`.
    pub name: String,
    /// The server's message.
    pub message: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}", self.message, self.code)?;
        if !self.name.is_empty() {
            write!(f, " {}", self.name)?;
        }
        f.write_str(")")
    }
}
