//! XAPI's object model: the schema as tables, records with typed fields, and the world of one pool.

#[rustfmt::skip]
mod generated;
mod object;
mod record;
pub mod schema;
mod world;

pub use object::{FromRecord, Object, Ref};
pub use record::{Record, typed};
pub use schema::{Class, Field, Method, Type};
pub use world::World;
