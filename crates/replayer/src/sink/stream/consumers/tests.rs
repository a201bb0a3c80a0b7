//! Goal: over TCP, where the end of a connection takes its time to arrive, the next consumer goes on
//! where the last has read to; and a stop within an event lets it be read to its end, if it is read.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;

use super::*;

#[test]
fn nothing_is_written_to_a_consumer_that_has_closed_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = SocketAddress::Tcp(listener.local_addr().unwrap().to_string());
    let wait = OnDisconnect::Wait;
    let mut consumers = Consumers::new(&address, Role::Connect, wait, MAX_OUTAGE).unwrap();
    let stop = Stop::default();
    let mut accepted: Vec<TcpStream> = Vec::new();
    for text in [b"first", b"other"] {
        assert_eq!(consumers.ready(Some(Seq::ZERO), &stop).unwrap(), Ready::Yes);
        assert_eq!(consumers.write(text, &[5], &stop).unwrap().bytes, 5);
        let (mut consumer, _) = listener.accept().unwrap();
        let mut read = [0; 5];
        consumer.read_exact(&mut read).unwrap();
        assert_eq!(&read, text);
        accepted.push(consumer);
        let Connection::There { socket, .. } = &consumers.at else { unreachable!() };
        assert!(!socket.has_ended().unwrap());
        drop(accepted.pop());
        while !socket.has_ended().unwrap() {}
    }
    assert!(matches!(consumers.at, Connection::There { count: 2, .. }));
}

#[test]
fn a_first_consumer_that_does_not_answer_is_an_error_at_once_or_in_the_end() {
    // A port that nobody has any more.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = SocketAddress::Tcp(port.to_string());
    let stop = Stop::default();
    let answer = |on_disconnect, max_outage| {
        let mut consumers =
            Consumers::new(&address, Role::Connect, on_disconnect, max_outage).unwrap();
        consumers.ready(None, &stop).unwrap_err()
    };
    // At once, or this would never end.
    let error = answer(OnDisconnect::Stop, Duration::MAX);
    assert!(matches!(error, Error::Connect { .. }), "{error}");
    let outage = Duration::from_millis(120);
    let error = answer(OnDisconnect::Wait, outage);
    assert!(
        matches!(error, Error::NoConsumer { max_outage, .. } if max_outage == outage),
        "{error}"
    );
}

/// Writes an event that is more than a socket holds, and another, and asks for a stop once it is read
/// from. What was written, and what the consumer then read, if it did.
fn stop_within_an_event(grace: Duration, reads_on: bool) -> (Written, usize) {
    const EVENT: usize = 8 << 20;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (address, ends) = (SocketAddress::Unix(path), OnDisconnect::Stop);
    let mut consumers = Consumers::new(&address, Role::Connect, ends, MAX_OUTAGE).unwrap();
    consumers.grace = grace;
    let stop = Stop::default();
    assert_eq!(consumers.ready(None, &stop).unwrap(), Ready::Yes);
    let (mut consumer, _) = listener.accept().unwrap();
    let writing = thread::spawn({
        let stop = stop.clone();
        move || consumers.write(&vec![0; 2 * EVENT], &[EVENT, 2 * EVENT], &stop).unwrap()
    });
    consumer.read_exact(&mut [0]).unwrap();
    stop.request();
    let mut rest = Vec::new();
    if reads_on {
        consumer.read_to_end(&mut rest).unwrap();
    }
    (writing.join().unwrap(), rest.len() + 1)
}

#[test]
fn a_stop_within_an_event_lets_it_be_read_to_its_end() {
    let (written, read) = stop_within_an_event(Duration::from_secs(600), true);
    assert_eq!(written, Written { bytes: 8 << 20, stopped: true });
    assert_eq!(read, 8 << 20);
}

#[test]
fn a_stop_within_an_event_that_nobody_reads_on_ends_the_replay() {
    let (written, _) = stop_within_an_event(Duration::ZERO, false);
    assert!(written.stopped && (1..8 << 20).contains(&written.bytes), "{written:?}");
}
