//! Speaks XAPI, the management API of XenServer and XCP-ng, to one pool.

pub mod codec;
pub mod model;
mod value;

pub use value::{NULL_REF, Struct, Value};
