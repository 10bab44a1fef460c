//! A pool's saved state, `state.db`, as XAPI writes it: XML whose rows carry every column as an attribute.
//!
//! Knows the object model and the database; no methods, no files and no sockets.

mod dump;
mod kept;
mod load;
mod sexpr;
mod text;

pub(crate) use dump::dump;
pub(crate) use kept::Kept;
pub(crate) use load::load;
pub use load::{LoadNotes, StateError};
pub(crate) use text::stored;
