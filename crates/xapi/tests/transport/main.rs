//! The transport against real sockets: what goes over the wire, what is cut, what is bounded, whom we are for TLS.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bounds;
mod identity;
mod server;
mod wires;

use std::net::SocketAddr;
use xapi::Client;
use xapi::transport::{Endpoint, Trust};

use self::server::settings;

fn plain(address: SocketAddr) -> Endpoint {
    Endpoint::new(format!("http://{address}").parse().unwrap(), Trust::None).unwrap()
}

fn client(address: SocketAddr) -> Client {
    Client::new(settings(plain(address))).unwrap()
}
