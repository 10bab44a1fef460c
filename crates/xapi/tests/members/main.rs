//! A client among the members of a pool: who is asked, who is believed, who is left. The members are sockets that answer
//! a handful of methods as XAPI's members do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod certificates;
mod finding;
mod pool;
#[path = "../transport/server.rs"]
#[expect(dead_code, reason = "what only the tests of the transport need")]
mod server;
