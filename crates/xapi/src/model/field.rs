//! Fields of a record as Rust values: what is missing or of another type is an error, never a default.

use std::fmt;
use std::marker::PhantomData;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use smol_str::SmolStr;

use super::object::{FromRecord, Ref};
use super::record::Record;
use crate::value::{Struct, Value};

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

/// A date as XAPI writes it.
///
/// ```
/// use xapi::model::Date;
///
/// let date = Date::new("20260821T02:00:23Z");
/// assert_eq!(date.timestamp().unwrap().to_string(), "2026-08-21T02:00:23Z");
/// assert_eq!(Date::new("yesterday").timestamp(), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date<'r>(&'r str);

impl<'r> Date<'r> {
    /// A date from its text.
    #[must_use]
    pub fn new(text: &'r str) -> Self {
        Date(text)
    }

    /// The text as it came.
    #[must_use]
    pub fn text(self) -> &'r str {
        self.0
    }

    /// The moment, where the text is in XAPI's compact form. Without a zone it is taken as UTC, as xapi does. The epoch
    /// itself stands for "never" in most fields.
    #[must_use]
    pub fn timestamp(self) -> Option<Timestamp> {
        let (civil, offset) = match self.0.split_at_checked(17)? {
            (civil, "" | "Z") => (civil, Offset::UTC),
            (civil, offset) => (civil, jiff::fmt::strtime::parse("%:z", offset).ok()?.offset()?),
        };
        let civil = DateTime::strptime("%Y%m%dT%H:%M:%S", civil).ok()?;
        offset.to_timestamp(civil).ok()
    }
}

impl fmt::Display for Date<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
    }
}

impl<'r> FromValue<'r> for Date<'r> {
    const WANTED: &'static str = "a date";

    fn from_value(value: &'r Value) -> Option<Self> {
        value.as_str().map(Date)
    }
}

/// A set in a record, all of one type. It keeps the order and the duplicates that the pool gave.
pub struct Set<'r, T> {
    elements: &'r [Value],
    of: PhantomData<fn() -> T>,
}

impl<'r, T: FromValue<'r>> Set<'r, T> {
    /// The elements.
    #[must_use]
    pub fn iter(&self) -> std::iter::FilterMap<std::slice::Iter<'r, Value>, fn(&'r Value) -> Option<T>> {
        // Nothing is left out: all elements were seen to fit when the set was made.
        self.elements.iter().filter_map(T::from_value)
    }

    /// How many elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }
}

impl<'r, T: FromValue<'r> + PartialEq> Set<'r, T> {
    /// Whether one of the elements is this one.
    #[must_use]
    pub fn contains(&self, element: &T) -> bool {
        self.iter().any(|present| present == *element)
    }
}

impl<'r, T: FromValue<'r>> FromValue<'r> for Set<'r, T> {
    const WANTED: &'static str = "a set of one type";

    fn from_value(value: &'r Value) -> Option<Self> {
        let elements = value.as_array()?;
        let fit = elements.iter().all(|element| T::from_value(element).is_some());
        fit.then_some(Set { elements, of: PhantomData })
    }
}

impl<'r, T: FromValue<'r>> IntoIterator for Set<'r, T> {
    type Item = T;
    type IntoIter = std::iter::FilterMap<std::slice::Iter<'r, Value>, fn(&'r Value) -> Option<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T> Clone for Set<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Set<'_, T> {}

impl<'r, T: FromValue<'r> + fmt::Debug> fmt::Debug for Set<'r, T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.iter()).finish()
    }
}

/// A map in a record, all values of one type. Keys are text on the wire, whatever the datamodel calls them.
pub struct Map<'r, V> {
    members: &'r Struct,
    of: PhantomData<fn() -> V>,
}

impl<'r, V: FromValue<'r>> Map<'r, V> {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<V> {
        self.members.get(key).and_then(V::from_value)
    }

    /// All keys with their values, in the order that the pool gave.
    pub fn iter(&self) -> impl Iterator<Item = (&'r str, V)> + use<'r, V> {
        // Nothing is left out: all values were seen to fit when the map was made.
        self.members.iter().filter_map(|(key, value)| Some((&**key, V::from_value(value)?)))
    }

    /// How many keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl<'r, V: FromValue<'r>> FromValue<'r> for Map<'r, V> {
    const WANTED: &'static str = "a map to one type";

    fn from_value(value: &'r Value) -> Option<Self> {
        let members = value.as_struct()?;
        let fit = members.iter().all(|(_, value)| V::from_value(value).is_some());
        fit.then_some(Map { members, of: PhantomData })
    }
}

impl<V> Clone for Map<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Map<'_, V> {}

impl<'r, V: FromValue<'r> + fmt::Debug> fmt::Debug for Map<'r, V> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_map().entries(self.iter()).finish()
    }
}
