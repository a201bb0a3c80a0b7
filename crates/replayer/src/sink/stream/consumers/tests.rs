//! Goal: over TCP, where the end of a connection takes its time to arrive, the next consumer goes on
//! where the last has read to.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};

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
    let error = answer(OnDisconnect::Stop, MAX_OUTAGE);
    assert!(matches!(error, Error::Connect { .. }), "{error}");
    let outage = Duration::from_millis(120);
    let error = answer(OnDisconnect::Wait, outage);
    assert!(matches!(error, Error::NoConsumer { waited, .. } if waited >= outage), "{error}");
}
