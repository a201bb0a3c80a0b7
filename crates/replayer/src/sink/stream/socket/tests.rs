//! Goal: addresses are read or refused; a socket in the file system replaces one that is left over,
//! never one that is in use nor anything else, and is gone afterwards.

use std::io::Write as _;

use super::*;

#[test]
fn addresses_are_read_and_shown_as_they_were_written() {
    for text in ["tcp://db1:9000", "tcp://10.0.0.1:0", "tcp://[::1]:9000", "unix:/tmp/a b"] {
        assert_eq!(SocketAddress::parse(text).unwrap().to_string(), text);
    }
    for text in [
        "tcp://",
        "tcp://db1",
        "tcp://:9000",
        "tcp://db1:",
        "tcp://db1:99999",
        "tcp://::1:9000",
        "tcp://[::1]",
        "tcp://anna:secret@db1:9000",
        "tcp://db1:9000/path",
        "tcp:db1:9000",
        "unix:",
        "udp://db1:9000",
    ] {
        assert_eq!(SocketAddress::parse(text), None, "{text}");
    }
}

fn unix(path: &Path) -> SocketAddress {
    SocketAddress::Unix(path.to_owned())
}

#[test]
fn a_socket_that_is_left_over_is_replaced_and_removed_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "the standard library leaves it there");
    let listener = unix(&path).listen().unwrap();
    let consumer = UnixStream::connect(&path).unwrap();
    assert!(listener.accept().unwrap().is_some());
    drop((listener, consumer));
    assert!(!path.exists());
}

#[test]
fn a_socket_that_is_in_use_is_left_alone_and_its_user_notices_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.sock");
    let listener = unix(&path).listen().unwrap();
    let error = unix(&path).listen().unwrap_err();
    assert!(matches!(error, Error::Listen { .. }), "{error}");
    assert!(error.to_string().contains("another program"), "{error}");
    assert!(listener.accept().unwrap().is_none(), "nobody has connected");
    UnixStream::connect(&path).unwrap();
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("precious");
    std::fs::write(&path, "precious").unwrap();
    let error = unix(&path).listen().unwrap_err();
    assert!(matches!(error, Error::NotASocket { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_socket_of_somebody_else_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let [path, other] = ["events.sock", "other.sock"].map(|name| directory.path().join(name));
    let listener = unix(&path).listen().unwrap();
    let _other = UnixListener::bind(&other).unwrap();
    std::fs::rename(&other, &path).unwrap();
    drop(listener);
    assert!(path.exists());
}

#[test]
fn a_port_that_was_left_open_is_told() {
    let listener = SocketAddress::parse("tcp://[::1]:0").unwrap().listen().unwrap();
    let address = listener.address().unwrap();
    assert_ne!(address.to_string(), "tcp://[::1]:0");
    let SocketAddress::Tcp(at) = &address else { unreachable!() };
    let mut consumer = TcpStream::connect(at).unwrap();
    let socket = loop {
        if let Some(socket) = listener.accept().unwrap() {
            break socket;
        }
    };
    assert!(matches!(address.listen(), Err(Error::Listen { .. })), "in use");
    assert!(!socket.has_ended().unwrap());
    consumer.write_all(b"hello").unwrap();
    drop(consumer);
    // What it has sent is passed over.
    while !socket.has_ended().unwrap() {}
}

/// Linux gives even ports to who connects, in an order that comes to each of them before long.
#[test]
fn nobody_is_connected_to_itself() {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let port = (40_000..50_000).step_by(2).find(is_free).unwrap();
    let address = SocketAddress::Tcp(format!("127.0.0.1:{port}"));
    for _ in 0..30_000 {
        // Somebody else may have come to listen there.
        if let Ok(socket) = address.connect() {
            let stream = TcpStream::from(socket.0);
            assert_ne!(stream.local_addr().unwrap(), stream.peer_addr().unwrap());
        }
    }
}
