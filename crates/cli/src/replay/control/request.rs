//! Requests: what is asked over HTTP, or the sentence that says why it is not understood.
//!
//! ```text
//! GET  /status                   how far the replay is
//! POST /pause  /resume           stand still, go on
//! POST /step?n=N                 let so many events leave, and stand still; one without n
//! POST /speed?x=2 ?x=max         another speed
//! POST /seek?to=PLACE +10s -10s  another place
//! POST /stop                     end, as after Ctrl-C
//! ```
//! Pure. Values may be percent-encoded; a `+` is a plus sign.

use std::borrow::Cow;
use std::str::FromStr as _;

use changetape_core::Position;
use changetape_replayer::{Command, SeekTo, Speed};
use hyper::{Method, StatusCode};

use crate::args::parse;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Request {
    Status,
    Do(Command),
    Stop,
}

/// Why a request is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) sentence: String,
    /// Where only another method is answered: which.
    pub(super) allow: Option<&'static str>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        Self { status, sentence: sentence.into(), allow: None }
    }
}

/// What a request asks for.
pub(super) fn read(method: &Method, path: &str, query: Option<&str>) -> Result<Request, Refusal> {
    let is_get = [Method::GET, Method::HEAD].contains(method);
    match (path, is_get) {
        ("/status", false) => return Err(not_by(method, "GET, HEAD")),
        ("/pause" | "/resume" | "/step" | "/speed" | "/seek" | "/stop", _)
            if method != Method::POST =>
        {
            return Err(not_by(method, "POST"));
        }
        _ => {}
    }
    let bad = |sentence| Refusal::new(StatusCode::BAD_REQUEST, sentence);
    let value = |name| value(query.unwrap_or_default(), name).map_err(bad);
    let nothing = || value("").map(drop);
    Ok(match path {
        "/status" => nothing().map(|()| Request::Status)?,
        "/stop" => nothing().map(|()| Request::Stop)?,
        "/pause" => nothing().map(|()| Request::Do(Command::Pause))?,
        "/resume" => nothing().map(|()| Request::Do(Command::Resume))?,
        "/step" => Request::Do(Command::Step(steps(value("n")?).map_err(bad)?)),
        "/speed" => Request::Do(Command::Speed(speed(value("x")?).map_err(bad)?)),
        "/seek" => Request::Do(Command::Seek(place(value("to")?).map_err(bad)?)),
        _ => {
            let sentence = "there are GET /status, and POST /pause, /resume, /step?n=N, \
                            /speed?x=FACTOR, /seek?to=PLACE and /stop";
            return Err(Refusal::new(StatusCode::NOT_FOUND, sentence));
        }
    })
}

fn not_by(method: &Method, allow: &'static str) -> Refusal {
    let sentence = format!("this is not asked by {method} but by {allow}");
    Refusal { status: StatusCode::METHOD_NOT_ALLOWED, sentence, allow: Some(allow) }
}

/// The one value that may be there, if it is.
fn value<'a>(query: &'a str, name: &str) -> Result<Option<Cow<'a, str>>, String> {
    let mut found = None;
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (given, value) = part.split_once('=').unwrap_or((part, ""));
        if given != name {
            let takes = if name.is_empty() { "none".to_owned() } else { format!("only {name:?}") };
            return Err(format!("{given:?} is no parameter of this: it takes {takes}"));
        }
        if found.replace(decoded(value)?).is_some() {
            return Err(format!("{name:?} is given twice"));
        }
    }
    Ok(found)
}

/// The text that percent-encoding stands for.
fn decoded(text: &str) -> Result<Cow<'_, str>, String> {
    if !text.contains('%') {
        return Ok(text.into());
    }
    let bad = || format!("{text:?} is not percent-encoded: % has to be written as %25");
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend(parts.next().unwrap_or_default().bytes());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or_else(bad)?;
        // A sign is no digit, though a number may have one.
        let digits = Some(digits).filter(|digits| digits.bytes().all(|it| it.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or_else(bad)?);
        bytes.extend(rest.bytes());
    }
    Ok(String::from_utf8(bytes).map_err(|_| bad())?.into())
}

fn steps(n: Option<Cow<'_, str>>) -> Result<u64, String> {
    let Some(n) = n else { return Ok(1) };
    n.parse()
        .ok()
        .filter(|&n| n > 0)
        .ok_or_else(|| format!("n={n} is not a number of events: expected 1 or more"))
}

fn speed(x: Option<Cow<'_, str>>) -> Result<Speed, String> {
    let Some(x) = x else { return Err("which speed? expected x=2, x=0.5 or x=max".to_owned()) };
    x.parse().map_err(|error: changetape_replayer::Error| error.to_string())
}

fn place(to: Option<Cow<'_, str>>) -> Result<SeekTo, String> {
    const FORMS: &str = "expected a time (to=2026-03-01T12:00:00Z), a cluster time \
                         (to=1772366400:1), a sequence number (to=%2342, as # has to be written), \
                         or how far to go from here (to=+10s, to=-10s)";
    let to = to.filter(|to| !to.is_empty()).ok_or_else(|| format!("where to? {FORMS}"))?;
    let by = |text| parse::duration(text).map_err(|_| format!("to={to} is no place: {FORMS}"));
    if let Some(text) = to.strip_prefix('+') {
        by(text).map(SeekTo::Forward)
    } else if let Some(text) = to.strip_prefix('-') {
        by(text).map(SeekTo::Back)
    } else {
        let position = Position::from_str(&to);
        position.map(SeekTo::Position).map_err(|_| format!("to={to} is no place: {FORMS}"))
    }
}

#[cfg(test)]
mod tests;
