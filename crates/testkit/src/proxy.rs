//! `Proxy`: a stretch of network that can be cut.
//!
//! ```text
//! client ──► 127.0.0.1:(proxy's port) ──► 127.0.0.1:(server's port)
//! ```
//! A cut is silent, as when a cable is pulled or a firewall forgets: connections stay open,
//! new ones are accepted, and nothing comes through, in either direction. What was connected
//! while it was cut never works again, not even when the network does; only a new connection
//! does. So whoever relies on being told that a connection is broken waits for ever.
//!
//! A connection can also be silenced alone, by what it carries: while all others live, so that not
//! even a driver's monitor notices.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::Error;

/// Bytes that one direction of a connection holds at a time.
const BUFFER: usize = 64 << 10;

/// The longest text by which a connection can be silenced.
const LONGEST_TEXT: usize = 64;

/// A loopback port behind which a server is, until the way there is cut. It lives on the
/// runtime that it was started in; dropping it closes the port and its connections.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    // Connections end when it is dropped.
    network: watch::Sender<Network>,
    silence: Arc<Silence>,
    accepting: JoinHandle<()>,
}

/// Which connections are silenced by what they carry.
#[derive(Debug, Default)]
struct Silence {
    texts: Mutex<Vec<(Vec<u8>, Silenced)>>,
    /// How many connections were.
    connections: watch::Sender<u64>,
}

/// How many connections are silenced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silenced {
    /// The next one only.
    Next,
    /// Every one, until the network is restored.
    Every,
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
        let silence = Arc::<Silence>::default();
        let accepting = tokio::spawn(accept(listener, port, network.subscribe(), silence.clone()));
        Ok(Self { port: own, network, silence, accepting })
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

    /// Silences connections from the moment on in which the client would send `text` through them,
    /// a command's name for example: neither that nor anything after it arrives.
    ///
    /// # Panics
    /// If the text is empty, or longer than 64 bytes.
    pub fn silence(&self, text: &str, which: Silenced) {
        assert!((1..=LONGEST_TEXT).contains(&text.len()), "{text:?} cannot be looked for");
        self.silence.texts().push((text.into(), which));
    }

    /// Waits until so many connections have been silenced by what they carried.
    pub async fn silenced(&self, connections: u64) {
        // It fails only if the sender is gone, which is here.
        let _ = self.silence.connections.subscribe().wait_for(|&all| all >= connections).await;
    }

    /// Lets new connections through again, whatever they carry.
    pub fn restore(&self) {
        self.silence.texts().clear();
        self.network.send_modify(|network| network.is_cut = false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Silence {
    fn texts(&self) -> MutexGuard<'_, Vec<(Vec<u8>, Silenced)>> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a connection is to be silenced that carries these bytes, of which so many were
    /// carried before: a text may come in two pieces.
    fn meets(&self, bytes: &[u8], before: usize) -> bool {
        let mut texts = self.texts();
        let carried = |(text, _): &(Vec<u8>, Silenced)| {
            let from = (before + 1).saturating_sub(text.len());
            let new = bytes.get(from..).unwrap_or_default();
            new.windows(text.len()).any(|window| window == text)
        };
        let Some(met) = texts.iter().position(carried) else { return false };
        if texts.get(met).is_some_and(|(_, which)| *which == Silenced::Next) {
            texts.remove(met);
        }
        self.connections.send_modify(|all| *all += 1);
        true
    }
}

async fn accept(
    listener: TcpListener,
    behind: u16,
    network: watch::Receiver<Network>,
    silence: Arc<Silence>,
) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(connect(client, behind, network.clone(), Arc::clone(&silence)));
    }
}

async fn connect(
    client: TcpStream,
    behind: u16,
    mut network: watch::Receiver<Network>,
    silence: Arc<Silence>,
) {
    let Network { is_cut, cuts } = *network.borrow();
    if is_cut {
        return keep_silent(client, network).await;
    }
    // A server that is down refuses: the client is told by its end being closed.
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, behind)).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let mut last = Vec::new();
    let is_silenced = |bytes: &[u8]| {
        let before = last.len();
        last.extend_from_slice(bytes);
        let meets = silence.meets(&last, before);
        last.drain(..last.len().saturating_sub(LONGEST_TEXT));
        meets
    };
    let requests = forward(&mut from_client, &mut to_server, is_silenced);
    let replies = forward(&mut from_server, &mut to_client, |_| false);
    tokio::select! {
        biased;
        _ = network.wait_for(|network| network.cuts > cuts) => {}
        ended = async { tokio::try_join!(requests, replies) } => if ended.is_ok() { return },
    }
    keep_silent((from_client, to_client, from_server, to_server), network).await;
}

/// The connection was silenced by what it carries.
struct Met;

/// Moves bytes until either end closes, or until `meets` says so of some, which are not moved.
async fn forward(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    mut meets: impl FnMut(&[u8]) -> bool,
) -> Result<(), Met> {
    let mut buffer = vec![0; BUFFER];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let bytes = buffer.get(..read).unwrap_or_default();
        if meets(bytes) {
            return Err(Met);
        }
        if to.write_all(bytes).await.is_err() {
            break;
        }
    }
    // The end is passed on. An other side that is gone needs none.
    let _ = to.shutdown().await;
    Ok(())
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
    async fn a_connection_is_silenced_alone_by_what_it_carries() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut lives = connected(&proxy).await;
        lives.write_all(b"hush").await.unwrap();
        assert_eq!(lives.read_u8().await.unwrap(), b'h');
        proxy.silence("other", Silenced::Next);
        for (silenced, told) in
            [(1, Some(Silenced::Next)), (2, Some(Silenced::Every)), (3, None), (4, None)]
        {
            if let Some(which) = told {
                proxy.silence("hush", which);
            }
            let mut silent = connected(&proxy).await;
            silent.write_all(b"..hu").await.unwrap();
            silent.write_all(b"sh").await.unwrap();
            proxy.silenced(silenced).await;
            // Some of it may have come through before.
            while let Some(byte) = echoed(&mut silent).await {
                assert_ne!(byte.unwrap(), b'x');
            }
            // What was carried before does not count, nor what another connection carries.
            let alive: &[u8] = if told == Some(Silenced::Next) { b"hush!" } else { b"!" };
            lives.write_all(alive).await.unwrap();
            while lives.read_u8().await.unwrap() != b'!' {}
        }
        proxy.restore();
        lives.write_all(b"hush!").await.unwrap();
        while lives.read_u8().await.unwrap() != b'!' {}
    }

    #[tokio::test]
    async fn a_server_that_is_down_closes_the_connection() {
        let proxy = Proxy::start(1).await.unwrap();
        let mut connection = connected(&proxy).await;
        assert!(connection.read_u8().await.is_err());
    }
}
