//! Names in place of references, which mean nothing to a person.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::Result;
use xapi::model::Record;
use xapi::model::schema::{Class, Type};
use xapi::{Client, NULL_REF, Value};

use crate::cli::output::Rows;

/// Puts the name or uuid of each object in place of its reference, reading each class that is referred to once. Columns
/// from `first` on are fields of the class.
pub(super) async fn instead_of_references(
    client: &Client,
    class: &Class,
    first: usize,
    rows: &mut Rows,
) -> Result<()> {
    let referring: BTreeMap<usize, &'static str> = rows
        .head
        .iter()
        .enumerate()
        .skip(first)
        .filter_map(|(at, column)| {
            let field = column.rsplit('.').next()?;
            Some((at, referred(&class.field(field)?.kind)?))
        })
        .collect();
    for class in referring.values().collect::<BTreeSet<_>>() {
        let wanted = |at: &usize| referring.get(at) == Some(class);
        let none = rows.rows.iter().all(|row| {
            row.iter()
                .enumerate()
                .filter(|(at, _)| wanted(at))
                .all(|(_, value)| value.as_ref().is_none_or(is_nothing))
        });
        // Sessions, for one, cannot be listed.
        let finder = client.find_class(class)?;
        if none || finder.class().method("get_all_records").is_none() {
            continue;
        }
        let names: HashMap<String, String> = finder
            .all_records()
            .await?
            .iter()
            .map(|record| (record.reference.to_string(), name(record).to_owned()))
            .collect();
        for row in &mut rows.rows {
            for (_, value) in row.iter_mut().enumerate().filter(|(at, _)| wanted(at)) {
                if let Some(value) = value {
                    named(value, &names);
                }
            }
        }
    }
    Ok(())
}

/// The name, or the uuid of what has none.
pub(super) fn name(record: &Record) -> &str {
    match record.text("name_label") {
        "" => record.text("uuid"),
        name => name,
    }
}

/// The class that a field's references lead to.
fn referred(kind: &Type) -> Option<&'static str> {
    match kind {
        Type::Ref(class) | Type::Set(Type::Ref(class)) => Some(class),
        _ => None,
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty() || text == NULL_REF,
        Value::Array(elements) => elements.iter().all(is_nothing),
        _ => true,
    }
}

/// Names a reference or those of a set; what dangles stays as it is.
fn named(value: &mut Value, names: &HashMap<String, String>) {
    match value {
        Value::String(text) if is_nothing(&Value::String(text.clone())) => *value = "".into(),
        Value::String(text) => {
            if let Some(name) = names.get(text.as_str()) {
                *value = name.as_str().into();
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| named(element, names)),
        _ => {}
    }
}
