//! Sockets: where one is, listening there, connecting to it, and one connection.
//!
//! A connection never blocks: a write takes what there is room for, and who has to wait for more does
//! so for a [`SLICE`] at a time.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::Error;
use crate::clock::SLICE;

/// How long one address may take to answer.
const CONNECTING: Duration = Duration::from_secs(10);

/// How many times what a consumer has sent is read at once. It should send nothing, and one that
/// never ends is not waited for.
const READS: usize = 16;

/// Where a socket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketAddress {
    /// `tcp://HOST:PORT`, of which this is `HOST:PORT`. An IPv6 address is in brackets.
    Tcp(String),
    /// `unix:PATH`.
    Unix(PathBuf),
}

impl SocketAddress {
    /// Reads `tcp://HOST:PORT` or `unix:PATH`; `None` if it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return (!path.is_empty()).then(|| Self::Unix(path.into()));
        }
        let at = text.strip_prefix("tcp://")?;
        let is_name = || {
            let (host, port) = at.rsplit_once(':')?;
            let is_host = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
            let is_named = !host.is_empty() && host.chars().all(is_host);
            (is_named && port.parse::<u16>().is_ok()).then_some(())
        };
        (at.parse::<SocketAddr>().is_ok() || is_name().is_some()).then(|| Self::Tcp(at.to_owned()))
    }

    /// Connects; a name's addresses are tried one after the other.
    pub(super) fn connect(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(at) => {
                let mut refused = None;
                for address in at.to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, CONNECTING) {
                        // Where nobody listens on a port that the system hands out, it may be handed
                        // out for the connection to it, which is then one with itself.
                        Ok(stream) if stream.local_addr()? == stream.peer_addr()? => {
                            refused = Some(ErrorKind::ConnectionRefused.into());
                        }
                        Ok(stream) => return Socket::tcp(stream),
                        Err(error) => refused = Some(error),
                    }
                }
                Err(refused.unwrap_or_else(|| ErrorKind::NotFound.into()))
            }
            Self::Unix(path) => Socket::unix(UnixStream::connect(path)?),
        }
    }

    /// Listens there. A socket that is left of a process that is gone is replaced.
    ///
    /// # Errors
    /// [`Error::Listen`], or [`Error::NotASocket`] if something else has the path.
    pub(super) fn listen(&self) -> Result<Listener, Error> {
        let refused = |source| Error::Listen { at: self.to_string(), source };
        match self {
            Self::Tcp(at) => {
                let listener = TcpListener::bind(at).map_err(refused)?;
                listener.set_nonblocking(true).map_err(refused)?;
                Ok(Listener::Tcp(listener))
            }
            Self::Unix(path) => {
                if !clear_way(path).map_err(refused)? {
                    return Err(Error::NotASocket { path: path.clone() });
                }
                let listener = UnixListener::bind(path).map_err(refused)?;
                let path = Removed::new(path).map_err(refused)?;
                listener.set_nonblocking(true).map_err(refused)?;
                Ok(Listener::Unix(listener, path))
            }
        }
    }
}

impl fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(at) => write!(f, "tcp://{at}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Removes a socket that nobody has any more; whether nothing but a socket is in the way.
fn clear_way(path: &Path) -> io::Result<bool> {
    let Ok(there) = fs::symlink_metadata(path) else { return Ok(true) };
    if !there.file_type().is_socket() {
        return Ok(false);
    }
    // Asked in a way that whoever listens does not notice: one that expects a stream does not take
    // this for a consumer.
    let asked = UnixDatagram::unbound()?.connect(path);
    if asked.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
        fs::remove_file(path)?;
    }
    Ok(true)
}

/// Listens until it is dropped.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, Removed),
}

impl Listener {
    /// Where: with the port that was chosen, if that was left open.
    pub(super) fn address(&self) -> io::Result<SocketAddress> {
        Ok(match self {
            Self::Tcp(listener) => SocketAddress::Tcp(listener.local_addr()?.to_string()),
            Self::Unix(_, path) => SocketAddress::Unix(path.path.clone()),
        })
    }

    /// Whoever has connected; `None` if nobody does for a while.
    pub(super) fn accept(&self) -> io::Result<Option<Socket>> {
        let accepted = match self {
            Self::Tcp(listener) => {
                wait(listener.as_fd(), PollFlags::IN)?;
                listener.accept().and_then(|(stream, _)| Socket::tcp(stream))
            }
            Self::Unix(listener, _) => {
                wait(listener.as_fd(), PollFlags::IN)?;
                listener.accept().and_then(|(stream, _)| Socket::unix(stream))
            }
        };
        match accepted {
            Ok(socket) => Ok(Some(socket)),
            // One that went away before it was accepted is none.
            Err(error) if is_for_now(&error) || error.kind() == ErrorKind::ConnectionAborted => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// A socket in the file system that is removed at the end, unless another has its place by then.
#[derive(Debug)]
pub(super) struct Removed {
    path: PathBuf,
    /// Device and inode.
    is: (u64, u64),
}

impl Removed {
    fn new(path: &Path) -> io::Result<Self> {
        let there = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), is: (there.dev(), there.ino()) })
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        let is_ours = |there: fs::Metadata| (there.dev(), there.ino()) == self.is;
        if fs::symlink_metadata(&self.path).is_ok_and(is_ours) {
            // What cannot be removed is replaced the next time.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Socket(OwnedFd);

impl Socket {
    fn tcp(stream: TcpStream) -> io::Result<Self> {
        // An event leaves when it is due, and does not wait for others to share a packet with.
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self(stream.into()))
    }

    fn unix(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self(stream.into()))
    }

    /// Writes what there is room for; waits a while for room if there is none, and may then have
    /// written nothing.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match rustix::io::write(&self.0, bytes).map_err(io::Error::from) {
            Ok(0) => Err(ErrorKind::WriteZero.into()),
            Err(error) if is_for_now(&error) => {
                wait(self.0.as_fd(), PollFlags::OUT)?;
                Ok(0)
            }
            written => written,
        }
    }

    /// Reads what the consumer has sent, for nobody: with unread bytes a connection is not ended but
    /// broken off, and what was written last would not arrive. Whether the consumer will send no more.
    pub(super) fn has_ended(&self) -> io::Result<bool> {
        let mut ignored = [0; 4096];
        for _ in 0..READS {
            match rustix::io::read(&self.0, &mut ignored).map_err(io::Error::from) {
                Ok(0) => return Ok(true),
                Ok(_) => {}
                Err(error) if is_for_now(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}

/// Whether what cannot be done now can be later.
fn is_for_now(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Waits until something can be done, or for a slice.
fn wait(socket: BorrowedFd<'_>, what: PollFlags) -> io::Result<()> {
    let slice = Timespec { tv_sec: 0, tv_nsec: SLICE.subsec_nanos().into() };
    match poll(&mut [PollFd::from_borrowed_fd(socket, what)], Some(&slice)).map_err(io::Error::from)
    {
        Err(error) if !is_for_now(&error) => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
