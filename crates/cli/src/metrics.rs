//! `--metrics ADDR`: the recording's figures and its health, over HTTP.
//!
//! `/metrics` is for Prometheus, `/healthz` for whoever restarts or alerts: 200, or 503 with the
//! reason. What both say is decided in the recorder. The address is bound before anything is
//! recorded; after that nothing here can end a recording.

use std::future::ready;
use std::sync::Arc;

use changetape_recorder::{Progress, Snapshot, metrics};
use hyper::{Method, StatusCode};

use crate::http::{self, Page, allowing};

/// Binds the address and serves from now on, for as long as the runtime lives.
///
/// # Errors
/// One sentence that names the address, if it cannot be bound.
pub(crate) async fn serve(address: &str, progress: Arc<Progress>) -> anyhow::Result<()> {
    let bound = http::bind(address, "metrics").await?;
    let address = bound.address();
    tracing::info!("metrics are at http://{address}/metrics, health at http://{address}/healthz");
    bound.serve(move |request| {
        ready(page(request.method(), request.uri().path(), &progress.snapshot()))
    });
    Ok(())
}

/// The answer to a request. hyper leaves the body out where HEAD asks for that.
fn page(method: &Method, path: &str, now: &Snapshot) -> Page {
    const PLAIN: &str = "text/plain; charset=utf-8";
    let (status, content_type, text) = match path {
        "/metrics" | "/healthz" if method != Method::GET && method != Method::HEAD => {
            (StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET is answered\n".to_owned())
        }
        "/metrics" => (StatusCode::OK, metrics::CONTENT_TYPE, metrics::text(now)),
        "/healthz" => match metrics::health(now) {
            Ok(sentence) => (StatusCode::OK, PLAIN, sentence + "\n"),
            Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, PLAIN, reason + "\n"),
        },
        _ => (StatusCode::NOT_FOUND, PLAIN, "there are /metrics and /healthz\n".to_owned()),
    };
    let page = http::page(status, content_type, text);
    if status == StatusCode::METHOD_NOT_ALLOWED { allowing(page, "GET, HEAD") } else { page }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::header::ALLOW;

    use super::*;

    #[test]
    fn each_page_has_its_status_and_anything_else_says_what_there_is() {
        let now = Progress::default().snapshot();
        for (method, path, status) in [
            (Method::GET, "/metrics", 200),
            (Method::HEAD, "/metrics", 200),
            (Method::GET, "/healthz", 200),
            (Method::POST, "/metrics", 405),
            (Method::GET, "/", 404),
            (Method::GET, "/metrics/", 404),
        ] {
            let response = page(&method, path, &now);
            assert_eq!(response.status().as_u16(), status, "{method} {path}");
            assert_eq!(response.headers().contains_key(ALLOW), status == 405);
        }
        let away = Snapshot { in_state: Duration::from_secs(3600), ..now };
        assert_eq!(page(&Method::GET, "/healthz", &away).status().as_u16(), 503);
    }
}
