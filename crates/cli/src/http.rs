//! Pages over HTTP: what binds, takes connections and bounds them. What a page says is a function of
//! whoever serves it.
//!
//! Pages are few and small, and whoever asks for one is close by: each connection is for one request,
//! and neither many of them nor slow ones cost more than a little. An address is bound before anything
//! else happens; after that nothing here can end what the program does.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

/// Connections served at a time; more wait. Whoever asks needs one.
const CONNECTIONS: u32 = 8;

/// How long one connection may take; each is for one request, and pages are small.
pub(crate) const CONNECTION_TIME: Duration = Duration::from_secs(3);

/// How long to let the system recover when it gives no connection: out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// How long the last answers have to get out.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// The answer to a request.
pub(crate) type Page = Response<Full<Bytes>>;

/// A page of text.
pub(crate) fn page(status: StatusCode, content_type: &'static str, text: String) -> Page {
    let mut page = Response::new(Full::new(Bytes::from(text)));
    *page.status_mut() = status;
    page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    page
}

/// The same page, saying which methods there are.
pub(crate) fn allowing(mut page: Page, methods: &'static str) -> Page {
    page.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    page
}

/// An address where pages will be served.
#[derive(Debug)]
pub(crate) struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    what: &'static str,
}

/// Binds an address, to serve `what` there.
///
/// # Errors
/// One sentence that names the address, if it cannot be bound.
pub(crate) async fn bind(address: &str, what: &'static str) -> anyhow::Result<Bound> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        io::Result::Ok(Bound { listener, address, what })
    };
    bound.await.with_context(|| format!("cannot serve {what} at {address}"))
}

impl Bound {
    /// What was bound, which has a port also where port 0 was asked for.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers from now on, for as long as the runtime lives or until it is closed.
    pub(crate) fn serve<A, F>(self, answer: A) -> Serving
    where
        A: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
        F: Future<Output = Page> + Send + 'static,
    {
        let room = Arc::new(Semaphore::new(CONNECTIONS as usize));
        let accepting = tokio::spawn(self.accept(Arc::new(answer), Arc::clone(&room)));
        Serving { accepting, room }
    }

    async fn accept<A, F>(self, answer: Arc<A>, room: Arc<Semaphore>)
    where
        A: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
        F: Future<Output = Page> + Send + 'static,
    {
        // The semaphore is never closed, so this does not end.
        while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
            match self.listener.accept().await {
                Ok((connection, _)) => {
                    tokio::spawn(answer_one(connection, Arc::clone(&answer), permit));
                }
                Err(error) => {
                    tracing::warn!("cannot take a connection for {}: {error}", self.what);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn answer_one<A, F>(connection: TcpStream, answer: Arc<A>, _room: OwnedSemaphorePermit)
where
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Page>,
{
    let service = service_fn(|request| {
        let page = answer(request);
        async { Ok::<_, Infallible>(page.await) }
    });
    let answered =
        http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(connection), service);
    // Whether somebody hung up, or was too slow, is not the program's concern.
    let _ = tokio::time::timeout(CONNECTION_TIME, answered).await;
}

/// Pages that are being served.
#[derive(Debug)]
pub(crate) struct Serving {
    accepting: JoinHandle<()>,
    room: Arc<Semaphore>,
}

impl Serving {
    /// Takes no more connections, and lets the answers that are under way get out.
    pub(crate) async fn close(self) {
        self.accepting.abort();
        let _ = tokio::time::timeout(LAST_ANSWERS, self.room.acquire_many(CONNECTIONS)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::time::Instant;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn hello(_: Request<Incoming>) -> impl Future<Output = Page> {
        ready(page(StatusCode::OK, "text/plain", "hello".to_owned()))
    }

    /// Asks for a page and reads the answer, whenever that comes.
    async fn ask(address: SocketAddr) -> String {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        let reading = connection.read_to_string(&mut answer);
        tokio::time::timeout(CONNECTION_TIME * 20, reading).await.unwrap().unwrap();
        answer
    }

    #[tokio::test]
    async fn those_who_connect_and_say_nothing_keep_nobody_out_for_long() {
        let bound = bind("127.0.0.1:0", "a page").await.unwrap();
        let address = bound.address();
        bound.serve(hello);
        let begun = Instant::now();
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let answer = ask(address).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        // There was no room for it before the first of them was put out.
        assert!(begun.elapsed() >= CONNECTION_TIME, "more connections than are served");
    }

    #[tokio::test]
    async fn an_answer_that_is_under_way_gets_out_and_then_nobody_is_taken() {
        let bound = bind("127.0.0.1:0", "a page").await.unwrap();
        let address = bound.address();
        let asked = Arc::new(tokio::sync::Notify::new());
        let goes_on = Arc::new(tokio::sync::Notify::new());
        let serving = bound.serve({
            let (asked, goes_on) = (Arc::clone(&asked), Arc::clone(&goes_on));
            move |request| {
                let (asked, goes_on) = (Arc::clone(&asked), Arc::clone(&goes_on));
                async move {
                    asked.notify_one();
                    goes_on.notified().await;
                    hello(request).await
                }
            }
        });
        let asking = tokio::spawn(ask(address));
        asked.notified().await;
        let closing = tokio::spawn(serving.close());
        goes_on.notify_one();
        assert!(asking.await.unwrap().ends_with("hello"));
        closing.await.unwrap();
        TcpStream::connect(address).await.unwrap_err();
    }
}
