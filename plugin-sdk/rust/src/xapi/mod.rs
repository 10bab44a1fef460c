//! The pool's object model, typed: a type with a function for each field of the common classes, a function for each method,
//! and an enum for each enumeration. All of it is generated from XAPI's own schema.
//!
//! ```no_run
//! use std::time::Duration;
//! use xapiary_sdk::xapi::{self, Class, Vm, VmPowerState};
//! use xapiary_sdk::{Outcome, info};
//!
//! fn start_all() -> Outcome {
//!     for vm in Vm::find("self.power_state == 'Halted' && 'production' in self.tags") {
//!         let vm = vm?;
//!         if let Some(metrics) = vm.guest_metrics()? {
//!             info!("{} once had {:?}", vm.name_label()?, metrics.networks()?);
//!         }
//!         // Waits for the answer; `start_async` gives a task.
//!         xapi::vm::start(&vm, false, false)?;
//!         assert_ne!(vm.power_state()?, VmPowerState::Running, "a record stays as it was when it was read");
//!     }
//!     Ok(())
//! }
//! ```
//!
//! - A type such as [`Vm`] is one record at one moment. It derefs to [`Object`], so that everything that an object can do, it
//!   can do too.
//! - A field that points to other objects gives these objects: [`Vm::resident_on`] a [`Host`], [`Vm::vbds`] a list of [`Vbd`]s.
//!   Those that no longer exist or that the grant hides are left out.
//! - A function such as [`vm::start`] is the method `VM.start`. What it acts on is a `&Vm`, an [`Object`], or a
//!   [`Reference`]; [`Null`] is no object. Optional arguments at the end are left out: name them with
//!   [`calls::call`](crate::calls::call).
//! - Classes that few meet have a type without fields; read these as of an [`Object`]. What reads a field from the pool itself
//!   (`VM.get_power_state`) is had by [`calls::call`](crate::calls::call): the daemon's picture is as good nearly always.
//! - Enumerations keep words that they do not know, since pools are updated before plugins are.

mod class;
mod declare;
#[rustfmt::skip]
mod generated;

pub use class::{Class, Null, ReferenceTo};
pub use generated::calls::*;
pub use generated::enums::*;
pub use generated::views::*;

#[cfg(doc)]
use crate::{Object, Reference};
