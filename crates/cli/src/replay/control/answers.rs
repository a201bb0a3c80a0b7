//! `--control ADDR`: a replay is asked over HTTP, and tells how far it is.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use changetape_core::WallTime;
use changetape_replayer::{Command, Speed};
use hyper::StatusCode;
use hyper::header::{HeaderValue, WWW_AUTHENTICATE};
use serde_json::{Value, json};

use super::guard::{self, Guard};
use super::request::{self, Refusal, Request};
use super::{Came, Controls};
use crate::exit::Usage;
use crate::http::{self, Bound, CONNECTION_TIME, Page, Serving, allowing};
use crate::replay::watch::Now;
use crate::report;

/// How long whoever asks waits until it is done.
const PATIENCE: Duration = Duration::from_secs(2);

// There has to be time left to say that it is not done yet.
const _: () = assert!(PATIENCE.as_millis() < CONNECTION_TIME.as_millis());

/// How often a replay is looked at while nobody asks: what "the last seconds" are is to be known.
const LOOK: Duration = Duration::from_millis(500);

/// An address where a replay can be asked, before there is one.
#[derive(Debug)]
pub(in crate::replay) struct Listening {
    bound: Bound,
    guard: Guard,
}

/// Binds an address for it.
///
/// # Errors
/// One sentence if it cannot be bound, or is for others than this machine and no token guards it.
pub(in crate::replay) async fn listen(
    address: &str,
    token_file: Option<&Path>,
) -> anyhow::Result<Listening> {
    let guard = Guard::new(address, token_file.map(guard::token).transpose()?);
    let bound = http::bind(address, "control").await?;
    // Not as it was given: what a name stands for may be anything.
    let served = bound.address();
    if guard.is_open() && !served.ip().to_canonical().is_loopback() {
        let sentence = format!(
            "--control {address} is not on loopback: others could ask, so it needs a token \
             (--control-token-file)"
        );
        return Err(Usage::new(sentence).into());
    }
    tracing::info!("control is at http://{served}/status");
    Ok(Listening { bound, guard })
}

impl Listening {
    /// Answers from now on.
    pub(in crate::replay) fn serve(self, controls: Controls) -> Serving {
        let watch = Arc::downgrade(&controls.watch);
        tokio::spawn(async move {
            while let Some(watch) = watch.upgrade() {
                watch.now();
                drop(watch);
                tokio::time::sleep(LOOK).await;
            }
        });
        let guard = Arc::new(self.guard);
        self.bound.serve(move |request| {
            let (guard, controls) = (Arc::clone(&guard), controls.clone());
            async move {
                let asked = guard.check(request.headers()).and_then(|()| {
                    let uri = request.uri();
                    request::read(request.method(), uri.path(), uri.query())
                });
                match asked {
                    Ok(asked) => answer(asked, controls).await,
                    Err(refusal) => refused(&refusal),
                }
            }
        })
    }
}

async fn answer(asked: Request, controls: Controls) -> Page {
    let status = match asked {
        Request::Status => StatusCode::OK,
        Request::Stop => {
            controls.stop();
            StatusCode::OK
        }
        Request::Do(command) => match done(command, controls.clone()).await {
            Ok(status) => status,
            Err(refusal) => return refused(&refusal),
        },
    };
    page(status, &status_of(&controls.watch.now()))
}

/// Has a command carried out: 200 once it is, 202 if it is not yet.
async fn done(command: Command, controls: Controls) -> Result<StatusCode, Refusal> {
    let waiting = tokio::task::spawn_blocking(move || controls.ask(command).wait(PATIENCE));
    let conflict = |why: String| Err(Refusal::new(StatusCode::CONFLICT, why));
    match waiting.await {
        Ok(Came::Done) => Ok(StatusCode::OK),
        Ok(Came::NotYet) => Ok(StatusCode::ACCEPTED),
        Ok(Came::NotDone(why)) => conflict(why.to_string()),
        Ok(Came::TooLate) => conflict("the replay has ended".to_owned()),
        Err(error) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

fn refused(refusal: &Refusal) -> Page {
    let mut page = page(refusal.status, &json!({ "error": refusal.sentence }));
    if refusal.status == StatusCode::UNAUTHORIZED {
        page.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    match refusal.allow {
        Some(methods) => allowing(page, methods),
        None => page,
    }
}

fn page(status: StatusCode, json: &Value) -> Page {
    http::page(status, "application/json", format!("{json}\n"))
}

/// How far a replay is, for programs.
fn status_of(now: &Now) -> Value {
    let time = |time: Option<WallTime>| time.map(|time| time.to_string());
    let base = now.base.as_ref().map(|base| {
        json!({
            "documents": base.documents,
            "of": base.of,
            "namespace": base.namespace.to_string(),
            "buildsIndexes": base.builds_indexes,
        })
    });
    let state = match (&now.base, now.is_paused) {
        (Some(_), _) => "restoring",
        (None, true) => "paused",
        (None, false) => "playing",
    };
    json!({
        "state": state,
        "position": { "seq": now.reached.get(), "time": time(now.time) },
        "range": {
            "startSeq": now.start.get(),
            "endSeq": now.end.get(),
            "firstTime": time(now.first_time),
            "lastTime": time(now.last_time),
        },
        "speedAsked": match now.speed {
            Speed::Factor(factor) => json!(factor),
            Speed::Max => json!("max"),
        },
        "speedReached": if now.is_paused { Some(0.0) } else { now.passing },
        "lateMicros": report::micros(now.lateness),
        "lagMicros": report::micros(now.lag),
        "events": now.events,
        "bytes": now.bytes,
        "eventsPerSecond": now.rate,
        "toGoSeconds": now.to_go.map(|left| left.as_secs_f64()),
        "base": base,
    })
}

#[cfg(test)]
mod tests;
