//! `Proxy`: a stretch of network that can be cut.
//!
//! ```text
//! client ──► 127.0.0.1:(proxy's port) ──► 127.0.0.1:(server's port)
//! ```
//! A cut is silent, as when a cable is pulled or a firewall forgets: connections stay open,
//! new ones are accepted, and nothing comes through, in either direction. What was connected
//! while it was cut never works again, not even when the network does; only a new connection
//! does. So whoever relies on being told that a connection is broken waits for ever.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::Error;

/// Bytes that one direction of a connection holds at a time.
const BUFFER: usize = 64 << 10;

/// A loopback port behind which a server is, until the way there is cut. It lives on the
/// runtime that it was started in; dropping it closes the port and its connections.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    // Connections end when it is dropped.
    network: watch::Sender<Network>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Network {
    is_cut: bool,
    /// How often it was cut: a cut that is over is still one.
    cuts: u64,
}

impl Proxy {
    /// Opens a free port that leads to `port`.
    ///
    /// # Errors
    /// [`Error::Proxy`] if the system gives no port.
    pub async fn start(port: u16) -> Result<Self, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Error::proxy)?;
        let own = listener.local_addr().map_err(Error::proxy)?.port();
        let network = watch::Sender::new(Network::default());
        let accepting = tokio::spawn(accept(listener, port, network.subscribe()));
        Ok(Self { port: own, network, accepting })
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Lets nothing through any more, without telling anybody.
    pub fn cut(&self) {
        self.network.send_modify(|network| {
            network.is_cut = true;
            network.cuts += 1;
        });
    }

    /// Lets new connections through again.
    pub fn restore(&self) {
        self.network.send_modify(|network| network.is_cut = false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, behind: u16, network: watch::Receiver<Network>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(connect(client, behind, network.clone()));
    }
}

async fn connect(client: TcpStream, behind: u16, network: watch::Receiver<Network>) {
    let Network { is_cut, cuts } = *network.borrow();
    if is_cut {
        return keep_silent(client, network).await;
    }
    // A server that is down refuses: the client is told by its end being closed.
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, behind)).await else { return };
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    tokio::join!(
        forward(from_client, to_server, network.clone(), cuts),
        forward(from_server, to_client, network, cuts),
    );
}

/// Moves bytes until either end closes; from the first cut on, none any more.
async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut network: watch::Receiver<Network>,
    cuts_before: u64,
) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let moved = async {
            let read = from.read(&mut buffer).await?;
            to.write_all(buffer.get(..read).unwrap_or_default()).await?;
            std::io::Result::Ok(read)
        };
        tokio::select! {
            biased;
            _ = network.wait_for(|network| network.cuts > cuts_before) => break,
            // The end is passed on by closing `to`.
            moved = moved => if !matches!(moved, Ok(1..)) { return },
        }
    }
    keep_silent((from, to), network).await;
}

/// Keeps a connection open and dead for as long as the proxy lives.
async fn keep_silent<T>(connection: T, mut network: watch::Receiver<Network>) {
    while network.changed().await.is_ok() {}
    drop(connection);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A server that sends back what it gets.
    async fn echo() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut from, mut to) = connection.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        port
    }

    async fn connected(proxy: &Proxy) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).await.unwrap()
    }

    /// What comes back soon; `None` if nothing does.
    async fn echoed(connection: &mut TcpStream) -> Option<std::io::Result<u8>> {
        connection.write_all(b"x").await.unwrap();
        tokio::time::timeout(Duration::from_millis(300), connection.read_u8()).await.ok()
    }

    #[tokio::test]
    async fn a_cut_is_silent_and_only_new_connections_survive_it() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut before = connected(&proxy).await;
        assert_eq!(echoed(&mut before).await.unwrap().unwrap(), b'x');
        proxy.cut();
        let mut meanwhile = connected(&proxy).await;
        assert!(echoed(&mut before).await.is_none());
        assert!(echoed(&mut meanwhile).await.is_none());
        proxy.restore();
        assert!(echoed(&mut before).await.is_none());
        assert!(echoed(&mut meanwhile).await.is_none());
        let mut after = connected(&proxy).await;
        assert_eq!(echoed(&mut after).await.unwrap().unwrap(), b'x');
        // However short a cut is, it is one.
        proxy.cut();
        proxy.restore();
        assert!(echoed(&mut after).await.is_none());
        drop(proxy);
        // Closed with the proxy: an end, not a byte.
        assert!(before.read_u8().await.is_err());
    }

    #[tokio::test]
    async fn a_server_that_is_down_closes_the_connection() {
        let proxy = Proxy::start(1).await.unwrap();
        let mut connection = connected(&proxy).await;
        assert!(connection.read_u8().await.is_err());
    }
}
