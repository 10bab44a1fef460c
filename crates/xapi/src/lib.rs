//! Speaks XAPI, the management API of XenServer and XCP-ng, to one pool.
//!
//! - [`codec`]: values to bytes and back, XML-RPC and JSON-RPC; no I/O.
//! - [`model`]: the schema as tables, records with typed fields, the world of one pool.
//! - [`query`]: which objects are asked for, in a form that cannot be injected; no I/O.
//! - [`transport`]: HTTPS, loopback HTTP and the Unix socket; knows no XML.
//! - [`Client`]: one session, calls, polls; knows no events.
//! - [`find`]: objects by uuid, by name, by query; typed or by class name.
//! - [`Task`]: a call that was started, to be waited for by events, cancelled, found again by its [`Mark`].
//! - [`events`]: a pure state machine that turns `event.from` into old record, new record and changed fields.
//!
//! The library knows nothing of the daemon that it was written for.

pub mod backoff;
mod client;
pub mod codec;
mod error;
pub mod events;
mod failure;
pub mod find;
pub mod model;
pub mod query;
pub mod suggestion;
mod task;
pub mod transport;
mod value;

pub use client::{CallOptions, Client, Lease, Password, Settings, Wire};
pub use error::Error;
pub use failure::{Failure, Kind, NOT_READY};
pub use task::{Mark, MarkError, Task, TaskFeed, TaskState};
pub use value::{NULL_REF, Struct, Value};

/// The page for users of this library: its code is compiled with the examples.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/xapi-client.md")]
struct Page;
