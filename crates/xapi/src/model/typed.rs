//! Decoded values, turned into what the schema says that they are.

use smol_str::SmolStr;

use super::schema::{self, Class, Type};
use crate::value::{Struct, Value};

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
