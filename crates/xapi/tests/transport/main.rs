//! The transport against real sockets: what goes over the wire, what is cut, what is bounded, whom we are for TLS.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bounds;
mod identity;
mod server;
mod wires;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use xapi::codec::Limits;
use xapi::transport::{Endpoint, Trust};
use xapi::{Client, Settings, Wire};

/// A client as the daemon has one.
fn settings(endpoint: Endpoint) -> Settings {
    Settings {
        endpoint,
        user: "root".into(),
        password: Arc::new(SecretString::from("secret")),
        members: Vec::new(),
        pool_uuid: None,
        originator: "tests".into(),
        user_agent: "tests/1".into(),
        call_timeout: Duration::from_secs(60),
        limits: Limits::default(),
        wire: Wire::Auto,
    }
}

fn plain(address: SocketAddr) -> Endpoint {
    Endpoint::new(format!("http://{address}").parse().unwrap(), Trust::None).unwrap()
}

fn client(address: SocketAddr) -> Client {
    Client::new(settings(plain(address))).unwrap()
}
