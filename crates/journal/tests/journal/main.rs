//! The journal seen from outside, on a real disk.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod audited;
mod broken;
mod doors;
mod full;
mod killed;
mod limited;
mod model;
mod operated;
mod power_cut;
mod road;
mod scheduled;
mod setting;
#[path = "../../../../tests/skipped.rs"]
mod skipped;
