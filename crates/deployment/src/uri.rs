//! Connection strings, and keeping their secrets out of messages.

use mongodb::error::ErrorKind;
use mongodb::options::{ClientOptions, ConnectionString};

use crate::Error;

/// A connection string with its password replaced, fit for messages and logs.
///
/// `mongodb://anna:secret@db1/?tls=true` becomes `mongodb://anna:***@db1/?tls=true`. Text
/// that is no connection string but has the shape of one is treated alike.
#[must_use]
pub fn redact(uri: &str) -> String {
    match password_span(uri) {
        Some((start, end)) => {
            let (before, after) = (uri.get(..start), uri.get(end..));
            format!("{}***{}", before.unwrap_or_default(), after.unwrap_or_default())
        }
        None => uri.to_owned(),
    }
}

/// Byte offsets of the password. A password that was not percent-encoded may contain `@` or
/// `/`, so it ends at the last `@` of the text: better to hide too much. For the same reason
/// the scheme may be misspelt. Where the host was forgotten, what stands in its port's place is
/// one, unless it could be a port.
fn password_span(uri: &str) -> Option<(usize, usize)> {
    let scheme = uri.find(":/").map_or(0, |colon| colon + 1);
    let start = scheme + uri.get(scheme..)?.find(|c| c != '/')?;
    let Some(at) = uri.get(start..)?.rfind('@') else { return mistaken_port(uri, start) };
    let end = start + at;
    let colon = start + uri.get(start..end)?.find(':')? + 1;
    Some((colon, end))
}

fn mistaken_port(uri: &str, start: usize) -> Option<(usize, usize)> {
    if !uri.starts_with("mongodb") {
        return None;
    }
    let hosts = uri.get(start..)?.split(['/', '?']).next()?;
    let (host, rest) = hosts.split_once(':')?;
    let colon = start + host.len() + 1;
    let port = rest.split(',').next()?;
    let could_be_one = port.bytes().all(|byte| byte.is_ascii_digit());
    (!could_be_one).then_some((colon, uri.len()))
}

/// Reads a connection string; for `mongodb+srv://` that asks the DNS.
pub(crate) async fn parse(uri: &str) -> Result<ClientOptions, Error> {
    if !uri.starts_with("mongodb://") && !uri.starts_with("mongodb+srv://") {
        return Err(Error::BadUri {
            reason: "it begins neither with mongodb:// nor with mongodb+srv://".to_owned(),
        });
    }
    ClientOptions::parse(uri).await.map_err(|error| explain(uri, error))
}

/// Whether a connection string can be read; asks nobody.
///
/// # Errors
/// [`Error::BadUri`] if it cannot.
pub fn check_uri(uri: &str) -> Result<(), Error> {
    ConnectionString::parse(uri).map_err(|error| explain(uri, error))?;
    Ok(())
}

fn explain(uri: &str, error: mongodb::error::Error) -> Error {
    match *error.kind {
        ErrorKind::DnsResolve { message, .. } => Error::Unreachable {
            hosts: srv_host(uri),
            cause: format!("its DNS records cannot be read: {message}"),
        },
        ErrorKind::InvalidTlsConfig { message, .. } => Error::BadUri { reason: message },
        ErrorKind::InvalidArgument { message, .. } => Error::BadUri { reason: hide(uri, message) },
        other => Error::BadUri { reason: hide(uri, other.to_string()) },
    }
}

/// The driver quotes the part that it cannot read, which may be the password, whole or in
/// part; then its words are not used at all.
fn hide(uri: &str, message: String) -> String {
    const SHORTEST_SECRET: usize = 3;
    let Some(secret) = password_span(uri).and_then(|(start, end)| uri.get(start..end)) else {
        return message;
    };
    let leaks = secret
        .split(['@', ':', '/', '?', '&', '='])
        .any(|part| part.len() >= SHORTEST_SECRET && message.contains(part));
    if leaks {
        "the user name and password must be percent-encoded (@ as %40, : as %3A, / as %2F)".into()
    } else {
        message
    }
}

fn srv_host(uri: &str) -> String {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let host = rest.rsplit('@').next().unwrap_or(rest);
    host.split(['/', '?']).next().unwrap_or(host).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (uri, shown) in [
            ("mongodb://db1:27017/?x=y", "mongodb://db1:27017/?x=y"),
            ("mongodb://anna:secret@db1/", "mongodb://anna:***@db1/"),
            ("mongodb://anna:s@c/r:t@db1/", "mongodb://anna:***@db1/"),
            ("mongodb+srv://anna:secret@db1", "mongodb+srv://anna:***@db1"),
            ("mongodb://anna@db1/", "mongodb://anna@db1/"),
            ("mongodb:/anna:secret@db1", "mongodb:/anna:***@db1"),
            ("anna:secret@db1", "anna:***@db1"),
            ("mongodb://anna:secret", "mongodb://anna:***"),
            ("mongodb://anna:sec/ret?x", "mongodb://anna:***"),
            ("mongodb://db1:27017,db2:27018/x", "mongodb://db1:27017,db2:27018/x"),
            ("mongodb://db1/?a=b:c", "mongodb://db1/?a=b:c"),
            ("file:/tmp/a:b", "file:/tmp/a:b"),
            ("x", "x"),
        ] {
            assert_eq!(redact(uri), shown);
        }
    }

    #[test]
    fn a_message_that_quotes_the_password_is_replaced() {
        let uri = "mongodb://anna:se@cret@db1/";
        assert!(!hide(uri, "cannot read \"cret\"".into()).contains("cret"));
        assert_eq!(hide(uri, "no such option".into()), "no such option");
    }

    #[test]
    fn the_host_of_an_srv_address_is_found() {
        assert_eq!(srv_host("mongodb+srv://a:b@db.example.net/x?y=z"), "db.example.net");
        assert_eq!(srv_host("mongodb+srv://db.example.net"), "db.example.net");
    }
}
