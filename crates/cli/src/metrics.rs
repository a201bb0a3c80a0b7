//! `--metrics ADDR`: the recording's figures and its health, over HTTP.
//!
//! `/metrics` is for Prometheus, `/healthz` for whoever restarts or alerts: 200, or 503 with the
//! reason. What both say is decided in the recorder. The address is bound before anything is
//! recorded; after that nothing here can end a recording.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use changetape_recorder::{Progress, Snapshot, metrics};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections served at a time; more wait. A scraper needs one.
const CONNECTIONS: usize = 8;

/// How long one connection may take; each is for one request, and pages are small.
const CONNECTION_TIME: Duration = Duration::from_secs(3);

/// How long to let the system recover when it gives no connection: out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Binds the address and serves from now on, for as long as the runtime lives. Returns what was
/// bound, which has a port also where port 0 was asked for.
///
/// # Errors
/// One sentence that names the address, if it cannot be bound.
pub(crate) async fn serve(address: &str, progress: Arc<Progress>) -> anyhow::Result<SocketAddr> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        io::Result::Ok((listener, address))
    };
    let (listener, address): (_, SocketAddr) =
        bound.await.with_context(|| format!("cannot serve metrics at {address}"))?;
    tracing::info!("metrics are at http://{address}/metrics, health at http://{address}/healthz");
    tokio::spawn(accept(listener, progress));
    Ok(address)
}

async fn accept(listener: TcpListener, progress: Arc<Progress>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    // The semaphore is never closed, so this does not end.
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        match listener.accept().await {
            Ok((connection, _)) => {
                tokio::spawn(answer_one(connection, Arc::clone(&progress), permit));
            }
            Err(error) => {
                tracing::warn!("cannot take a connection for metrics: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer_one(connection: TcpStream, progress: Arc<Progress>, _room: OwnedSemaphorePermit) {
    let service = service_fn(|request: Request<Incoming>| {
        let page = page(request.method(), request.uri().path(), &progress.snapshot());
        async { Ok::<_, Infallible>(page) }
    });
    let answered =
        http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(connection), service);
    // Whether somebody hung up, or was too slow, is not the recording's concern.
    let _ = tokio::time::timeout(CONNECTION_TIME, answered).await;
}

/// The answer to a request. hyper leaves the body out where HEAD asks for that.
fn page(method: &Method, path: &str, now: &Snapshot) -> Response<Full<Bytes>> {
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
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn those_who_connect_and_say_nothing_do_not_keep_a_scraper_out_for_long() {
        let progress = Arc::new(Progress::default());
        let address = serve("127.0.0.1:0", progress).await.unwrap();
        let begun = Instant::now();
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut scraper = TcpStream::connect(address).await.unwrap();
        scraper.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        let reading = scraper.read_to_string(&mut answer);
        tokio::time::timeout(CONNECTION_TIME * 20, reading).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        // There was no room for it before the first of them was put out.
        assert!(begun.elapsed() >= CONNECTION_TIME, "more connections than are served");
    }

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
