//! Values and changes in the words of the demo: references by the name of what they point to, lists by what came and
//! went.

use xapi::model::{Record, Type, World, schema};
use xapi::{NULL_REF, Value};

use crate::event::PoolEvent;
use xapi::events::Change;

/// No value takes more room than this on the screen, in characters.
const LONGEST: usize = 50;

/// The event with its changed fields, old and new.
pub(super) fn told(event: &PoolEvent, change: &Change, world: &World) -> String {
    let name = change.new.as_ref().or(change.old.as_ref()).map_or("", |record| record.text("name_label"));
    let mut text = format!("{} {} {} {name}", event.sequence, change.class, change.operation.name());
    if let (Some(old), Some(new)) = (&change.old, &change.new) {
        let widest = change.changed.iter().map(smol_str::SmolStr::len).max().unwrap_or_default();
        for field in &change.changed {
            text.push_str(&format!("\n{field:<widest$}  {}", difference(field, old, new, world)));
        }
    }
    text
}

fn difference(field: &str, old: &Record, new: &Record, world: &World) -> String {
    let kind = schema::class(&new.class).and_then(|class| class.field(field)).map(|field| &field.kind);
    if let (Some(Value::Array(old)), Some(Value::Array(new))) = (old.get(field), new.get(field)) {
        let element = if let Some(Type::Set(element)) = kind { Some(*element) } else { None };
        let named = |sign, value| format!("{sign}{}", brief(value, element, world));
        let came = new.iter().filter(|value| !old.contains(value)).map(|value| named('+', value));
        let went = old.iter().filter(|value| !new.contains(value)).map(|value| named('-', value));
        return cut(&came.chain(went).collect::<Vec<_>>().join(" "));
    }
    let shown =
        |record: &Record| record.get(field).map_or_else(|| "-".to_owned(), |value| brief(value, kind, world));
    format!("{} -> {}", shown(old), shown(new))
}

fn brief(value: &Value, kind: Option<&Type>, world: &World) -> String {
    let text = match (value, kind) {
        (Value::String(text), Some(Type::Ref(_))) if text == NULL_REF || text.is_empty() => "none".to_owned(),
        (Value::String(reference), Some(Type::Ref(class))) => match world.get(class, reference) {
            Some(record) if !record.text("name_label").is_empty() => record.text("name_label").to_owned(),
            Some(_) | None => format!("a {class}"),
        },
        (Value::String(text) | Value::DateTime(text), _) => text.to_string(),
        (Value::Int(number), _) => number.to_string(),
        (Value::Float(number), _) => number.to_string(),
        (Value::Bool(truth), _) => truth.to_string(),
        (Value::Array(elements), _) => format!("{} elements", elements.len()),
        (Value::Struct(members), _) => format!("{} entries", members.len()),
    };
    cut(&text)
}

fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    let kept: String = text.chars().take(LONGEST).collect();
    let kept = kept.rsplit_once(' ').map_or(kept.as_str(), |(whole, _)| whole);
    format!("{kept} ...")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_told_by_name_and_by_what_came_and_went() {
        let record = |resident_on: &str, operations: &[&str]| {
            let operations: Vec<Value> = operations.iter().map(|word| Value::from(*word)).collect();
            let fields = [
                ("resident_on".into(), resident_on.into()),
                ("allowed_operations".into(), operations.into()),
            ];
            Record::new("VM", "OpaqueRef:vm", fields.into_iter().collect())
        };
        let mut world = World::new();
        let host = [("name_label".into(), "north".into())].into_iter().collect();
        world.insert(std::sync::Arc::new(Record::new("host", "OpaqueRef:host", host)));
        let (old, new) =
            (record("OpaqueRef:host", &["pause", "clone"]), record(NULL_REF, &["clone", "start"]));
        assert_eq!(difference("resident_on", &old, &new, &world), "north -> none");
        assert_eq!(difference("allowed_operations", &old, &new, &world), "+start -pause");
    }
}
