//! Write a Xapiary plugin in Rust.
//!
//! A plugin is a struct that implements [`Plugin`] and one line that makes a component of it. For each event the daemon
//! makes a fresh instance, calls it once and throws it away: what must outlive the event goes into [`store`].
//!
//! ```
//! use xapiary_sdk::{Change, Event, Outcome, Plugin, info};
//!
//! #[derive(Default)]
//! struct Greeter;
//!
//! impl Plugin for Greeter {
//!     fn changed(&self, event: &Event, change: &Change) -> Outcome {
//!         if let Some(object) = &change.new {
//!             info!(pool = event.pool, "{} is {}", object.text("name_label")?, object.text("power_state")?);
//!         }
//!         Ok(())
//!     }
//! }
//!
//! xapiary_sdk::plugin!(Greeter, manifest = r#"
//!     name = "greeter"
//!     version = "0.1.0"
//!     contract = "0.1.0"
//!     description = "Says what every VM does"
//!
//!     [[subscribe]]
//!     name = "power"
//!     class = "VM"
//!     on = ["modified"]
//!     fields = ["power_state"]
//! "#);
//! # fn main() {}
//! ```
//!
//! Without `manifest = …` the macro takes the file `plugin.toml` beside the crate's `Cargo.toml`. Build with
//! `cargo build --release --target wasm32-wasip2` as a `cdylib`: the `.wasm` file that comes out is the whole plugin.
//!
//! - [`Event`], [`Change`] and the other things that a plugin hears
//! - [`objects`]: the pool as the daemon last saw it, [`Object`] by [`Object`]
//! - [`calls`]: ask the pool to do something
//! - [`store`], [`settings`], [`log`](mod@log): the plugin's memory, its settings, its voice
//! - [`Error`] and [`Failure`]: what goes wrong, and what the daemon shall do about it
//!
//! The functions of these modules are answered by the daemon. Built for any other target than wasm they panic, so a
//! plugin keeps what it decides in plain functions over plain data, and tests those natively.

#[doc(hidden)]
pub mod bindings;
pub mod calls;
mod error;
mod event;
#[doc(hidden)]
pub mod export;
mod failure;
pub mod log;
pub mod objects;
mod plugin;
pub mod settings;
pub mod store;
mod value;

pub use calls::{Progress, Task};
pub use error::{Error, Fault};
pub use event::{Alert, Change, Connection, Ending, Event, Operation, Origin, Subject, TaskOutcome, Tick};
pub use failure::{Failure, Outcome, TRANSPORT_RETRY};
pub use objects::Object;
pub use plugin::Plugin;
pub use value::{Reference, Value};
