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
        let mut names: Vec<SmolStr> = self
            .fields
            .iter()
            .filter(|(name, value)| older.fields.get(name) != Some(value))
            .map(|(name, _)| name.clone())
            .collect();
        names.extend(
            older
                .fields
                .iter()
                .filter(|(name, _)| self.fields.get(name).is_none())
                .map(|(name, _)| name.clone()),
        );
        names
    }
}

fn typed_record(class: &'static Class, fields: Struct) -> Struct {
    fields
        .into_iter()
        .enumerate()
        .map(|(index, (name, value))| {
            // Records come in the order of the datamodel, so the field is usually at its own index.
            let field =
                class.fields.get(index).filter(|field| field.name == name).or_else(|| class.field(&name));
            match field {
                Some(field) => (SmolStr::new_static(field.name), typed(&field.kind, value)),
                None => (name, value),
            }
        })
        .collect()
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
