//! The durable, ordered record of what happened, and of who has dealt with it.
//!
//! The journal keeps, in one SQLite file:
//!
//! - **events**, numbered without a hole from 1, with the picture of the pool (**objects**) and the **position** in
//!   the pool's own stream that belong to them; the three are written in one transaction ([`Journal::append`]);
//! - for each plugin a **cursor** and the **deliveries** above it ([`Journal::progress`], [`Journal::start`],
//!   [`Journal::finish`], [`Journal::fold`]); what was given up is a **dead letter**, which a person can make come again;
//! - **effects**: what a plugin was about to do and how it went ([`Journal::intend`], [`Journal::conclude`]);
//! - each plugin's own **state**, written together with the outcome of a delivery;
//! - **schedules**: when each was last due, written together with the event that tells of it;
//! - **gaps**: what plugins lost because the journal may not hold more ([`Journal::keep_within`]);
//! - the **audit**: calls of plugins and what came of them, refusals, grants, and what people did, each row chained to the
//!   one before it by a hash, so that a change shows.
//!
//! What people ask of it are [`Listings`], which can also be read while no daemon runs.
//!
//! What it promises: an answer `Ok` to a write means that the write is on disk and stays there through a kill and a
//! power cut; an error means that nothing of it was written, save [`Error::Broken`], after which only a new open can
//! tell. Everything is written in the order in which the calls were made by one caller.
//!
//! What it must not know: what its bytes mean. Payloads, positions, arguments and outcomes are text to it, and a
//! pool or a plugin is a name. Text and not blobs, so that an administrator can read the file with
//! `sqlite3 -readonly`; only plugin state may hold any bytes. It reads no clock either: times are the caller's, in
//! microseconds since 1970 UTC.
//!
//! How it is built: one writer thread takes commands from a bounded queue, runs up to 256 of them in one transaction
//! (each in its own savepoint), commits once and then answers all of them (group commit
//! with `synchronous=FULL`). Reads go to read-only connections on their own threads and never wait for the writer.

mod actions;
mod audit;
mod backup;
mod check;
mod counts;
mod dead;
mod deliveries;
mod effects;
mod error;
mod events;
mod fate;
mod fold;
mod journal;
mod limit;
mod listings;
mod open;
mod prune;
mod reader;
mod salvage;
mod schedule;
mod schema;
mod state;
mod switch;
mod writer;

pub use actions::{Action, By};
pub use audit::{AuditFilter, Audited, Head, NewAudit, Verified};
pub use backup::{Backed, BackupError, backup};
pub use check::{Checked, check};
pub use counts::Counts;
pub use dead::DeadLetter;
pub use deliveries::{Finish, OpenDelivery, OpenState, Outcome, PluginCursor, Progress, StateWrite};
pub use effects::{Allowed, Conclusion, Effect, EffectId, Intent};
pub use error::{Cause, Error};
pub use events::{Append, EventFilter, NewEvent, ObjectChange, StoredEvent, StoredObject};
pub use journal::Journal;
pub use limit::{Gap, Limits, Shrunk};
pub use listings::Listings;
pub use open::{OpenError, Options};
pub use prune::Pruned;
pub use salvage::{SalvageError, Salvaged, salvage};
pub use schedule::Scheduled;
pub use switch::Disabled;
