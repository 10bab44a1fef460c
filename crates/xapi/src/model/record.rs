//! One object's fields, typed by the schema.

use smol_str::SmolStr;

use super::fields::Fields;
use super::schema::{self, Class};
use crate::value::{Struct, Value};

/// One object as last seen. Fields that the schema does not know are kept as they came.
///
/// It weighs little: names of known fields are the schema's, and a field that holds what its type mostly holds (an
/// empty text, map or list, zero, no, a reference to nothing) takes no room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The class with its case on the wire, `VM`; as it came where the schema does not know it.
    pub class: SmolStr,
    /// The opaque reference.
    pub reference: SmolStr,
    fields: Fields,
}

impl Record {
    /// Types a decoded struct by the schema of `class`.
    #[must_use]
    pub fn new(class: &str, reference: impl Into<SmolStr>, fields: Struct) -> Self {
        let known = schema::class(class);
        Record {
            class: known.map_or_else(|| class.into(), |known| SmolStr::new_static(known.name)),
            reference: reference.into(),
            fields: Fields::new(known, fields),
        }
    }

    /// The object, once all its fields have come.
    pub(crate) fn filled(class: &str, reference: SmolStr, fields: Fields) -> Self {
        let class = fields.class().map_or_else(|| class.into(), |known| SmolStr::new_static(known.name));
        Record { class, reference, fields }
    }

    pub(super) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// What the schema says of the class; none for a class that it does not know.
    #[must_use]
    pub fn schema(&self) -> Option<&'static Class> {
        self.fields.class()
    }

    /// One field.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.fields.get(field)
    }

    /// All fields by wire name: those that the schema knows in its order, then the others as they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.fields.iter()
    }

    /// How many fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is no field at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sets a field, typed by the schema, and returns what was there.
    pub fn set(&mut self, field: &str, value: impl Into<Value>) -> Option<Value> {
        self.fields.set(field, value.into())
    }

    /// Sets every field for which there is another value, typed by the schema.
    pub fn replace(&mut self, mut with: impl FnMut(&str, &Value) -> Option<Value>) {
        let new: Vec<(SmolStr, Value)> =
            self.iter().filter_map(|(name, value)| Some((name.into(), with(name, value)?))).collect();
        for (name, value) in new {
            self.set(&name, value);
        }
    }

    /// Takes a field out.
    pub fn remove(&mut self, field: &str) -> Option<Value> {
        self.fields.remove(field)
    }

    /// The fields as members of a struct, in the order of [`iter`](Self::iter).
    #[must_use]
    pub fn to_struct(&self) -> Struct {
        self.iter().map(|(name, value)| (name.into(), value.clone())).collect()
    }

    /// A text field; the empty text where there is none.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// The uuid, for classes that have one.
    #[must_use]
    pub fn uuid(&self) -> Option<&str> {
        self.get("uuid").and_then(Value::as_str).filter(|uuid| !uuid.is_empty())
    }

    /// Names of the fields in which the two differ, in the order of `self`, then those that only `older` has.
    #[must_use]
    pub fn changed_since(&self, older: &Record) -> Vec<SmolStr> {
        self.fields.changed_since(&older.fields)
    }
}
