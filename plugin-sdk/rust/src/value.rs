//! The values that cross the boundary, and how plain Rust values become them and come of them.

use std::collections::BTreeMap;

use serde::de::{Deserialize, Deserializer};
use serde_json::Value as Json;

use crate::{Error, Moment, Object};

/// A handle to one XAPI object, made by the daemon for this plugin. It is good for this delivery; to remember an object
/// for later, keep its UUID.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference(pub(crate) String);

impl Reference {
    /// The handle's text. It is the daemon's own and not XAPI's `OpaqueRef`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Handles stand in JSON as plain text.
impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Reference)
    }
}

/// An XAPI value. Shapes deeper than these, such as a map of sets, are [`Value::Json`].
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// XAPI's void, an absent optional, the null reference, or a field that this pool does not have.
    Nothing,
    /// A string, or the name of an enum case as XAPI spells it.
    Text(String),
    /// An integer of any XAPI width.
    Whole(i64),
    /// A floating point number.
    Real(f64),
    /// A boolean.
    Truth(bool),
    /// A point in time.
    Moment(Moment),
    /// A reference to one object.
    Reference(Reference),
    /// A set of strings or of enum cases.
    Texts(Vec<String>),
    /// A set of references.
    References(Vec<Reference>),
    /// A map of strings to strings, in the order in which XAPI gave it.
    Pairs(Vec<(String, String)>),
    /// Anything else, as JSON text.
    Json(String),
}

impl Value {
    /// What kind of value this is, in one word, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Nothing => "nothing",
            Value::Text(_) => "text",
            Value::Whole(_) => "whole",
            Value::Real(_) => "real",
            Value::Truth(_) => "truth",
            Value::Moment(_) => "moment",
            Value::Reference(_) => "reference",
            Value::Texts(_) => "texts",
            Value::References(_) => "references",
            Value::Pairs(_) => "pairs",
            Value::Json(_) => "json",
        }
    }
}

/// The arguments of a call as a list of [`Value`]s, from anything that can become one.
///
/// ```
/// use xapiary_sdk::{Value, args};
/// let arguments = args!["a note", 3, true];
/// assert_eq!(arguments, vec![Value::Text("a note".into()), Value::Whole(3), Value::Truth(true)]);
/// ```
#[macro_export]
macro_rules! args {
    ($($value:expr),* $(,)?) => { ::std::vec![$($crate::Value::from($value)),*] };
}

macro_rules! becomes {
    ($($plain:ty => |$given:ident| $value:expr;)*) => {
        $(impl From<$plain> for Value {
            fn from($given: $plain) -> Value {
                $value
            }
        })*
    };
}

becomes! {
    () => |_nothing| Value::Nothing;
    &str => |text| Value::Text(text.to_owned());
    &String => |text| Value::Text(text.clone());
    String => |text| Value::Text(text);
    i64 => |number| Value::Whole(number);
    i32 => |number| Value::Whole(number.into());
    u32 => |number| Value::Whole(number.into());
    f64 => |number| Value::Real(number);
    bool => |truth| Value::Truth(truth);
    Moment => |moment| Value::Moment(moment);
    &Moment => |moment| Value::Moment(moment.clone());
    Reference => |reference| Value::Reference(reference);
    &Reference => |reference| Value::Reference(reference.clone());
    &Object => |object| Value::Reference(object.reference());
    Vec<String> => |texts| Value::Texts(texts);
    &[&str] => |texts| Value::Texts(texts.iter().map(|&text| text.to_owned()).collect());
    Vec<Reference> => |references| Value::References(references);
    Vec<(String, String)> => |pairs| Value::Pairs(pairs);
    &[(&str, &str)] => |pairs| {
        Value::Pairs(pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect())
    };
    &Json => |json| Value::Json(json.to_string());
}

/// Elements keep their order; the type of an array literal is known without them.
impl<const N: usize> From<[&str; N]> for Value {
    fn from(texts: [&str; N]) -> Value {
        Value::from(&texts[..])
    }
}

/// Entries keep their order.
impl<const N: usize> From<[(&str, &str); N]> for Value {
    fn from(pairs: [(&str, &str); N]) -> Value {
        Value::from(&pairs[..])
    }
}

/// A Rust type that a field or a call's result is read as. Implemented by the SDK.
pub trait FromValue: Sized {
    /// What it wants, in words, for an error.
    #[doc(hidden)]
    const WANTED: &'static str;

    /// The value as this type; back as it was when it is of another.
    #[doc(hidden)]
    fn from_value(value: Value) -> Result<Self, Value>;
}

macro_rules! comes_of {
    ($($kind:ident => $plain:ty, $wanted:literal;)*) => {
        $(impl FromValue for $plain {
            const WANTED: &'static str = $wanted;

            fn from_value(value: Value) -> Result<Self, Value> {
                if let Value::$kind(inner) = value { Ok(inner) } else { Err(value) }
            }
        })*
    };
}

comes_of! {
    Text => String, "text";
    Whole => i64, "whole";
    Real => f64, "real";
    Truth => bool, "truth";
    Moment => Moment, "moment";
    Reference => Reference, "reference";
    Texts => Vec<String>, "texts";
    References => Vec<Reference>, "references";
    Pairs => Vec<(String, String)>, "pairs";
}

impl FromValue for Value {
    const WANTED: &'static str = "any value";

    fn from_value(value: Value) -> Result<Self, Value> {
        Ok(value)
    }
}

/// What a method answers that answers nothing.
impl FromValue for () {
    const WANTED: &'static str = "nothing";

    fn from_value(_: Value) -> Result<Self, Value> {
        Ok(())
    }
}

/// A reference that may be null, or an optional value.
impl<T: FromValue> FromValue for Option<T> {
    const WANTED: &'static str = T::WANTED;

    fn from_value(value: Value) -> Result<Self, Value> {
        if value == Value::Nothing { Ok(None) } else { T::from_value(value).map(Some) }
    }
}

/// A map of strings to strings, to be looked into.
impl FromValue for BTreeMap<String, String> {
    const WANTED: &'static str = "pairs";

    fn from_value(value: Value) -> Result<Self, Value> {
        Vec::from_value(value).map(|pairs| pairs.into_iter().collect())
    }
}

impl FromValue for Json {
    const WANTED: &'static str = "json";

    fn from_value(value: Value) -> Result<Self, Value> {
        match &value {
            Value::Json(text) => serde_json::from_slice(text.as_bytes()).map_err(|_| value),
            _ => Err(value),
        }
    }
}

/// Reads a value as a type; `what` is the field or method that it came of.
pub(crate) fn read<T: FromValue>(value: Value, what: impl FnOnce() -> String) -> Result<T, Error> {
    T::from_value(value).map_err(|value| Error::of_another_type(&what(), T::WANTED, &value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_what_it_is_and_nothing_else() {
        assert_eq!(bool::from_value(Value::Truth(true)), Ok(true));
        assert_eq!(bool::from_value(Value::Whole(1)), Err(Value::Whole(1)));
        assert_eq!(Option::<String>::from_value(Value::Nothing), Ok(None));
        assert_eq!(Option::<String>::from_value("a".into()), Ok(Some("a".to_owned())));
        let pairs = Value::from([("key", "value")]);
        let map = BTreeMap::from([("key".to_owned(), "value".to_owned())]);
        assert_eq!(BTreeMap::from_value(pairs), Ok(map));
        assert_eq!(Json::from_value(Value::Json("[1]".into())), Ok(serde_json::json!([1])));
        assert_eq!(Json::from_value(Value::Json("[".into())), Err(Value::Json("[".into())));
    }
}
