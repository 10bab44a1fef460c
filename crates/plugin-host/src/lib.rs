//! Runs plugins (WebAssembly components) within bounds and grants.
//!
//! A [`Host`] turns bytes into a [`Plugin`]; a plugin is given one [`Delivery`] at a time, each in a fresh sandbox,
//! and comes back with a [`Report`]. What a plugin may see and do is decided by its [`Grant`], in a room of its own. This one
//! knows XAPI's values and model; it knows neither transport nor journal nor router, which it reaches through the
//! traits in [`pool`].

mod calls;
mod code_cache;
mod compile;
mod contract;
mod convert;
mod deliver;
mod delivery;
mod discretion;
mod engine;
pub mod event;
mod events;
mod fault;
mod handles;
mod inspect;
mod limits;
mod load;
mod log;
mod log_book;
pub mod manifest;
mod meter;
mod objects;
mod pack;
pub mod pool;
pub mod report;
mod sandbox;
mod schedule;
mod settings;
mod spending;
mod stop;
mod store;
pub mod subscription;
mod veil;
mod version;
mod wasi;

pub use code_cache::{CodeCache, NotKept};
pub use compile::compile;
pub use delivery::{Delivery, Terms};
pub use discretion::without_secrets;
pub use engine::{Host, HostError, Options};
pub use event::Event;
pub use grant;
pub use grant::{Decision, Denial, Grant, GrantProblem, RawGrant};
pub use inspect::{Inspection, inspect};
pub use limits::Limits;
pub use load::{LoadError, Plugin};
pub use manifest::{Manifest, ManifestError};
pub use pack::{PackError, pack};
pub use report::{Outcome, Report};
pub use schedule::{Due, Schedule, ScheduleError};
pub use spending::{Past, Spending};
pub use stop::Stop;
pub use subscription::{Interest, Subscription};
pub use version::CONTRACT;
