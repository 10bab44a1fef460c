//! The simulator from outside: over its doors, with the codec that real pools are spoken to with.

mod client;
mod doors;
mod events;
mod faults;
mod generated;
mod lifecycle;
mod real;
mod tasks;
