//! A small world in which a plugin's handlers run natively, with `cargo test`: no pool, no daemon, no WebAssembly.
//!
//! A [`World`] has objects, the plugin's settings with the manifest's defaults, its store, and the answers that the pool will
//! give. Something happens in it, which makes a [`Delivery`]; delivering that gives a [`Run`] with the calls that the plugin
//! made, what it logged, and how it ended.
//!
//! ```
//! # use serde::Deserialize;
//! # use xapiary_sdk::xapi::{self, Vm, VmPowerState};
//! # use xapiary_sdk::{Modified, Outcome, info, plugin};
//! # #[derive(Deserialize)]
//! # struct StopTag { tag: String }
//! # #[plugin(manifest = r#"
//! #     name = "stop-tag"
//! #     version = "0.1.0"
//! #     contract = "0.1.0"
//! #     description = "Tags VMs that have stopped"
//! #     [[subscribe]]
//! #     name = "power"
//! #     class = "VM"
//! #     on = ["modified"]
//! #     fields = ["power_state"]
//! #     [settings.tag]
//! #     type = "string"
//! #     default = "stopped"
//! #     description = "The tag"
//! # "#)]
//! # impl StopTag {
//! #     #[on("power")]
//! #     fn power(&self, vm: Modified<Vm>) -> Outcome {
//! #         if vm.new.power_state()? == VmPowerState::Halted && !vm.new.tags()?.contains(&self.tag) {
//! #             xapi::vm::add_tags(&vm.new, &self.tag)?;
//! #             info!("{} has stopped", vm.new.name_label()?);
//! #         }
//! #         Ok(())
//! #     }
//! # }
//! use xapiary_sdk::testing::{Answer, World};
//!
//! const WORLD: &str = r#"
//!     [[VM]]
//!     name_label = "web"
//!     power_state = "Running"
//!     resident_on = "host-1"
//!
//!     [[host]]
//!     name_label = "host-1"
//! "#;
//!
//! // #[test]
//! fn a_vm_that_stops_is_tagged() {
//!     let mut world = World::<StopTag>::new(WORLD);
//!     let run = world.modify("VM", "web").set("power_state", "Halted").deliver();
//!     run.assert_done().assert_calls(["VM.add_tags(web, \"stopped\")"]).assert_logged("web has stopped");
//! }
//!
//! // #[test]
//! fn what_the_pool_refuses_is_given_up() {
//!     let mut world = World::<StopTag>::new(WORLD);
//!     world.answer("VM.add_tags", Answer::error("PERMISSION_DENIED", []));
//!     let run = world.modify("VM", "web").set("power_state", "Halted").deliver();
//!     run.assert_gave_up("PERMISSION_DENIED");
//! }
//! # fn main() { a_vm_that_stops_is_tagged(); what_the_pool_refuses_is_given_up(); }
//! ```
//!
//! The world is held to XAPI's schema and to the plugin's manifest: a class, field, method or word that does not exist, and an
//! event that no subscription hears, make the test fail with what was probably meant. A field of which the world says nothing
//! is empty, zero or false. A call changes nothing in the world: what the pool makes of calls, and whether the grant allows
//! them, is for `xapiary plugin test`, which runs the component in the daemon's own host against a simulated pool.

mod answer;
mod delivery;
pub(crate) mod filter;
#[rustfmt::skip]
mod generated;
mod manifest;
pub(crate) mod records;
pub(crate) mod run;
mod schema;
pub(crate) mod state;
mod world;

pub use answer::Answer;
pub use delivery::Delivery;
pub use run::{Call, Line, Run};
pub use world::World;

/// A class as the schema names it, or what is wrong with the name.
pub(crate) fn class_of(name: &str) -> Result<&'static str, String> {
    schema::class(name).map(|class| class.name)
}

/// What is wrong with the name of a field.
pub(crate) fn field_of(class: &str, field: &str) -> String {
    schema::class(class).and_then(|class| class.field(field)).err().unwrap_or_default()
}

/// Whether a class has no such field.
pub(crate) fn has_no_field(class: &str, field: &str) -> bool {
    schema::class(class).is_ok_and(|class| class.field(field).is_err())
}
