//! A XenServer / XCP-ng pool made of memory, with real doors.
//!
//! Its state is ours or a real pool's saved `state.db`; its methods follow from the object model; its events, tasks,
//! sessions and errors behave as XAPI's do. It may do less than a pool and is never kinder: what it does not do
//! answers as a method that a pool does not know. The core is pure and gets the time passed in; the doors are thin.
//!
//! It knows the codec and the model of `xapi`, and must not know who calls it.

mod appliance;
mod arguments;
mod builtin;
mod catalog;
mod certificates;
mod churn;
mod clock;
mod coverage;
mod database;
mod defaults;
mod devices;
mod dispatch;
mod doors;
mod emergency;
mod events;
mod failures;
mod filter;
mod generated;
mod handle;
mod host;
mod legacy;
mod machine;
mod membership;
mod messages;
mod methods;
mod network;
mod operation;
mod options;
mod peer;
mod pool;
mod random;
mod roles;
mod scenario;
mod session;
mod shell;
mod simulator;
mod state_db;
mod storage;
mod tasks;
mod toolstack;
mod trouble;

pub use builtin::Size;
pub use certificates::RotationError;
pub use churn::CHURN_MAX;
pub use coverage::{ClassCoverage, coverage};
pub use doors::{DoorError, MemberDoor};
pub use handle::PoolHandle;
pub use options::Options;
pub use roles::{role_named, role_names};
pub use scenario::{Happening, Scenario, ScenarioError, ScenarioProblem};
pub use simulator::{Doors, LoadError, Running, Simulator};
pub use state_db::{LoadNotes, StateError};
pub use trouble::{Calls, FailingCalls, Latency, Methods, Often, Reach, RuleId, Spoil};
