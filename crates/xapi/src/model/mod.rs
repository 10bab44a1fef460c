//! XAPI's object model: the schema as tables, records with typed fields, and the world of one pool.

mod fields;
#[rustfmt::skip]
mod generated;
mod object;
mod record;
pub mod schema;
mod typed;
mod world;

pub use object::{FromRecord, Object, Ref};
pub use record::Record;
pub use schema::{Class, Field, Method, Type};
pub use typed::typed;
pub use world::World;
