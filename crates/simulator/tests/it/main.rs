//! The simulator from outside: over its doors, with the codec that real pools are spoken to with.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod appliance;
mod certificates;
mod churn;
mod client;
mod devices;
mod doors;
mod events;
mod generated;
mod host;
mod join;
mod legacy;
mod lifecycle;
mod making;
mod members;
mod membership;
mod network;
mod real;
mod recorded;
mod restart;
mod roles;
mod scenario;
mod scenarios;
mod sessions;
#[path = "../../../../tests/skipped.rs"]
mod skipped;
mod started;
mod state;
mod storage;
mod tasks;
mod trouble;
