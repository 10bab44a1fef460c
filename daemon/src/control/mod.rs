//! Where people look at the daemon and steer it: HTTP with JSON on a Unix socket.
//!
//! ```text
//!   connect ─▶ who is it (the kernel says) ─▶ what may that one do ─▶ route ─▶ answer
//!                                                  │ nothing
//!                                                  └──▶ refused, with the line that would allow it
//! ```
//!
//! The words of the wire are in [`types`], shared with the command line, which is the client ([`client`]). Nothing here
//! is on an event's way: it reads what the other rooms publish (states and figures behind watch channels, the journal's
//! listings) and tells them what a person wants. Those rooms know nothing of it.
//!
//! Answers that come from the journal alone ([`records`]) are made by the same code when no daemon runs.

mod access;
pub(crate) mod client;
pub(crate) mod detail;
mod door;
mod expected;
mod metrics;
pub(crate) mod records;
mod routes;
mod sources;
mod summary;
pub(crate) mod types;

pub(crate) use door::Control;
pub(crate) use sources::{PluginList, PluginSource, PluginState, PoolList, Reload, Sources};
