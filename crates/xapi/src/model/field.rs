//! Fields of a record as Rust values: what is missing or of another type is an error, never a default.

use smol_str::SmolStr;

use super::object::{FromRecord, Ref};
use super::record::Record;
use crate::value::Value;

/// A field is not there, or is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} has {} in field {field:?} where {wanted} belongs", object(.class, .reference), .found.unwrap_or("nothing"))]
pub struct FieldError {
    /// The class of the record.
    pub class: SmolStr,
    /// The field, by its wire name.
    pub field: SmolStr,
    /// The reference of the record; empty for sessions, whose references are secrets.
    pub reference: SmolStr,
    /// What belongs there, such as `an integer`.
    pub wanted: &'static str,
    /// What is there, such as `a text`; nothing where the field is missing, as it is on pools that are older than it.
    pub found: Option<&'static str>,
}

impl FieldError {
    /// Whether the record lacks the field: the pool is older than it, or newer than its removal.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.found.is_none()
    }
}

fn object(class: &str, reference: &str) -> String {
    if reference.is_empty() { class.to_owned() } else { format!("{class} {reference}") }
}

impl Record {
    /// A field as a Rust type.
    ///
    /// # Errors
    /// When it is missing or of another type.
    ///
    /// ```
    /// use xapi::model::{Record, Ref, Set};
    /// use xapi::{Struct, Value};
    ///
    /// let mut fields = Struct::new();
    /// fields.insert("memory_target", 1024);
    /// fields.insert("VBDs", Value::Array(vec!["OpaqueRef:1".into()]));
    /// let vm = Record::new("VM", "OpaqueRef:vm", fields);
    ///
    /// assert_eq!(vm.field("memory_target"), Ok(1024));
    /// let vbds: Set<'_, Ref> = vm.field("VBDs").unwrap();
    /// assert_eq!(vbds.iter().next(), Some(Ref::new("OpaqueRef:1")));
    /// let error = vm.field::<&str>("name_label").unwrap_err();
    /// assert!(error.is_missing());
    /// assert_eq!(error.to_string(), r#"VM OpaqueRef:vm has nothing in field "name_label" where a text belongs"#);
    /// ```
    pub fn field<'r, T: FromValue<'r>>(&'r self, name: &str) -> Result<T, FieldError> {
        let value = self.get(name);
        value.and_then(T::from_value).ok_or_else(|| FieldError {
            class: self.class.clone(),
            field: name.into(),
            reference: if self.class == "session" { SmolStr::default() } else { self.reference.clone() },
            wanted: T::WANTED,
            found: value.map(Value::shape),
        })
    }
}

/// A type that a field can be read as.
pub trait FromValue<'r>: Sized {
    /// What it is, for errors: `an integer`.
    const WANTED: &'static str;

    /// The value as this type, if it is one.
    fn from_value(value: &'r Value) -> Option<Self>;
}

impl<'r> FromValue<'r> for &'r Value {
    const WANTED: &'static str = "a value";

    fn from_value(value: &'r Value) -> Option<Self> {
        Some(value)
    }
}

impl<'r> FromValue<'r> for &'r str {
    const WANTED: &'static str = "a text";

    fn from_value(value: &'r Value) -> Option<Self> {
        value.as_str()
    }
}

impl FromValue<'_> for i64 {
    const WANTED: &'static str = "an integer";

    fn from_value(value: &Value) -> Option<Self> {
        value.as_int()
    }
}

impl FromValue<'_> for f64 {
    const WANTED: &'static str = "a float";

    fn from_value(value: &Value) -> Option<Self> {
        value.as_float()
    }
}

impl FromValue<'_> for bool {
    const WANTED: &'static str = "a truth value";

    fn from_value(value: &Value) -> Option<Self> {
        value.as_bool()
    }
}

impl<T: FromRecord> FromValue<'_> for Ref<T> {
    const WANTED: &'static str = "a reference";

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Ref::new(text.clone())),
            _ => None,
        }
    }
}
