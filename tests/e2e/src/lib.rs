//! The whole system from outside: the program `xapiary` as a process, a simulated pool in this one, and what both
//! left behind.
//!
//! A test makes a [`World`], writes a [`Config`], starts a [`Daemon`] and waits for what must come to pass. Nothing
//! waits for a time: every wait has a condition, a limit, and says what it saw last. It must not know how the daemon
//! is built inside; it knows the program, its files, its log and its journal.

mod config;
mod daemon;
mod log;
mod operator;
mod picture;
mod programs;
mod room;
#[path = "../../skipped.rs"]
mod skipped;
mod stored;
mod tls_front;
mod waiting;
mod world;

pub use config::{Config, Grant, KEEPALIVE_GRANT, PoolSection, socket, write_secret};
pub use daemon::{Daemon, Ended};
pub use log::Line;
pub use operator::{Answer, Operator};
pub use picture::differences;
pub use programs::{command, guest, run, target, vm_keepalive, xapiary};
pub use room::SmallDisk;
pub use stored::{Stored, StoredChange, StoredEffect, forget_outcomes, meddle, set_schedules_back};
pub use tls_front::{Authority, TlsFront, key_pair, other_key, own_certificate, tls12_secp384r1};
pub use waiting::{LIMIT, until};
pub use world::{PASSWORD, World, real_pools, repository};
