//! The CEL filters of `find`, as the daemon evaluates them.

use std::collections::HashMap;
use std::sync::Arc;

use cel::objects::{Key, Map, Value as Cel};
use cel::{Context, Program};
use serde_json::Value as Json;

use super::records::Stored;
use crate::{Error, Value};

pub(crate) struct Filter(Option<Program>);

impl Filter {
    /// Compiles a filter; an empty one holds for all.
    pub(crate) fn compile(text: &str) -> Result<Filter, Error> {
        if text.trim().is_empty() {
            return Ok(Filter(None));
        }
        Program::compile(text)
            .map(|program| Filter(Some(program)))
            .map_err(|error| bad(text, &error.to_string()))
    }

    /// Whether it holds for an object. What cannot be evaluated, such as a key that is not there, does not hold.
    pub(crate) fn holds(&self, stored: &Stored) -> bool {
        let Some(program) = &self.0 else { return true };
        let own = stored
            .fields
            .iter()
            .map(|(name, value)| (Key::from(*name), to_cel(value)))
            .collect::<HashMap<_, _>>();
        let mut context = Context::default();
        context.add_variable_from_value("self", Cel::Map(Map { map: Arc::new(own) }));
        matches!(program.execute(&context), Ok(Cel::Bool(true)))
    }
}

fn bad(text: &str, why: &str) -> Error {
    let mut error = Error::invalid("BAD_FILTER", &[text]);
    error.advice = why.to_owned();
    error
}

fn to_cel(value: &Value) -> Cel {
    match value {
        Value::Nothing => "".into(),
        Value::Text(text) => text.as_str().into(),
        Value::Moment(moment) => moment.as_str().into(),
        Value::Reference(reference) => reference.as_str().into(),
        Value::Whole(number) => Cel::Int(*number),
        Value::Real(number) => Cel::Float(*number),
        Value::Truth(truth) => Cel::Bool(*truth),
        Value::Texts(texts) => list(texts.iter().map(|text| text.as_str().into())),
        Value::References(references) => list(references.iter().map(|one| one.as_str().into())),
        Value::Pairs(pairs) => {
            let map =
                pairs.iter().map(|(key, text)| (Key::from(key.as_str()), text.as_str().into())).collect();
            Cel::Map(Map { map: Arc::new(map) })
        }
        Value::Json(text) => serde_json::from_str(text).map_or(Cel::Null, |json| json_to_cel(&json)),
    }
}

fn json_to_cel(json: &Json) -> Cel {
    match json {
        Json::Null => Cel::Null,
        Json::Bool(truth) => Cel::Bool(*truth),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Cel::Int(whole),
            None => Cel::Float(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(elements) => list(elements.iter().map(json_to_cel)),
        Json::Object(members) => {
            let map =
                members.iter().map(|(key, inner)| (Key::from(key.as_str()), json_to_cel(inner))).collect();
            Cel::Map(Map { map: Arc::new(map) })
        }
    }
}

fn list(elements: impl Iterator<Item = Cel>) -> Cel {
    Cel::List(Arc::new(elements.collect()))
}
