//! Answers of the finding methods: what they must look like.

use std::sync::Arc;

use smol_str::SmolStr;

use super::FindError;
use crate::model::schema::Class;
use crate::model::{Record, Ref};
use crate::value::Value;

pub(super) fn reference<T>(method: &str, answer: &Value) -> Result<Ref<T>, FindError> {
    match answer {
        Value::String(text) if !text.is_empty() => Ok(Ref::new(text.clone())),
        other => Err(shape(method, "a reference", other)),
    }
}

pub(super) fn references<T>(method: &str, answer: &Value) -> Result<Vec<Ref<T>>, FindError> {
    let elements = answer.as_array().ok_or_else(|| shape(method, "a list of references", answer))?;
    elements.iter().map(|element| reference(method, element)).collect()
}

pub(super) fn record(
    method: &str,
    class: &'static Class,
    reference: impl Into<SmolStr>,
    answer: Value,
) -> Result<Arc<Record>, FindError> {
    match answer {
        Value::Struct(fields) => Ok(Arc::new(Record::new(class.name, reference, fields))),
        other => Err(shape(method, "a record", &other)),
    }
}

pub(super) fn records(
    method: &str,
    class: &'static Class,
    answer: Value,
) -> Result<Vec<Arc<Record>>, FindError> {
    match answer {
        Value::Struct(members) => {
            members.into_iter().map(|(reference, fields)| record(method, class, reference, fields)).collect()
        }
        other => Err(shape(method, "a map of records", &other)),
    }
}

fn shape(method: &str, wanted: &'static str, found: &Value) -> FindError {
    FindError::Shape { method: method.to_owned(), wanted, found: found.shape() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::schema;
    use crate::value::Struct;

    #[test]
    fn other_shapes_are_errors_not_defaults() {
        let told = |outcome: Result<(), FindError>| outcome.unwrap_err().to_string();
        let vm = schema::class("VM").unwrap();
        assert_eq!(
            told(reference::<()>("VM.get_by_uuid", &Value::VOID).map(drop)),
            "VM.get_by_uuid answered with an empty text where a reference belongs"
        );
        assert_eq!(
            told(references::<()>("VM.get_all", &Value::Array(vec![1.into()])).map(drop)),
            "VM.get_all answered with an integer where a reference belongs"
        );
        assert_eq!(
            told(references::<()>("VM.get_all", &Struct::new().into()).map(drop)),
            "VM.get_all answered with a map where a list of references belongs"
        );
        assert_eq!(
            told(record("VM.get_record", vm, "OpaqueRef:1", "x".into()).map(drop)),
            "VM.get_record answered with a text where a record belongs"
        );
        let members: Struct = [("OpaqueRef:1".into(), Value::Bool(true))].into_iter().collect();
        assert_eq!(
            told(records("VM.get_all_records", vm, members.into()).map(drop)),
            "VM.get_all_records answered with a truth value where a record belongs"
        );
    }
}
