//! The values that cross the boundary, and how plain Rust values become them.

use crate::Object;
use crate::bindings::xapiary::plugin::types as wire;

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

/// An XAPI value. Shapes deeper than these, such as a map of sets, are [`Value::Json`].
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// XAPI's void, an absent optional, or the null reference.
    Nothing,
    /// A string, or the name of an enum case as XAPI spells it.
    Text(String),
    /// An integer of any XAPI width.
    Whole(i64),
    /// A floating point number.
    Real(f64),
    /// A boolean.
    Truth(bool),
    /// A point in time, RFC 3339, UTC.
    Moment(String),
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
    Reference => |reference| Value::Reference(reference);
    &Reference => |reference| Value::Reference(reference.clone());
    &Object => |object| Value::Reference(object.reference());
    Vec<String> => |texts| Value::Texts(texts);
    Vec<Reference> => |references| Value::References(references);
    Vec<(String, String)> => |pairs| Value::Pairs(pairs);
}

impl From<wire::Value> for Value {
    fn from(value: wire::Value) -> Value {
        match value {
            wire::Value::Nothing => Value::Nothing,
            wire::Value::Text(text) => Value::Text(text),
            wire::Value::Whole(number) => Value::Whole(number),
            wire::Value::Real(number) => Value::Real(number),
            wire::Value::Truth(truth) => Value::Truth(truth),
            wire::Value::Moment(moment) => Value::Moment(moment),
            wire::Value::Reference(reference) => Value::Reference(Reference(reference)),
            wire::Value::Texts(texts) => Value::Texts(texts),
            wire::Value::References(references) => {
                Value::References(references.into_iter().map(Reference).collect())
            }
            wire::Value::Pairs(pairs) => Value::Pairs(pairs),
            wire::Value::Json(json) => Value::Json(json),
        }
    }
}

impl From<Value> for wire::Value {
    fn from(value: Value) -> wire::Value {
        match value {
            Value::Nothing => wire::Value::Nothing,
            Value::Text(text) => wire::Value::Text(text),
            Value::Whole(number) => wire::Value::Whole(number),
            Value::Real(number) => wire::Value::Real(number),
            Value::Truth(truth) => wire::Value::Truth(truth),
            Value::Moment(moment) => wire::Value::Moment(moment),
            Value::Reference(reference) => wire::Value::Reference(reference.0),
            Value::Texts(texts) => wire::Value::Texts(texts),
            Value::References(references) => {
                wire::Value::References(references.into_iter().map(|reference| reference.0).collect())
            }
            Value::Pairs(pairs) => wire::Value::Pairs(pairs),
            Value::Json(json) => wire::Value::Json(json),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_survives_the_way_out_and_back() {
        let values = vec![
            Value::from(()),
            Value::from("text"),
            Value::from(i64::MIN),
            Value::from(-7),
            Value::from(7_u32),
            Value::from(0.5),
            Value::from(true),
            Value::Moment("2026-01-02T03:04:05Z".into()),
            Value::from(Reference("ref:1".into())),
            Value::from(vec!["a".to_owned(), "b".to_owned()]),
            Value::from(vec![Reference("ref:1".into()), Reference("ref:2".into())]),
            Value::from(vec![("key".to_owned(), "value".to_owned())]),
            Value::Json("{\"a\":[1]}".into()),
        ];
        for value in values {
            assert_eq!(Value::from(wire::Value::from(value.clone())), value);
        }
    }
}
