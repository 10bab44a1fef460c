//! A call's arguments as the datamodel types them, or the error that xapi answers.

use smol_str::{SmolStr, format_smolstr};
use xapi::codec::Failure;
use xapi::model::schema::{self, Field, Type};
use xapi::{NULL_REF, Struct, Value};

use crate::{defaults, failures};

/// The arguments of a call after its session.
#[derive(Clone)]
pub(crate) struct Arguments {
    /// The session's reference; empty for methods without one.
    pub(crate) session: SmolStr,
    /// The task that carries the call, where one does.
    pub(crate) task: Option<SmolStr>,
    /// The rest, typed; optional ones that were left out are missing at the end.
    pub(crate) values: Vec<Value>,
}

impl Arguments {
    /// A text argument; empty where it was left out.
    pub(crate) fn text(&self, index: usize) -> &str {
        self.values.get(index).and_then(Value::as_str).unwrap_or_default()
    }

    /// A truth argument; false where it was left out.
    pub(crate) fn truth(&self, index: usize) -> bool {
        self.values.get(index).and_then(Value::as_bool).unwrap_or_default()
    }

    /// An integer argument; 0 where it was left out.
    pub(crate) fn int(&self, index: usize) -> i64 {
        self.values.get(index).and_then(Value::as_int).unwrap_or_default()
    }

    /// Any argument; void where it was left out.
    pub(crate) fn value(&self, index: usize) -> Value {
        self.values.get(index).cloned().unwrap_or(Value::VOID)
    }
}

/// Makes of a decoded argument what the parameter's type says.
pub(crate) fn typed(kind: &Type, value: &Value, parameter: &str) -> Result<Value, Failure> {
    match (kind, value) {
        (Type::String, Value::String(text)) => writable(text).map(|()| value.clone()),
        // The standard way to send a date is a typed element, JSON and some clients send text.
        (Type::DateTime, Value::DateTime(text) | Value::String(text)) => date(text).map(Value::DateTime),
        (Type::Ref(_), Value::String(text)) => {
            Ok(Value::String(if text.is_empty() { SmolStr::new_static(NULL_REF) } else { text.clone() }))
        }
        (Type::Enum(name), Value::String(word)) => {
            let known =
                schema::enumeration(name).is_none_or(|declared| declared.words.contains(&word.as_str()));
            if known {
                Ok(value.clone())
            } else {
                Err(failures::ill_typed(&format!("a word of {name}"), parameter))
            }
        }
        (Type::Int, Value::Int(_)) | (Type::Bool, Value::Bool(_)) | (Type::Float, Value::Float(_)) => {
            Ok(value.clone())
        }
        (Type::Int, Value::String(text)) => {
            text.parse().map(Value::Int).map_err(|_| failures::ill_typed("int64", parameter))
        }
        (Type::Float, Value::Int(_) | Value::String(_)) => {
            value.as_float().map(Value::Float).ok_or_else(|| failures::ill_typed("float", parameter))
        }
        (Type::Set(element), Value::Array(elements)) => elements
            .iter()
            .map(|value| typed(element, value, parameter))
            .collect::<Result<_, _>>()
            .map(Value::Array),
        (Type::Map(key, element), Value::Struct(members)) => {
            let member = |(name, value): (&SmolStr, &Value)| {
                typed(key, &Value::String(name.clone()), parameter)?;
                Ok((name.clone(), typed(element, value, parameter)?))
            };
            members.iter().map(member).collect::<Result<Struct, Failure>>().map(Value::Struct)
        }
        (Type::Record(class), Value::Struct(members)) => record(class, members, parameter).map(Value::Struct),
        (Type::Option(inner), value) => typed(inner, value, parameter),
        (Type::Void, _) => Ok(Value::VOID),
        _ => Err(failures::ill_typed(word(kind), parameter)),
    }
}

/// A record for a constructor: known fields typed, fields left out at their defaults.
fn record(class: &str, members: &Struct, parameter: &str) -> Result<Struct, Failure> {
    let Some(class) = schema::class(class) else { return Ok(members.clone()) };
    let member = |field: &'static Field| {
        let value = match members.get(field.name) {
            Some(value) => typed(&field.kind, value, parameter)?,
            None => defaults::of(class.name, field),
        };
        Ok((SmolStr::new_static(field.name), value))
    };
    class.fields.iter().map(member).collect()
}

/// Text that XML 1.0 cannot carry is refused by xapi, over both wires.
fn writable(text: &str) -> Result<(), Failure> {
    let bad = |c: char| {
        (u32::from(c) < 0x20 && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    if text.contains(bad) {
        Err(failures::invalid_value("Invalid UTF-8 string in parameter", ""))
    } else {
        Ok(())
    }
}

/// Dates come compact or with hyphens, in UTC or without zone; other offsets are refused.
fn date(text: &str) -> Result<SmolStr, Failure> {
    let refused = || failures::internal(format_args!("Failure(\"invalid date {}\")", text.escape_debug()));
    let plain = text.strip_suffix('Z').unwrap_or(text);
    let (day, time) = plain.split_once('T').ok_or_else(refused)?;
    let day: String = day.split('-').collect();
    let time = time.split_once('.').map_or(time, |(whole, _)| whole);
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let clock: Vec<&str> = time.split(':').collect();
    let whole =
        day.len() == 8 && digits(&day) && clock.len() == 3 && clock.iter().all(|p| p.len() == 2 && digits(p));
    if whole { Ok(format_smolstr!("{day}T{time}Z")) } else { Err(refused()) }
}

fn word(kind: &Type) -> &'static str {
    match kind {
        Type::String | Type::Ref(_) | Type::Enum(_) | Type::Void => "string",
        Type::Int => "int64",
        Type::Float => "float",
        Type::Bool => "bool",
        Type::DateTime => "datetime",
        Type::Set(_) => "array",
        Type::Map(_, _) | Type::Record(_) => "dictionary",
        Type::Option(inner) => word(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_what_the_parameter_says() {
        let s = |text: &str| Value::from(text);
        for (kind, given, taken) in [
            (Type::Int, s("42"), Some(Value::Int(42))),
            (Type::Int, s("x"), None),
            (Type::Int, Value::Bool(true), None),
            (Type::Float, Value::Int(3), Some(Value::Float(3.0))),
            (Type::Bool, s("true"), None),
            (Type::Bool, Value::Bool(true), Some(Value::Bool(true))),
            (Type::String, Value::Int(1), None),
            (Type::String, s("a\u{1}"), None),
            (Type::Ref("VM"), s(""), Some(s(NULL_REF))),
            (Type::Enum("vm_power_state"), s("Halted"), Some(s("Halted"))),
            (Type::Enum("vm_power_state"), s("halted"), None),
            (Type::DateTime, s("2026-08-21T02:00:23Z"), Some(Value::DateTime("20260821T02:00:23Z".into()))),
            (Type::DateTime, s("20260821T02:00:23"), Some(Value::DateTime("20260821T02:00:23Z".into()))),
            (Type::DateTime, s("20260821T02:00:23+02:00"), None),
            (Type::Set(&Type::Int), Value::Array(vec![s("1")]), Some(Value::Array(vec![Value::Int(1)]))),
            (Type::Set(&Type::Int), s("1"), None),
        ] {
            let result = typed(&kind, &given, "p");
            match taken {
                Some(value) => assert_eq!(result.unwrap(), value, "{kind:?} {given:?}"),
                None => assert!(
                    ["INTERNAL_ERROR", "INVALID_VALUE"].contains(&result.unwrap_err().code.as_str()),
                    "{kind:?} {given:?}"
                ),
            }
        }
    }
}
