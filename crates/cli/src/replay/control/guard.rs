//! The guard: who may ask at all.
//!
//! - **The token**, where there is one: `Authorization: Bearer …`. Beyond loopback there has to be one.
//! - **Web pages.** A browser on this machine shows pages of anybody, and lets them send requests to
//!   loopback. They are known by `Origin`, which a browser adds to each POST of a page and a program does
//!   not. Against a page whose own name has been made to lead here (DNS rebinding), for which this is
//!   its own origin, `Host` is looked at: it has to be an address, localhost, or the name that was bound.

use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, ORIGIN};
use hyper::http::uri::Authority;

use super::request::Refusal;
use crate::exit::Usage;

/// What a token has at least: fewer characters can be guessed.
const TOKEN_LEN: usize = 16;

/// Decides who may ask.
#[derive(Debug, Clone, Default)]
pub(super) struct Guard {
    token: Option<String>,
    /// The name by which the address was given, if it was one.
    name: Option<String>,
}

impl Guard {
    /// Guards what is served at `address`, as it was given.
    pub(super) fn new(address: &str, token: Option<String>) -> Self {
        let name = address.parse::<Authority>().ok().map(|address| address.host().to_owned());
        Self { token, name }
    }

    /// Whether nobody needs a token.
    pub(super) fn is_open(&self) -> bool {
        self.token.is_none()
    }

    /// Whether whoever sent these headers may ask.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let forbidden = |sentence| Err(Refusal::new(StatusCode::FORBIDDEN, sentence));
        if headers.contains_key(ORIGIN) {
            return forbidden("nothing is done for web pages: leave out the Origin header");
        }
        let mut hosts = headers.get_all(HOST).iter().peekable();
        if hosts.peek().is_none() || !hosts.all(|host| self.is_ours(host)) {
            return forbidden(
                "the Host header has to name the address that is served, or localhost",
            );
        }
        let Some(token) = &self.token else { return Ok(()) };
        match headers.get(AUTHORIZATION).and_then(|given| bearer(given.as_bytes())) {
            Some(given) if is_same(given, token.as_bytes()) => Ok(()),
            _ => Err(Refusal::new(
                StatusCode::UNAUTHORIZED,
                "the token of --control-token-file is needed: Authorization: Bearer TOKEN",
            )),
        }
    }

    fn is_ours(&self, host: &HeaderValue) -> bool {
        let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
        authority.is_some_and(|authority| {
            let host = authority.host();
            let is_named = |name: &str| name.eq_ignore_ascii_case(host);
            is_address(host) || is_named("localhost") || self.name.as_deref().is_some_and(is_named)
        })
    }
}

fn is_address(host: &str) -> bool {
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    v6.map_or_else(|| host.parse::<IpAddr>().is_ok(), |host| host.parse::<Ipv6Addr>().is_ok())
}

/// The token in the value of an `Authorization` header.
fn bearer(given: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"Bearer ";
    let (scheme, token) = given.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim_ascii())
}

/// Whether two texts are the same, in a time that does not tell where they differ.
fn is_same(given: &[u8], token: &[u8]) -> bool {
    let differing =
        given.iter().zip(token).fold(0, |all, (a, b)| std::hint::black_box(all | (a ^ b)));
    given.len() == token.len() && differing == 0
}

/// The token in a file.
///
/// # Errors
/// One sentence if there is none that could be sent, or that could not be guessed.
pub(super) fn token(path: &Path) -> anyhow::Result<String> {
    let wrong =
        |what: String| Usage::new(format!("--control-token-file {}: {what}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let token = text.trim();
    if token.len() < TOKEN_LEN {
        let expected = format!("a token has at least {TOKEN_LEN} characters, or it can be guessed");
        return Err(wrong(expected).into());
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong("a token is one word of ASCII letters, digits and signs".into()).into());
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderName;

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn checked(guard: &Guard, headers: &[(HeaderName, &str)]) -> Option<u16> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value.parse().unwrap());
        }
        guard.check(&map).err().map(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn without_the_token_nothing_is_done() {
        let guard = Guard::new("0.0.0.0:9401", Some(TOKEN.to_owned()));
        assert!(!guard.is_open());
        let with = |value| checked(&guard, &[(HOST, "10.0.0.1:9401"), (AUTHORIZATION, value)]);
        for good in
            ["Bearer 0123456789abcdef", "bearer 0123456789abcdef", "Bearer   0123456789abcdef"]
        {
            assert_eq!(with(good), None, "{good}");
        }
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Bearer 0123456789abcdeF",
            "Bearer 1123456789abcdef",
            "Basic 0123456789abcdef",
            "0123456789abcdef",
        ] {
            assert_eq!(with(bad), Some(401), "{bad:?}");
        }
        assert_eq!(checked(&guard, &[(HOST, "10.0.0.1:9401")]), Some(401));
    }

    #[test]
    fn a_web_page_may_not_ask_whatever_it_knows() {
        let guard = Guard::new("127.0.0.1:9401", None);
        assert!(guard.is_open());
        let host = (HOST, "127.0.0.1:9401");
        assert_eq!(checked(&guard, std::slice::from_ref(&host)), None);
        for origin in ["http://evil.example", "null", "http://127.0.0.1:9401", ""] {
            assert_eq!(checked(&guard, &[host.clone(), (ORIGIN, origin)]), Some(403), "{origin}");
        }
        let guard = Guard::new("127.0.0.1:9401", Some(TOKEN.to_owned()));
        let token = (AUTHORIZATION, "Bearer 0123456789abcdef");
        assert_eq!(checked(&guard, &[host.clone(), token.clone()]), None);
        assert_eq!(checked(&guard, &[host, token, (ORIGIN, "null")]), Some(403));
    }

    #[test]
    fn a_name_that_leads_here_is_no_reason_to_answer_to_it() {
        let guard = Guard::new("player.internal:9401", None);
        for good in [
            "127.0.0.1:9401",
            "10.0.0.1",
            "[::1]:9401",
            "localhost",
            "LocalHost:1",
            "player.internal:9401",
        ] {
            assert_eq!(checked(&guard, &[(HOST, good)]), None, "{good}");
        }
        for bad in [
            "evil.example:9401",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "[evil.example]",
            "internal",
            "",
        ] {
            assert_eq!(checked(&guard, &[(HOST, bad)]), Some(403), "{bad:?}");
        }
        assert_eq!(checked(&guard, &[]), Some(403));
        for two in [["localhost", "evil.example"], ["evil.example", "localhost"]] {
            assert_eq!(checked(&guard, &two.map(|host| (HOST, host))), Some(403));
        }
    }

    #[test]
    fn a_token_that_cannot_be_sent_or_can_be_guessed_is_refused() {
        let path = std::env::temp_dir().join(format!("changetape-token-{}", std::process::id()));
        for (text, says) in [
            (" 0123456789abcdef\n", None),
            ("", Some("at least 16 characters")),
            ("0123456789abcde\n", Some("at least 16 characters")),
            ("0123456789 abcdef", Some("one word of ASCII")),
            ("0123456789abcdefé", Some("one word of ASCII")),
        ] {
            fs::write(&path, text).unwrap();
            let found = token(&path);
            match says {
                None => assert_eq!(found.unwrap(), TOKEN),
                Some(says) => {
                    let sentence = found.unwrap_err().to_string();
                    assert!(sentence.contains(says), "{text:?}: {sentence}");
                }
            }
        }
        fs::remove_file(&path).unwrap();
        assert!(token(&path).unwrap_err().to_string().starts_with("--control-token-file "));
    }
}
