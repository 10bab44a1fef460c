//! XAPI's object model: the schema as tables, records with typed fields, and the world of one pool.
//!
//! A [`Record`] is one object, its fields by wire name. [`views`] read records of one class with an accessor per field,
//! [`enums`] are the words of enumerations; both keep what they do not know. All of them come from the same table as
//! [`schema`], by `cargo xtask codegen`.

mod collection;
mod date;
mod declare;
mod field;
mod fields;
mod filling;
#[rustfmt::skip]
mod generated;
mod object;
pub mod path;
mod pattern;
mod record;
pub mod schema;
mod typed;
mod usual;
mod world;

pub use collection::{Elements, Map, Set};
pub use date::Date;
pub use field::{FieldError, FromValue};
pub(crate) use fields::Fields;
pub(crate) use filling::Filling;
pub use generated::{enums, views};
pub use object::{FromRecord, Object, Ref, WrongClass};
pub use path::Path;
pub(crate) use pattern::Pattern;
pub use record::Record;
pub use schema::{Class, Field, Method, Type};
pub use typed::typed;
pub use world::World;
