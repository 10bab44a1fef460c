//! Values across the boundary: XAPI's on our side, the contract's on the plugin's. References change into handles
//! on the way out and back on the way in; dates into RFC 3339 and back.

use grant::time::{from_rfc3339, to_rfc3339};
use grant::{Grant, PREFIX, is_null, replaced};
use serde_json::{Map, Value as Json};
use smol_str::SmolStr;
use xapi::model::{Type, schema};
use xapi::{NULL_REF, Struct, Value};

use crate::contract::xapiary::plugin::types::Value as Given;
use crate::handles::{HandleFault, Handles};
use crate::veil::lifted;

/// How new a reference is that is on its way out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Age<'g> {
    /// From a record or an event.
    Seen,
    /// From the result of a call, which the world may not have yet. With a grant, references of classes that it does not reach
    /// are left out: a call must not show more than the grant does.
    Fresh(Option<&'g Grant>),
}

/// Why a plugin's value cannot become XAPI's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// It should be of another shape; the words say which.
    Shape {
        /// What XAPI wants.
        wanted: String,
        /// What was given.
        given: &'static str,
    },
    /// A reference that the plugin was not given.
    Reference(String, HandleFault),
}

/// A value on its way out. `kind` is what the schema says; without it the shape decides.
pub(crate) fn outward(kind: Option<&Type>, value: &Value, handles: &mut Handles, age: Age<'_>) -> Given {
    match (kind, value) {
        (Some(Type::Option(inner)), value) => outward(Some(inner), value, handles, age),
        (Some(Type::Void), _) => Given::Nothing,
        (Some(Type::Ref(class)), Value::String(text)) => match handle(class, text, handles, age) {
            Some(handle) => Given::Reference(handle),
            None => Given::Nothing,
        },
        (None, Value::String(text)) if text.starts_with(PREFIX) => match handle("", text, handles, age) {
            Some(handle) => Given::Reference(handle),
            None => Given::Nothing,
        },
        (_, Value::String(text)) => Given::Text(veiled(text, handles, age)),
        (_, Value::DateTime(text)) => Given::Moment(to_rfc3339(text)),
        (_, Value::Int(number)) => Given::Whole(*number),
        (_, Value::Float(number)) => Given::Real(*number),
        (_, Value::Bool(truth)) => Given::Truth(*truth),
        (Some(Type::Set(Type::Ref(class))), Value::Array(elements)) => Given::References(
            elements
                .iter()
                .filter_map(Value::as_str)
                .filter_map(|reference| handle(class, reference, handles, age))
                .collect(),
        ),
        (kind, Value::Array(elements)) => match texts(kind, elements, handles, age) {
            Some(texts) => Given::Texts(texts),
            None => Given::Json(json(kind, value, handles, age).to_string()),
        },
        (kind, Value::Struct(members)) => match pairs(kind, members, handles, age) {
            Some(pairs) => Given::Pairs(pairs),
            None => Given::Json(json(kind, value, handles, age).to_string()),
        },
    }
}

/// A value as JSON: references as handles or null, dates as RFC 3339, floats that JSON lacks as text.
pub(crate) fn json(kind: Option<&Type>, value: &Value, handles: &mut Handles, age: Age<'_>) -> Json {
    match (kind, value) {
        (Some(Type::Option(inner)), value) => json(Some(inner), value, handles, age),
        (Some(Type::Void), _) => Json::Null,
        (Some(Type::Ref(class)), Value::String(text)) => {
            handle(class, text, handles, age).map_or(Json::Null, Json::String)
        }
        (None, Value::String(text)) if text.starts_with(PREFIX) => {
            handle("", text, handles, age).map_or(Json::Null, Json::String)
        }
        (_, Value::String(text)) => Json::String(veiled(text, handles, age)),
        (_, Value::DateTime(text)) => Json::String(to_rfc3339(text)),
        (_, Value::Int(number)) => Json::from(*number),
        (_, Value::Float(number)) => serde_json::Number::from_f64(*number)
            .map_or_else(|| Json::String(number.to_string()), Json::Number),
        (_, Value::Bool(truth)) => Json::Bool(*truth),
        (kind, Value::Array(elements)) => {
            let inner = if let Some(Type::Set(inner)) = kind { Some(*inner) } else { None };
            Json::Array(elements.iter().map(|element| json(inner, element, handles, age)).collect())
        }
        (kind, Value::Struct(members)) => {
            let class = if let Some(Type::Record(class)) = kind { schema::class(class) } else { None };
            let mut object = Map::new();
            for (name, value) in members.iter() {
                let (key, inner) = match kind {
                    Some(Type::Map(Type::Ref(class), inner)) => {
                        (handle(class, name, handles, age).unwrap_or_default(), Some(*inner))
                    }
                    Some(Type::Map(_, inner)) => (veiled(name, handles, age), Some(*inner)),
                    _ => (
                        veiled(name, handles, age),
                        class.and_then(|class| class.field(name)).map(|field| &field.kind),
                    ),
                };
                object.insert(key, json(inner, value, handles, age));
            }
            Json::Object(object)
        }
    }
}

fn handle(class: &str, reference: &str, handles: &mut Handles, age: Age<'_>) -> Option<String> {
    if is_null(reference) {
        return None;
    }
    Some(match age {
        Age::Seen => handles.issue(class, reference),
        Age::Fresh(Some(grant)) if !class.is_empty() && !grant.reaches(class) => return None,
        // Also of what stands in a text, whose class is not known: the handle is good for nothing that the grant does not allow.
        Age::Fresh(_) => handles.issue_fresh(class, reference),
    })
}

/// A text with handles in the place of references: the schema calls some texts that hold them, such as the keys of
/// `current_operations`.
pub(crate) fn veiled(text: &str, handles: &mut Handles, age: Age<'_>) -> String {
    replaced(text, |reference| handle("", reference, handles, age).unwrap_or_default()).into_owned()
}

/// The elements as texts, when all are and none may be a reference or date.
fn texts(
    kind: Option<&Type>,
    elements: &[Value],
    handles: &mut Handles,
    age: Age<'_>,
) -> Option<Vec<String>> {
    let plain = match kind {
        Some(Type::Set(inner)) => textual(inner),
        _ => !elements.iter().any(is_reference),
    };
    if !plain {
        return None;
    }
    elements
        .iter()
        .map(
            |element| if let Value::String(text) = element { Some(veiled(text, handles, age)) } else { None },
        )
        .collect()
}

fn pairs(
    kind: Option<&Type>,
    members: &Struct,
    handles: &mut Handles,
    age: Age<'_>,
) -> Option<Vec<(String, String)>> {
    let plain = match kind {
        Some(Type::Map(key, value)) => textual(key) && textual(value),
        Some(_) => false,
        None => !members.iter().any(|(name, value)| name.starts_with(PREFIX) || is_reference(value)),
    };
    if !plain {
        return None;
    }
    members
        .iter()
        .map(|(name, value)| match value {
            Value::String(text) => Some((veiled(name, handles, age), veiled(text, handles, age))),
            _ => None,
        })
        .collect()
}

fn textual(kind: &Type) -> bool {
    matches!(kind, Type::String | Type::Enum(_))
}

fn is_reference(value: &Value) -> bool {
    matches!(value, Value::String(text) if text.starts_with(PREFIX))
}

/// A plugin's value on its way in, as the schema wants it.
pub(crate) fn inward(kind: &Type, given: &Given, handles: &Handles) -> Result<Value, Misfit> {
    let misfit = || Misfit::Shape { wanted: words(kind), given: shape(given) };
    match (kind, given) {
        (Type::Option(inner), given) => inward(inner, given, handles),
        (kind, Given::Json(text)) => {
            let parsed: Json = serde_json::from_str(text).map_err(|error| Misfit::Shape {
                wanted: format!("{}; it is no JSON: {error}", words(kind)),
                given: "json",
            })?;
            from_json(kind, &parsed, handles)
        }
        (Type::Ref(_), Given::Nothing) => Ok(NULL_REF.into()),
        (Type::Ref(_), Given::Reference(handle)) => resolve(handle, handles).map(Value::String),
        (Type::String | Type::Enum(_), Given::Text(text)) => Ok(text_in(text, handles)),
        (Type::Int, Given::Whole(number)) => Ok((*number).into()),
        (Type::Float, Given::Real(number)) => Ok((*number).into()),
        #[expect(clippy::cast_precision_loss, reason = "XAPI wants a float")]
        (Type::Float, Given::Whole(number)) => Ok((*number as f64).into()),
        (Type::Bool, Given::Truth(truth)) => Ok((*truth).into()),
        (Type::DateTime, Given::Moment(text)) => date(text).ok_or_else(misfit),
        (Type::Set(inner), Given::Texts(texts)) if textual(inner) || texts.is_empty() => {
            Ok(Value::Array(texts.iter().map(|text| text_in(text, handles)).collect()))
        }
        (Type::Set(Type::Ref(_)), Given::References(references)) => references
            .iter()
            .map(|handle| resolve(handle, handles).map(Value::String))
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array),
        (Type::Set(_), Given::References(references)) if references.is_empty() => {
            Ok(Value::Array(Vec::new()))
        }
        (Type::Map(key, value), Given::Pairs(pairs)) => {
            let mut members = Struct::with_capacity(pairs.len());
            for (name, text) in pairs {
                let name = map_key(key, name, handles)?;
                let value = match value {
                    Type::Ref(_) => Value::String(resolve(text, handles)?),
                    kind if textual(kind) => text_in(text, handles),
                    _ => return Err(misfit()),
                };
                members.push(name, value);
            }
            Ok(Value::Struct(members))
        }
        _ => Err(misfit()),
    }
}

fn from_json(kind: &Type, given: &Json, handles: &Handles) -> Result<Value, Misfit> {
    let misfit = || Misfit::Shape { wanted: words(kind), given: json_shape(given) };
    match (kind, given) {
        (Type::Option(inner), given) => from_json(inner, given, handles),
        (Type::Ref(_), Json::Null) => Ok(NULL_REF.into()),
        (Type::Ref(_), Json::String(handle)) => resolve(handle, handles).map(Value::String),
        (Type::String | Type::Enum(_), Json::String(text)) => Ok(text_in(text, handles)),
        (Type::Int, Json::Number(number)) => number.as_i64().map(Value::Int).ok_or_else(misfit),
        (Type::Float, Json::Number(number)) => number.as_f64().map(Value::Float).ok_or_else(misfit),
        (Type::Float, Json::String(text)) => text.parse().map(Value::Float).map_err(|_| misfit()),
        (Type::Bool, Json::Bool(truth)) => Ok((*truth).into()),
        (Type::DateTime, Json::String(text)) => date(text).ok_or_else(misfit),
        (Type::Set(inner), Json::Array(elements)) => elements
            .iter()
            .map(|element| from_json(inner, element, handles))
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array),
        (Type::Map(key, value), Json::Object(object)) => {
            let mut members = Struct::with_capacity(object.len());
            for (name, inner) in object {
                members.push(map_key(key, name, handles)?, from_json(value, inner, handles)?);
            }
            Ok(Value::Struct(members))
        }
        (Type::Record(class), Json::Object(object)) => {
            let class = schema::class(class);
            let mut members = Struct::with_capacity(object.len());
            for (name, inner) in object {
                let Some(field) = class.and_then(|class| class.field(name)) else {
                    let known =
                        class.into_iter().flat_map(|class| class.fields.iter().map(|field| field.name));
                    let hint = grant::nearest::hint(name, known);
                    return Err(Misfit::Shape {
                        wanted: format!("{}, which has no field `{name}`{hint}", words(kind)),
                        given: "object",
                    });
                };
                if matches!(field.kind, Type::Option(_)) && inner.is_null() {
                    continue;
                }
                members.push(SmolStr::new_static(field.name), from_json(&field.kind, inner, handles)?);
            }
            Ok(Value::Struct(members))
        }
        _ => Err(misfit()),
    }
}

fn map_key(kind: &Type, name: &str, handles: &Handles) -> Result<SmolStr, Misfit> {
    match kind {
        Type::Ref(_) => resolve(name, handles),
        _ => Ok(lifted(name, handles).into()),
    }
}

fn text_in(text: &str, handles: &Handles) -> Value {
    lifted(text, handles).as_ref().into()
}

fn resolve(handle: &str, handles: &Handles) -> Result<SmolStr, Misfit> {
    handles
        .resolve(handle)
        .map(|known| known.reference.clone())
        .map_err(|fault| Misfit::Reference(handle.to_owned(), fault))
}

fn date(text: &str) -> Option<Value> {
    from_rfc3339(text).ok().map(|date| Value::DateTime(date.into()))
}

/// A type in words that fit the contract.
pub(crate) fn words(kind: &Type) -> String {
    match kind {
        Type::String => "text".into(),
        Type::Enum(name) => match schema::enumeration(name) {
            Some(known) => format!("text, one of {}", known.words.join(", ")),
            None => "text".into(),
        },
        Type::Int => "whole".into(),
        Type::Float => "real".into(),
        Type::Bool => "truth".into(),
        Type::DateTime => "moment (RFC 3339)".into(),
        Type::Void => "nothing".into(),
        Type::Ref(class) => format!("reference to {class}"),
        Type::Set(Type::Ref(class)) => format!("references to {class}"),
        Type::Set(inner) if textual(inner) => "texts".into(),
        Type::Map(key, value) if textual(key) && textual(value) => "pairs".into(),
        Type::Set(inner) => format!("json, a list of {}", words(inner)),
        Type::Map(key, value) => format!("json, an object of {} to {}", words(key), words(value)),
        Type::Record(class) => format!("json, a record of {class}"),
        Type::Option(inner) => words(inner),
    }
}

fn shape(given: &Given) -> &'static str {
    match given {
        Given::Nothing => "nothing",
        Given::Text(_) => "text",
        Given::Whole(_) => "whole",
        Given::Real(_) => "real",
        Given::Truth(_) => "truth",
        Given::Moment(_) => "moment",
        Given::Reference(_) => "reference",
        Given::Texts(_) => "texts",
        Given::References(_) => "references",
        Given::Pairs(_) => "pairs",
        Given::Json(_) => "json",
    }
}

fn json_shape(given: &Json) -> &'static str {
    match given {
        Json::Null => "null",
        Json::Bool(_) => "truth value",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "list",
        Json::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests;
