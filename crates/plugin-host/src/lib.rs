//! Runs plugins (WebAssembly components) within bounds and grants.
//!
//! A [`Host`] turns bytes into a [`Plugin`]; a plugin is given one [`Delivery`] at a time, each in a fresh sandbox,
//! and comes back with a [`Report`]. What a plugin may see and do is decided by its [`Grant`], in pure code. This room
//! knows XAPI's values and model; it knows neither transport nor journal nor router, which it reaches through the
//! traits in [`pool`].

mod condition;
pub mod event;
pub mod grant;
mod limits;
pub mod manifest;
mod nearest;
pub mod pool;
pub mod report;
mod stop;
pub mod subscription;
mod time;
mod version;

pub use condition::ConditionError;
pub use event::Event;
pub use grant::{Decision, Denial, Grant, GrantProblem, RawGrant};
pub use limits::Limits;
pub use manifest::{Manifest, ManifestError};
pub use report::{Outcome, Report};
pub use stop::Stop;
pub use subscription::{Interest, Subscription};
pub use version::CONTRACT;
