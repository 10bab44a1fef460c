//! One object's fields, typed by the schema.

use smol_str::SmolStr;

use super::schema::{self, Class, Type};
use crate::value::{Struct, Value};

/// One object as last seen. Fields that the schema does not know are kept as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The class with its case on the wire, `VM`; as it came where the schema does not know it.
    pub class: SmolStr,
    /// The opaque reference.
    pub reference: SmolStr,
    /// The fields by wire name.
    pub fields: Struct,
}

impl Record {
    /// Types a decoded struct by the schema of `class`.
    #[must_use]
    pub fn new(class: &str, reference: impl Into<SmolStr>, fields: Struct) -> Self {
        let reference = reference.into();
        match schema::class(class) {
            Some(known) => Record {
                class: SmolStr::new_static(known.name),
                reference,
                fields: typed_record(known, fields),
            },
            None => Record { class: class.into(), reference, fields },
        }
    }

    /// One field.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.fields.get(field)
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
        let mut names = Vec::new();
        let mut same_names = self.fields.len() == older.fields.len();
        // Both mostly have the same fields in the same order: then nothing needs to be looked for.
        let mut beside = older.fields.iter();
        for (name, value) in self.fields.iter() {
            let before = match beside.next() {
                Some((same, before)) if same == name => Some(before),
                _ => {
                    same_names = false;
                    older.fields.get(name)
                }
            };
            if before != Some(value) {
                names.push(name.clone());
            }
        }
        if !same_names {
            let gone = older.fields.iter().filter(|(name, _)| self.fields.get(name).is_none());
            names.extend(gone.map(|(name, _)| name.clone()));
        }
        names
    }
}

fn typed_record(class: &'static Class, fields: Struct) -> Struct {
    // Records come in the order of the datamodel, so a field is usually the one after the last; an older or newer pool
    // leaves some out or has some that we do not know.
    let mut expected = 0;
    let mut typed_fields = Struct::with_capacity(fields.len());
    for (name, value) in fields {
        let at = match class.fields.get(expected) {
            Some(field) if field.name == name => Some(expected),
            _ => class.fields.iter().position(|field| field.name == name),
        };
        match at.and_then(|at| Some((at, class.fields.get(at)?))) {
            Some((at, field)) => {
                expected = at + 1;
                typed_fields.push(SmolStr::new_static(field.name), typed(&field.kind, value));
            }
            None => typed_fields.push(name, value),
        }
    }
    typed_fields
}

/// Turns a decoded value into what the datamodel says it is: text that should be an integer becomes one, text
/// that should be a date becomes one. What does not fit is left as it came.
#[must_use]
pub fn typed(kind: &Type, value: Value) -> Value {
    match (kind, value) {
        (Type::Int, Value::String(text)) => text.parse().map_or(Value::String(text), Value::Int),
        (Type::Float, Value::Int(number)) => {
            Value::Int(number).as_float().map_or(Value::Int(number), Value::Float)
        }
        (Type::Float, Value::String(text)) => text.parse().map_or(Value::String(text), Value::Float),
        (Type::DateTime, Value::String(text)) => Value::DateTime(text),
        (Type::Bool, Value::String(text)) if text == "true" => Value::Bool(true),
        (Type::Bool, Value::String(text)) if text == "false" => Value::Bool(false),
        (Type::String | Type::Ref(_) | Type::Enum(_), Value::Int(number)) => {
            Value::String(format!("{number}").into())
        }
        (Type::Set(element), Value::Array(elements)) => {
            Value::Array(elements.into_iter().map(|value| typed(element, value)).collect())
        }
        (Type::Map(_, element), Value::Struct(members)) => {
            Value::Struct(members.into_iter().map(|(name, value)| (name, typed(element, value))).collect())
        }
        (Type::Record(class), Value::Struct(fields)) => match schema::class(class) {
            Some(class) => Value::Struct(typed_record(class, fields)),
            None => Value::Struct(fields),
        },
        (Type::Option(inner), value) => typed(inner, value),
        (_, value) => value,
    }
}
