//! Write a Xapiary plugin in Rust.
//!
//! A plugin is a struct with its settings, and a function for each thing that it wants to hear. For each event the daemon
//! makes a fresh instance, calls one function once and throws the instance away: what must outlive the event goes into
//! [`store`].
//!
//! ```
//! use serde::Deserialize;
//! use xapiary_sdk::xapi::{self, Vm, VmPowerState};
//! use xapiary_sdk::{Modified, Outcome, info, plugin};
//!
//! /// What the administrator sets.
//! #[derive(Deserialize)]
//! struct StopTag {
//!     tag: String,
//! }
//!
//! #[plugin(manifest = r#"
//!     name = "stop-tag"
//!     version = "0.1.0"
//!     contract = "0.1.0"
//!     description = "Tags VMs that have stopped"
//!
//!     [[subscribe]]
//!     name = "power"
//!     class = "VM"
//!     on = ["modified"]
//!     fields = ["power_state"]
//!
//!     [[request]]
//!     call = "VM.add_tags"
//!     reason = "to tag a VM that has stopped"
//!
//!     [settings.tag]
//!     type = "string"
//!     default = "stopped"
//!     description = "The tag for VMs that have stopped"
//! "#)]
//! impl StopTag {
//!     #[on("power")]
//!     fn power(&self, vm: Modified<Vm>) -> Outcome {
//!         if vm.new.power_state()? == VmPowerState::Halted && !vm.new.tags()?.contains(&self.tag) {
//!             xapi::vm::add_tags(&vm.new, &self.tag)?;
//!             info!("{} has stopped", vm.new.name_label()?);
//!         }
//!         Ok(())
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! Without `manifest = …` the attribute takes the file `plugin.toml` beside the crate's `Cargo.toml`. Build with
//! `xapiary plugin build`, or with `cargo build --release --target wasm32-wasip2` as a `cdylib`: the `.wasm` file that comes
//! out is the whole plugin.
//!
//! - [`plugin`](macro@plugin): the attribute, and what a handler may take
//! - [`Event`], [`Modified`] and the other things that a plugin hears
//! - [`xapi`]: the pool's classes, fields and methods, typed; [`objects`] and [`calls`]: the same by name
//! - [`store`], [`settings`], [`log`](mod@log): the plugin's memory, its settings, its voice
//! - [`Error`] and [`Failure`]: what goes wrong, and what the daemon shall do about it
//! - [`testing`]: a small world in which a plugin's tests run natively

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod bindings;
pub mod calls;
mod error;
mod event;
#[doc(hidden)]
pub mod export;
mod failure;
mod host;
pub mod log;
mod moment;
pub mod objects;
mod plugin;
pub mod settings;
pub mod store;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod value;
pub mod xapi;

pub use calls::{Progress, Task};
pub use error::{Error, Fault, IfThere};
pub use event::{
    Added, Alert, Change, Connection, Deleted, Ending, Event, Hears, Modified, Operation, Origin, Subject,
    TaskOutcome, Tick,
};
pub use failure::{Failure, Outcome, TRANSPORT_RETRY};
pub use moment::{Moment, NoMoment};
pub use objects::Object;
pub use plugin::{IntoOutcome, Plugin};
pub use value::{FromValue, Reference, Value};

/// Makes a plugin of an `impl` block with one handler for each subscription of the manifest.
///
/// Handlers are marked with the names of the subscriptions that they answer: `#[on("power")]`, or `#[on("started", "stopped")]`.
/// A subscription without a handler, a handler without a subscription, and a handler that takes what its subscription does not
/// bring are told by the compiler.
///
/// A handler takes, in any order and only as far as it needs them:
///
/// - `&self`: the plugin's settings. The struct is read from them by serde, so it has a field for each setting of the
///   manifest that it wants to see. Handlers without `&self` need none.
/// - `&`[`Event`]: what is told of every event, such as the pool and the attempt.
/// - what the event is about, by value or by reference:
///
/// | the subscription has | take |
/// |---|---|
/// | `class = "VM"`, `on = ["modified"]` | [`Modified`]`<`[`Vm`](xapi::Vm)`>` |
/// | `class = "VM"`, `on = ["added"]` | [`Added`]`<`[`Vm`](xapi::Vm)`>` |
/// | `class = "VM"`, `on = ["deleted"]` | [`Deleted`]`<`[`Vm`](xapi::Vm)`>` |
/// | `class = "VM"`, several of these | [`Change`]`<`[`Vm`](xapi::Vm)`>` |
/// | any class | the same with [`Object`], or `Change` alone |
/// | `cron = "…"` | [`Tick`] |
/// | `alert = true` | [`Alert`] |
/// | `task = true` | [`TaskOutcome`] |
/// | `connection = true` | [`Connection`] |
/// | anything | [`Subject`] |
///
/// It returns nothing, an [`Outcome`], or a `Result<(), E>` with an error that `?` would make a [`Failure`] of.
///
/// The manifest is `plugin.toml` beside `Cargo.toml`, or the string in `#[plugin(manifest = "…")]`. It travels in the
/// component. A component has one plugin.
///
/// ```
/// use xapiary_sdk::{Alert, Connection, Event, Tick, info, plugin, warn};
///
/// struct Herald;
///
/// #[plugin(manifest = r#"
///     name = "herald"
///     version = "0.1.0"
///     contract = "0.1.0"
///     description = "Says what it hears"
///
///     [[subscribe]]
///     name = "pressing"
///     alert = true
///     priority_at_most = 2
///
///     [[subscribe]]
///     name = "nightly"
///     cron = "0 3 * * *"
///
///     [[subscribe]]
///     name = "line"
///     connection = true
/// "#)]
/// impl Herald {
///     #[on("pressing")]
///     fn pressing(event: &Event, alert: Alert) {
///         warn!(pool = event.pool, "{}: {}", alert.name, alert.body);
///     }
///
///     #[on("nightly")]
///     fn nightly(tick: Tick) {
///         info!("it is {}", tick.due);
///     }
///
///     #[on("line")]
///     fn line(connection: Connection) {
///         info!("{connection:?}");
///     }
/// }
/// # fn main() {}
/// ```
///
/// A slip is told by the compiler:
///
/// ```compile_fail
/// # use xapiary_sdk::plugin;
/// # struct Herald;
/// #[plugin(manifest = r#"
///     name = "herald"
///     version = "0.1.0"
///     contract = "0.1.0"
///     description = "Says what it hears"
///
///     [[subscribe]]
///     name = "nightly"
///     cron = "0 3 * * *"
/// "#)]
/// impl Herald {
///     #[on("nigthly")] // the manifest has no subscription `nigthly`; did you mean `nightly`?
///     fn nightly() {}
/// }
/// # fn main() {}
/// ```
pub use xapiary_sdk_macros::plugin;
