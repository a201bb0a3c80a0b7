//! Free loopback ports.
//!
//! A port is chosen below the range from which Linux takes the ports of outgoing
//! connections: a server that is killed must find its port free when it is restarted, and
//! no driver's connection may have slipped in. Between choosing a port and a server
//! binding it another process can take it; whoever starts a server therefore tries again
//! with another port when it is told that the address is in use.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use crate::Error;

/// Used where the system does not say which ports outgoing connections take.
const USUAL_RANGE: Range<u16> = 20_000..32_768;
const LOWEST: u16 = 10_000;
const TRIES: u32 = 1_000;

/// A port that nothing listens on at this moment.
pub(crate) fn choose() -> Result<u16, Error> {
    let range = below_outgoing().unwrap_or(USUAL_RANGE);
    (0..TRIES)
        .map(|_| fastrand::u16(range.clone()))
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .ok_or(Error::NoPort { tried: TRIES })
}

fn below_outgoing() -> Option<Range<u16>> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let first_outgoing: u16 = text.split_whitespace().next()?.parse().ok()?;
    // A range that leaves little room says that somebody wants their ports chosen for them.
    (first_outgoing >= LOWEST + 5_000).then_some(LOWEST..first_outgoing)
}
