//! From `event.from` to honest events: what an object was, what it is, what changed, and where we were blind.
//!
//! `event.from` is a feed of state differences, not a log (facts: `docs/xapi-wire.md`, "Events"): changes between two
//! polls arrive as one, a deletion carries no record, deletions can be lost without an error, and a token means
//! nothing to a session other than its own. [`Stream`] makes the best of that in pure code:
//!
//! ```text
//!                 ┌────────── batch ──────────┐
//!   new session   ▼                           │
//!  ────────▶ Resyncing ── whole picture ──▶ Live ── count of a class wrong twice ──▶ Recounting
//!     ▲                                       ▲                                           │
//!     └──── an object that we never saw ──────┼───────────────── listing ─────────────────┘
//! ```
//!
//! It keeps no world of its own and does no I/O: [`Stream::step`] looks at the world and says which events come of
//! it, how the world changes, and which stream follows. The caller makes that durable and then takes it on. This
//! module knows no journal and never skips a gap in silence.

mod alert;
mod batch;
mod batch_shape;
mod canary;
mod event;
mod seen;
mod stream;
mod token;

pub use alert::{Alert, Body, Told};
pub use batch::{Batch, BatchError, Operation, RawEvent};
pub use canary::{Canary, Round};
pub use event::{Change, Ending, Event, Origin, Resync, TaskOutcome, ending};
pub use seen::Seen;
pub use stream::{Input, Request, Step, Stream, WorldChange};
